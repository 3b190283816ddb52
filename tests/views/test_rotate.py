"""Rotation against scikit-image."""

import numpy as np
import pytest
import tensorflow as tf
from skimage import transform

from tests.random_inputs import fresh_rng
from tfssl import views
from tfssl.ops import fold_key, keyed_uniform


def rotated(images, degrees, keys, **options):
    run = tf.function(views.Rotation(degrees=degrees).transform, **options)
    planar = tf.transpose(tf.constant(images, tf.float32), [0, 3, 1, 2])
    return tf.transpose(run(planar, keys), [0, 2, 3, 1]).numpy()


@pytest.mark.parametrize("shape", [(9, 9), (8, 13), (1, 6)])
@pytest.mark.parametrize("degrees", [2.0, 40.0, 180.0])
@pytest.mark.parametrize("compiled", [False, True])
def test_agrees_with_scikit_image(shape, degrees, compiled):
    images = fresh_rng().random((4, *shape, 3))
    keys = fold_key(int(fresh_rng().integers(2**31)), tf.range(4))
    received = rotated(images, degrees, keys, jit_compile=compiled)
    draws = keyed_uniform(keys, 2)[:, 1].numpy()
    for image, draw, result in zip(images, draws, received):
        angle = (2 * draw - 1) * degrees
        expected = transform.rotate(image, angle, order=1, mode="constant", clip=False)
        np.testing.assert_allclose(result, expected, atol=2e-4)


def test_angle_0_changes_nothing_and_angles_are_uniform():
    images = fresh_rng().random((2, 7, 5, 3)).astype(np.float32)
    keys = fold_key(1, tf.range(2))
    np.testing.assert_allclose(rotated(images, 0.0, keys), images, atol=1e-6)
    # A single bright pixel at a known distance says by how much it was turned.
    count = 300
    images = np.zeros((count, 41, 41, 3), np.float32)
    images[:, 20, 36] = 1
    turned = rotated(images, 30.0, fold_key(2, tf.range(count)))[..., 0]
    rows, columns = np.mgrid[-20:21, -20:21]
    mass = turned.sum(axis=(1, 2))
    angles = np.degrees(
        np.arctan2(-(turned * rows).sum((1, 2)) / mass, (turned * columns).sum((1, 2)) / mass)
    )
    assert np.abs(angles).max() < 31 and np.abs(angles.mean()) < 4
    assert np.std(angles) == pytest.approx(30 / np.sqrt(3), rel=0.15)


@pytest.mark.parametrize("degrees", [-1.0, np.inf, np.nan])
def test_bad_angles_are_refused(degrees):
    with pytest.raises(ValueError, match="Rotation: expected degrees >= 0. Received: "):
        views.Rotation(degrees=degrees)
