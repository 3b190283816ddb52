"""Properties 18, 19, 31 and 32 of the InfoMin sheet, section 7.

29 and 30 are of the Detectron2 export.
"""

import numpy as np
import pytest
import tensorflow as tf
from absl import flags

from tests.random_inputs import fresh_rng
from tfssl import config, views
from tfssl.evaluation import EvaluationConfig, softmax_regression
from tfssl.ops import fold_key

# Detectron2's statistics on the scale 0..255 (section 5.2).
PIXEL_MEAN, PIXEL_STD = (123.675, 116.280, 103.530), (58.395, 57.120, 57.375)


@pytest.mark.parametrize("distance", [64, 128, 384])
def test_property_18_patches_are_a_distance_apart(distance):
    """Exactly (d, d), both inside; an image with no room for both is enlarged, not refused."""
    keys = fold_key(int(fresh_rng().integers(2**31)), tf.range(500))
    pair = [views.PatchPair(64, patch=i, distance=distance) for i in (0, 1)]
    height, width = 64 + distance + 20, 64 + distance + 1
    first, second = (layer.window(keys, tf.constant(height), tf.constant(width)) for layer in pair)
    apart = (second.start - first.start).numpy()
    np.testing.assert_array_equal(apart, np.full([500, 2], distance))
    assert (first.start.numpy() >= 0).all()
    assert (second.start.numpy() + 64 <= [height, width]).all()
    assert len(np.unique(first.start.numpy()[:, 0])) == 21


@pytest.mark.parametrize("space", ["ydbdr", "yiq", "yuv", "ypbpr", "ycbcr"])
def test_property_19_linear_spaces(space):
    """They can be inverted, grey has no chroma, and views are channel 1 and channels 2 and 3."""
    basis = views.convert_color(np.vstack([np.eye(3), np.zeros((1, 3))]), space).numpy()
    matrix, offset = (basis[:3] - basis[3]).T, basis[3]
    colours = fresh_rng().random((200, 3))
    found = views.convert_color(colours, space).numpy()
    back = np.linalg.solve(matrix, (found - offset).T).T
    np.testing.assert_allclose(back, colours, atol=1e-5)
    grey = np.repeat(fresh_rng().random((20, 1)), 3, axis=1)
    chroma = views.convert_color(grey, space).numpy()[:, 1:] - offset[1:]
    np.testing.assert_allclose(chroma, 0, atol=2e-5)
    if space == "ydbdr":
        np.testing.assert_allclose(matrix.sum(axis=1), [1, 0, 0], atol=1e-12)
    family = views.build("crop", image_size=12, color_split=space, xla=False)
    images, keys = fresh_rng().random((2, 12, 12, 3)).astype(np.float32), fold_key(0, tf.range(2))
    one, two = family(images, keys)
    assert (one.shape[-1], two.shape[-1]) == (1, 2)
    whole = views.build("crop", image_size=12, color_split=space, color_groups="3", xla=False)
    np.testing.assert_array_equal(tf.concat([one, two], -1), whole(images, keys)[0])


def test_property_31_detectron2_normalises_as_training_does():
    pixels = fresh_rng().random((4, 5, 3))
    family = views.build("infomin", image_size=8)
    expected = (pixels - family.mean) / family.std
    np.testing.assert_allclose((255 * pixels - PIXEL_MEAN) / PIXEL_STD, expected, atol=1e-4)


def test_property_32_the_linear_protocol():
    """30, 6 from epoch 31, 1.2 from 41, 0.24 from 51; that encoders stay is its own room's test."""
    known = flags.FlagValues()
    config.define_settings(EvaluationConfig, known)
    path = "--flagfile=configs/evaluation/infomin.cfg"
    known(["evaluate", *config.expand([path])])
    settings = config.settings_from_flags(EvaluationConfig, known)
    (rate,) = settings.rates()
    found = softmax_regression.rates(
        rate, settings.linear_epochs, settings.milestones(), settings.linear_decay_factor
    )
    expected = [30.0] * 30 + [6.0] * 10 + [1.2] * 10 + [0.24] * 10
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert settings.linear_weight_decay == 0 and settings.linear_batch_size == 256
    assert settings.augment and settings.augment_min_area == 0.2
