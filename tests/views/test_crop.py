"""Crop windows against torchvision's rules in plain Python, and their distribution."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl.ops.keyed_random import keyed_uniform
from tfssl.views import CentreCrop, RandomResizedCrop


def python_window(draws, height, width, area, ratio):
    """torchvision's RandomResizedCrop.get_params on given uniform draws."""
    for i in range(10):
        target = height * width * (area[0] + draws[i] * (area[1] - area[0]))
        low, high = math.log(ratio[0]), math.log(ratio[1])
        aspect = math.exp(low + draws[10 + i] * (high - low))
        w, h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < w <= width and 0 < h <= height:
            top = math.floor(draws[20] * (height - h + 1))
            return top, math.floor(draws[21] * (width - w + 1)), h, w
    w, h = width, height
    if width / height < ratio[0]:
        h = max(1, round(w / ratio[0]))
    elif width / height > ratio[1]:
        w = max(1, round(h * ratio[1]))
    return (height - h) // 2, (width - w) // 2, h, w


@pytest.mark.parametrize("area", [(0.08, 1.0), (0.05, 0.14), (0.9, 1.0)])
@pytest.mark.parametrize(
    "shape", [(32, 32), (375, 500), (500, 333), (1, 1), (2, 3), (10, 300), (900, 7)]
)
def test_windows_equal_torchvisions_rules(shape, area):
    keys = fresh_rng().integers(0, 2**62, 200)
    layer = RandomResizedCrop(24, area=area, stream=2)
    window = layer.window(tf.constant(keys), *shape)
    found = np.concatenate([window.start, window.length], 1)
    draws = keyed_uniform(keys, 22, stream=2).numpy().astype(np.float64)
    expected = [python_window(d, *shape, area, (3 / 4, 4 / 3)) for d in draws]
    np.testing.assert_array_equal(found, expected)
    assert (window.resized.numpy() == 24).all() and not window.first.numpy().any()
    assert (found[:, :2] >= 0).all() and (found[:, 2:] >= 1).all()
    assert (found[:, :2] + found[:, 2:] <= shape).all()


def test_area_and_ratio_have_their_distributions():
    """On a large image: area uniform, ratio log-uniform, place uniform."""
    count, side = 4000, 4000
    window = RandomResizedCrop(24, area=(0.1, 0.5)).window(tf.range(count), side, side)
    length, start = window.length.numpy().astype(float), window.start.numpy()
    area = (length.prod(1) / side**2 - 0.1) / 0.4
    ratio = (np.log(length[:, 1] / length[:, 0]) / math.log(4 / 3) + 1) / 2
    place = (start[:, 0] / (side - length[:, 0]), start[:, 1] / (side - length[:, 1]))
    for values in (area, ratio, *place):
        counts = np.histogram(values, 10, (0, 1))[0]
        assert np.abs(counts - count / 10).max() < 5 * math.sqrt(count / 10 * 0.9)


@pytest.mark.parametrize(
    "shape, size, resized",
    [
        ((375, 500), 224, (256, 341)),
        ((500, 375), 224, (341, 256)),
        ((100, 100), 224, (256, 256)),
        ((64, 96), 64, (73, 109)),
        ((32, 32), 32, (32, 32)),
        ((33, 32), 32, (38, 37)),
        ((128, 128), 128, (146, 146)),
        ((1, 500), 32, (37, 18500)),
    ],
)
def test_centre_crop_plan(shape, size, resized):
    """Short side to round(size * 256 / 224), the long one in proportion, rounded down."""
    window = CentreCrop(size).window(tf.zeros([2], tf.int64), *shape)
    np.testing.assert_array_equal(window.resized, [resized] * 2)
    np.testing.assert_array_equal(window.length, [shape] * 2)
    first = [round((r - size) / 2) for r in resized]
    np.testing.assert_array_equal(window.first, [first] * 2)
    assert not window.start.numpy().any()


def test_small_images_of_the_asked_size_pass_evaluation_unchanged():
    images = fresh_rng().random((3, 32, 32, 3)).astype(np.float32)
    for interpolation in ("bilinear", "bicubic"):
        layer = CentreCrop(32, interpolation=interpolation)
        result = layer({"images": images, "keys": tf.zeros([3], tf.int64)})["images"]
        np.testing.assert_allclose(result, images, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomResizedCrop(0),
        lambda: RandomResizedCrop(8, area=(0.0, 1.0)),
        lambda: RandomResizedCrop(8, area=(0.5, 1.1)),
        lambda: RandomResizedCrop(8, ratio=(2.0, 1.0)),
        lambda: CentreCrop(8, interpolation="nearest"),
    ],
)
def test_bad_arguments_are_refused(make):
    with pytest.raises(ValueError, match="expected .* Received: "):
        make()
