"""Colour layers against Pillow and NumPy."""

import colorsys
import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from tests.random_inputs import fresh_rng
from tests.views import pictures
from tfssl.ops.keyed_random import keyed_uniform
from tfssl.views import ColorJitter, Grayscale, Solarize, colour


def planar(image):
    return tf.constant(np.moveaxis(image, -1, 0)[None], tf.float32)


def interleaved(images):
    return np.moveaxis(np.asarray(images[0]), 0, -1)


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7, 3.0])
@pytest.mark.parametrize(
    "ours, enhancer",
    [
        (colour.adjust_brightness, ImageEnhance.Brightness),
        (colour.adjust_contrast, ImageEnhance.Contrast),
        (colour.adjust_saturation, ImageEnhance.Color),
    ],
    ids=["brightness", "contrast", "saturation"],
)
def test_blends_equal_pillow(ours, enhancer, factor):
    image = pictures.picture()
    expected = np.asarray(enhancer(Image.fromarray(image)).enhance(factor), np.float32)
    result = interleaved(ours(planar(image / 255.0), tf.constant(factor))) * 255
    # Pillow rounds the grey values before it blends with them, up to 0.5 * |1 - factor| more.
    assert np.abs(result - expected).max() <= 1.01 + 0.5 * abs(1 - factor)


@pytest.mark.parametrize("shift", [-0.5, -0.13, 0.0, 0.07, 0.31, 0.5])
def test_hue_equals_colorsys_and_numpy(shift):
    image = pictures.picture(20, 30).astype(np.float64) / 255
    result = interleaved(colour.adjust_hue(planar(image), tf.constant(shift)))
    np.testing.assert_allclose(result, pictures.hue(image, shift), atol=2e-6)
    for pixel, turned in zip(image.reshape(-1, 3)[::17], result.reshape(-1, 3)[::17]):
        h, s, v = colorsys.rgb_to_hsv(*pixel)
        np.testing.assert_allclose(turned, colorsys.hsv_to_rgb((h + shift) % 1, s, v), atol=2e-6)


def test_hue_leaves_grey_black_and_white_alone():
    grey = np.repeat(np.linspace(0, 1, 12).reshape(3, 4, 1), 3, -1)
    result = interleaved(colour.adjust_hue(planar(grey), tf.constant(0.3)))
    np.testing.assert_array_equal(result, grey.astype(np.float32))


@pytest.mark.parametrize(
    "strengths", [(0.4, 0.4, 0.2, 0.1), (0.8, 0.8, 0.8, 0.2), (0.0, 0.5, 0.0, 0.5)]
)
def test_jitter_applies_its_operations_in_its_order(strengths):
    """All draws of several keys, followed in NumPy: factors, order, clipping after each."""
    names = ("brightness", "contrast", "saturation", "hue")
    layer = ColorJitter(**dict(zip(names, strengths)), stream=3)
    used = [i for i in range(4) if strengths[i]]
    orders = list(itertools.permutations(used))
    images = np.stack([pictures.picture(12, 16) / 255.0 for _ in range(16)])
    keys = fresh_rng().integers(0, 2**62, 16)
    result = layer({"images": images.astype(np.float32), "keys": tf.constant(keys)})["images"]
    for image, draws, view in zip(images, keyed_uniform(keys, 6, stream=3).numpy(), result):
        for i in orders[int(draws[5] * len(orders))]:
            low, high = max(0, 1 - strengths[i]), 1 + strengths[i]
            if i == 3:
                low, high = -strengths[3], strengths[3]
            image = pictures.OPERATIONS[i](image, low + draws[1 + i] * (high - low))
        np.testing.assert_allclose(view, image, atol=2e-5)


def test_jitter_uses_all_orders_equally_often():
    """Of 4,800 images each of the 24 orders gets 200 or so."""
    draws = keyed_uniform(tf.range(4800, dtype=tf.int64), 6).numpy()[:, 5]
    counts = np.bincount((draws * 24).astype(int), minlength=24)
    assert len(counts) == 24
    assert np.abs(counts - 200).max() < 5 * np.sqrt(200)


def test_greyscale_equals_pillow():
    image = pictures.picture()
    expected = np.asarray(Image.fromarray(image).convert("L"), np.float32)[..., None]
    result = interleaved(Grayscale().change(planar(image / 255.0), None)) * 255
    assert result.shape == image.shape
    assert np.abs(result - expected).max() <= 1


@pytest.mark.parametrize("threshold", [0, 128, 200, 256])
def test_solarize_equals_pillow(threshold):
    image = pictures.picture()
    expected = np.asarray(ImageOps.solarize(Image.fromarray(image), threshold), np.float32)
    layer = Solarize(threshold=threshold)
    result = interleaved(layer.change(planar(image / 255.0), None)) * 255
    np.testing.assert_allclose(result, expected, atol=1e-3)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_extreme_images_stay_in_range(value):
    images = np.full((24, 4, 4, 3), value, np.float32)
    images[:, 0, 0] = (1, 0, 0)
    layer = ColorJitter(brightness=1.0, contrast=1.0, saturation=1.0, hue=0.5)
    result = layer({"images": images, "keys": tf.range(24, dtype=tf.int64)})["images"].numpy()
    assert np.isfinite(result).all() and result.min() >= 0 and result.max() <= 1


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_operations_compile(name):
    image = planar(pictures.picture(8, 8) / 255.0)
    function = getattr(colour, f"adjust_{name}")
    compiled = tf.function(function, jit_compile=True, autograph=False)
    # The angle of a hue is below two turns, where float32 has steps of 2.4e-7, and then counts six
    # times.
    atol = 6 * 2.4e-7 * 2 if name == "hue" else 1e-6
    np.testing.assert_allclose(
        compiled(image, tf.constant(0.3)), function(image, tf.constant(0.3)), atol=atol
    )


@pytest.mark.parametrize("bad", [{"hue": 0.6}, {"brightness": -0.1}])
def test_bad_strengths_are_refused(bad):
    with pytest.raises(ValueError, match="ColorJitter: expected strengths >= 0 .* Received: "):
        ColorJitter(**bad)
