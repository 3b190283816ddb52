"""Resizing of windows against Pillow, and one path against the other."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.random_inputs import fresh_rng
from tests.views import pictures
from tfssl.views.resample import Window, resize_batch, resize_windows

PILLOW = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}


def window(start, length, size, resized=None, first=(0, 0)):
    return Window(*(tf.constant([v]) for v in (start, length, resized or (size, size), first)))


def resize(image, place, size, interpolation):
    columns = tf.transpose(image, [1, 2, 0])
    return resize_windows(columns, place, size=size, interpolation=interpolation)[0].numpy()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [1, 7, 32, 100])
@pytest.mark.parametrize("shape", [(90, 130), (33, 31), (400, 20), (3, 200), (1, 1), (2, 1)])
def test_whole_image_equals_pillow(shape, size, interpolation):
    # Pillow clips between its passes, so nothing may overshoot; there it also rounds.
    image = pictures.picture(*shape, margin=64)
    pillow = Image.fromarray(image).resize((size, size), PILLOW[interpolation])
    result = resize(image, window((0, 0), shape, size), size, interpolation)
    assert result.shape == (size, size, 3) and result.dtype == np.float32
    assert np.abs(result * 255 - np.asarray(pillow)).max() <= 1.5
    assert result.min() >= 0 and result.max() <= 1 + 1e-6


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_windows_equal_pillow_and_never_see_outside(interpolation):
    rng = fresh_rng()
    image = pictures.picture(70, 90, margin=64)
    for _ in range(10):
        height, width = rng.integers(1, 71), rng.integers(1, 91)
        top, left = rng.integers(0, 71 - height), rng.integers(0, 91 - width)
        part = Image.fromarray(image).crop((left, top, left + width, top + height))
        pillow = np.asarray(part.resize((24, 24), PILLOW[interpolation]))
        place = window((top, left), (height, width), 24)
        result = resize(image, place, 24, interpolation)
        assert np.abs(result * 255 - pillow).max() <= 1.5
        outside = np.array(image)
        mask = np.ones(image.shape[:2], bool)
        mask[top : top + height, left : left + width] = False
        outside[mask] = 255 - outside[mask]
        np.testing.assert_array_equal(resize(outside, place, 24, interpolation), result)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_both_paths_agree(interpolation):
    """The dense and the blocked product, on windows with an output that is cut too."""
    rng = fresh_rng()
    images = rng.random((5, 3, 40, 50)).astype(np.float32)
    length = np.stack([rng.integers(1, 41, 5), rng.integers(1, 51, 5)], 1)
    start = np.stack([rng.integers(0, 41 - length[:, 0]), rng.integers(0, 51 - length[:, 1])], 1)
    first = rng.integers(0, 5, (5, 2))
    fields = (start, length, np.full((5, 2), 25) + first, first)
    places = Window(*(tf.constant(f, tf.int32) for f in fields))
    dense = resize_batch(images, places, size=25, interpolation=interpolation).numpy()
    for i, image in enumerate(images):
        one = Window(*(field[i : i + 1] for field in places))
        columns = tf.constant(image.transpose(2, 0, 1))
        blocked = resize_windows(columns, one, size=25, interpolation=interpolation)[0]
        np.testing.assert_allclose(dense[i], blocked.numpy().transpose(2, 0, 1), atol=2e-5)


def test_same_size_gives_the_same_pixels():
    image = pictures.picture(30, 30)
    for interpolation in PILLOW:
        result = resize(image, window((0, 0), (30, 30), 30), 30, interpolation)
        np.testing.assert_allclose(result * 255, image, atol=1e-3)


def test_float_images_keep_their_range():
    image = pictures.picture(40, 40).astype(np.float32) / 255
    result = resize(image, window((3, 5), (30, 22), 16), 16, "bilinear")
    pillow = resize((image * 255).astype(np.uint8), window((3, 5), (30, 22), 16), 16, "bilinear")
    np.testing.assert_allclose(result, pillow, atol=0.5 / 255)


def test_unknown_interpolation_is_refused():
    with pytest.raises(ValueError, match="expected one of bilinear, bicubic. Received: "):
        resize(pictures.picture(), window((0, 0), (2, 2), 2), 2, "nearest")
