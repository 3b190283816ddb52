"""Pairs of patches: where they lie, and that the two are drawn together."""

import numpy as np
import pytest
import tensorflow as tf

from tests.views import pictures
from tfssl import views
from tfssl.ops import fold_key


def pair(size, distance):
    return [
        views.PatchPair(size, patch=i, distance=distance, interpolation="bilinear") for i in (0, 1)
    ]


def windows(layers, keys, height, width):
    return [layer.window(keys, tf.constant(height), tf.constant(width)) for layer in layers]


@pytest.mark.parametrize("distance", [0, 64, 150])
def test_places_are_uniform_and_a_distance_apart(distance):
    keys = fold_key(0, tf.range(4000))
    first, second = windows(pair(64, distance), keys, 220, 300)
    for one in (first, second):
        np.testing.assert_array_equal(one.length, np.full([4000, 2], 64))
    np.testing.assert_array_equal(second.start - first.start, np.full([4000, 2], distance))
    start = first.start.numpy()
    largest = np.array([220, 300]) - 64 - distance
    assert (start.min(axis=0) == 0).all() and (start.max(axis=0) == largest).all()
    deviation = (largest + 1) / np.sqrt(12 * 4000)
    assert (np.abs(start.mean(axis=0) - largest / 2) < 5 * deviation).all()


@pytest.mark.parametrize("shape", [(40, 300), (7, 9), (1, 1)])
def test_images_that_are_too_small_are_enlarged(shape):
    keys = fold_key(1, tf.range(200))
    first, second = windows(pair(16, 48), keys, *shape)
    scale = min(shape) / 64
    for one in (first, second):
        end = (one.start + one.length).numpy()
        assert (one.start.numpy() >= 0).all() and (end <= np.array(shape)).all()
        assert int(one.length[0, 0]) == max(1, round(16 * scale))
        assert (one.resized.numpy() == 16).all()
    apart = (second.start - first.start).numpy()
    assert (apart == apart[0, 0]).all() and abs(apart[0, 0] - 48 * scale) <= 1


def test_a_family_cuts_the_pixels_as_they_are():
    family = views.build("patches", image_size=8, patch_distance=10, xla=False)
    image = pictures.picture(40, 50, detail=20)
    unit = (image / 255.0 - family.mean) / family.std
    for key in fold_key(0, tf.range(5)):
        keys = key[tf.newaxis]
        crops = [crop[tf.newaxis] for crop in family.crop(image, key)]
        one, other = (view.numpy()[0] for view in family.finish(crops, keys))
        (top, left), _ = np.where(np.abs(unit - one[0, 0]).max(axis=2) < 1e-5), None
        places = [
            (y, x)
            for y, x in zip(top, left)
            if y + 18 <= 40
            and x + 18 <= 50
            and np.allclose(unit[y : y + 8, x : x + 8], one, atol=1e-4)
            and np.allclose(unit[y + 10 : y + 18, x + 10 : x + 18], other, atol=1e-4)
        ]
        assert places
    assert family.sizes == (8, 8) and family.channels == (3, 3)


def test_two_crops_of_pixels_lie_at_two_places():
    """Unlike a pair, which has one key."""
    family = views.build("lab_pixels", image_size=8, num_views=2, color_groups="3", xla=False)
    image = pictures.picture(40, 50, detail=20)
    unit, differ = image / 255.0, 0
    for key in fold_key(0, tf.range(6)):
        places = []
        for crop in family.crop(image, key):
            windows = np.lib.stride_tricks.sliding_window_view(unit, (8, 8), axis=(0, 1))
            distance = np.abs(windows.transpose(0, 1, 3, 4, 2) - crop.numpy()).max(axis=(2, 3, 4))
            places.append(np.unravel_index(distance.argmin(), distance.shape))
            assert distance.min() < 1e-6
        differ += places[0] != places[1]
    assert differ >= 4


def test_whole_batches_go_the_same_way():
    family = views.build("patches", image_size=8, patch_distance=4, xla=False)
    images = np.stack([pictures.picture(20, 20) for _ in range(3)])
    keys = fold_key(2, tf.range(3))
    crops = [tf.stack(c) for c in zip(*(family.crop(i, k) for i, k in zip(images, keys)))]
    for one, other in zip(family(images, keys), family.finish(crops, keys)):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("change", [{"patch": 2}, {"distance": -1}, {"size": 0}])
def test_wrong_arguments(change):
    arguments = {"size": 8, "patch": 0, "distance": 4, **change}
    with pytest.raises(ValueError, match="expected .*Received: "):
        views.PatchPair(arguments.pop("size"), **arguments)
