"""Digits pasted on backgrounds, pixel for pixel."""

import numpy as np
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl.data.moving_frames import cut, render


def test_frames_are_the_mixture_of_digit_and_background():
    rng = fresh_rng()
    digits = rng.integers(0, 256, [3, 28, 28]).astype(np.uint8)
    backgrounds = rng.integers(0, 256, [3, 64, 64, 3]).astype(np.uint8)
    places = rng.uniform(0, 36, [3, 4, 2]).astype(np.float32)
    places[0, 0], places[0, 1] = (0, 36), (35.999, 0.999)
    frames = render(*map(tf.constant, (digits, places, backgrounds))).numpy()
    assert frames.shape == (3, 4, 64, 64, 3) and frames.dtype == np.uint8
    for digit, background, row, shown in zip(digits, backgrounds, places, frames):
        for (y, x), frame in zip(row.astype(int), shown):
            alpha = np.zeros([64, 64, 1])
            alpha[y : y + 28, x : x + 28, 0] = digit / 255
            expected = (1 - alpha) * background / 255 + alpha
            # Half a grey level of rounding, and that of float32.
            assert np.abs(frame / 255 - expected).max() < 0.501 / 255


def test_squares_are_cut_where_asked():
    rng = fresh_rng()
    images = rng.integers(0, 256, [5, 96, 80, 3]).astype(np.uint8)
    corners = rng.integers(0, [33, 17], [5, 2]).astype(np.int32)
    for image, (y, x), found in zip(images, corners, cut(images, tf.constant(corners)).numpy()):
        np.testing.assert_array_equal(found, image[y : y + 64, x : x + 64])
