"""Gaussian blur against Pillow, SciPy's definition of a Gaussian, and its own variance."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageFilter

from tests.views import pictures
from tfssl.views import GaussianBlur


def blur(image, **arguments):
    inputs = {"images": image.astype(np.float32), "keys": tf.constant(5, tf.int64)}
    return GaussianBlur(**arguments)(inputs)["images"].numpy()


@pytest.mark.parametrize("sigma", [0.1, 0.4, 0.8, 1.3, 2.0, 3.7])
def test_blur_equals_pillow(sigma):
    """Up to the rounding of Pillow's six passes; near the edges its passes extend one by one."""
    image = pictures.picture(70, 90, detail=20)
    pillow = Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma))
    difference = np.abs(blur(image / 255.0, sigma=(sigma, sigma)) * 255 - np.asarray(pillow))
    assert difference[12:-12, 12:-12].max() <= 3
    assert difference.mean() <= 1.2


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 1.4142, 1.9, 2.0])
def test_kernel_has_the_variance_of_the_gaussian(sigma):
    layer = GaussianBlur(sigma=(0.1, 2.0))
    half = layer._kernel(tf.constant(sigma)).numpy().astype(np.float64)
    assert half.shape == (7,)
    taps = np.concatenate([half[:0:-1], half])
    offsets = np.arange(-6, 7)
    np.testing.assert_allclose(taps.sum(), 1, atol=1e-6)
    np.testing.assert_allclose((taps * offsets**2).sum(), sigma**2, rtol=1e-4, atol=1e-6)
    assert taps.min() >= -1e-7


@pytest.mark.parametrize("sigma, window", [(0.3, 5), (1.1, 23), (2.0, 23), (1.5, 7)])
def test_window_is_a_cut_gaussian_with_reflected_edges(sigma, window):
    image = pictures.picture(30, 40) / 255.0
    radius = window // 2
    taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    taps /= taps.sum()
    expected = image
    for axis in (0, 1):
        pad = [(0, 0)] * 3
        pad[axis] = (radius, radius)
        padded = np.pad(expected, pad, mode="reflect")
        expected = sum(
            w * np.take(padded, np.arange(i, i + image.shape[axis]), axis)
            for i, w in enumerate(taps)
        )
    result = blur(image, sigma=(sigma, sigma), window=window)
    np.testing.assert_allclose(result, expected, atol=2e-6)


@pytest.mark.parametrize("window", [None, 23])
@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (4, 30)])
def test_images_smaller_than_the_kernel(shape, window):
    flat = np.full((*shape, 3), 0.7)
    np.testing.assert_allclose(blur(flat, sigma=(2.0, 2.0), window=window), flat, atol=1e-6)


def test_sigma_is_uniform_in_its_range():
    """A blurred impulse tells the variance, and so the sigma, of each of 400 draws."""
    count = 400
    images = np.zeros((count, 15, 15, 1), np.float32)
    images[:, 7, 7] = 1
    layer = GaussianBlur(sigma=(0.5, 2.0))
    run = tf.function(
        lambda x, k: layer({"images": x, "keys": k})["images"], jit_compile=True, autograph=False
    )
    rows = run(images, tf.range(count, dtype=tf.int64)).numpy().sum(axis=(2, 3))
    sigma = np.sqrt((rows * (np.arange(15) - 7) ** 2).sum(1))
    assert sigma.min() >= 0.499 and sigma.max() <= 2.001
    counts = np.histogram(sigma, 5, (0.5, 2.0))[0]
    assert np.abs(counts - 80).max() < 5 * np.sqrt(80 * 0.8)


@pytest.mark.parametrize("bad", [{"sigma": (0.0, 1.0)}, {"sigma": (2.0, 1.0)}, {"window": 4}])
def test_bad_arguments_are_refused(bad):
    with pytest.raises(ValueError, match="GaussianBlur: expected .* Received: "):
        GaussianBlur(**bad)
