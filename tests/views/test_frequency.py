"""Low and high frequencies as views: property 20 of the InfoMin sheet, and section 3.3."""

import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from tests.random_inputs import fresh_rng
from tests.views import pictures
from tfssl import views
from tfssl.ops import fold_key
from tfssl.settings import SettingsError
from tfssl.views.frequency import split_frequencies

SIZE = 16
SIGMAS = (0.1, 0.7, 1.0, 2.5, 5.0)


def split(images, sigma, *, compiled=True):
    """Low and high parts of images `[batch, height, width, 3]`."""
    layer = views.FrequencySplit(sigma)
    run = tf.function(layer.transform, jit_compile=compiled, autograph=False)
    planar = tf.transpose(tf.constant(images, tf.float32), [0, 3, 1, 2])
    both = tf.transpose(run(planar, fold_key(0, tf.range(len(images)))), [0, 2, 3, 1])
    return both[..., :3].numpy(), both[..., 3:].numpy()


@pytest.mark.parametrize("shape", [(20, 33), (9, 7)])
@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_low_part_is_scipys_gaussian(sigma, shape):
    """Cut off at ceil(4 sigma) pixels, and reflected at the edges, which are not repeated."""
    images = fresh_rng().random((2, *shape, 3))
    low, high = split(images, sigma)
    reach = {"sigma": sigma, "radius": math.ceil(4 * sigma), "mode": "mirror"}
    expected = images
    for axis in (1, 2):
        expected = ndimage.gaussian_filter1d(expected, axis=axis, **reach)
    np.testing.assert_allclose(low, expected, atol=1e-5)
    np.testing.assert_allclose(low + high, images, atol=1e-6)


def test_it_always_fires():
    with pytest.raises(ValueError, match="expected probability=1. Received: 0.5"):
        views.FrequencySplit(1.0, probability=0.5)
    with pytest.raises(ValueError, match="expected sigma >= 0. Received: sigma=-1"):
        views.FrequencySplit(-1.0)


def test_a_constant_image_has_no_high_part():
    images = np.full((1, 12, 12, 3), 0.37)
    for sigma in SIGMAS:
        np.testing.assert_allclose(split(images, sigma)[1], 0, atol=1e-6)


def test_without_a_blur_everything_is_low():
    images = fresh_rng().random((2, 8, 9, 3)).astype(np.float32)
    low, high = split(images, 0.0)
    np.testing.assert_array_equal(low, images)
    np.testing.assert_array_equal(high, np.zeros_like(images))
    assert np.abs(split(images, 0.05)[1]).max() < 1e-6


def test_the_low_part_varies_the_less_the_wider_the_blur():
    images = fresh_rng().random((1, 40, 40, 3))
    variances = [split(images, sigma)[0].var() for sigma in (0.0, 0.3, 0.7, 1.0, 2.0, 3.0, 5.0)]
    assert all(late <= early for early, late in zip(variances, variances[1:]))


@pytest.mark.parametrize("sigma", [0.0, 0.7, 5.0])
def test_operations_of_an_export_agree(sigma):
    """Property 20 holds for exported backbones, too."""
    images = fresh_rng().random((2, 15, 15, 3)).astype(np.float32)
    expected = np.concatenate(split(images, sigma), axis=-1)
    np.testing.assert_allclose(split_frequencies(tf.constant(images), sigma), expected, atol=1e-5)


def test_the_family_divides_one_crop():
    """Both views add up to the normalised crop; patches have all six channels."""
    options = {"image_size": SIZE, "xla": False}
    family = views.build("frequency", frequency_sigma=0.7, jigsaw=True, jigsaw_patch=5, **options)
    assert family.channels == (3, 3) and family.groups == (3, 3) and family.num_crops == 1
    images = np.stack([pictures.picture(20, 20) for _ in range(3)])
    keys = fold_key(0, tf.range(3))
    low, high, patches = family(images, keys)
    # A crop and a flip.
    plain = views.build("lab", color_split="rgb", color_groups="3", **options)
    np.testing.assert_allclose(low + high, plain(images, keys)[0], atol=1e-5)
    assert np.abs(high).mean() > 0.01 and patches.shape == (3, 9, 5, 5, 6)
    crops = [tf.stack(c) for c in zip(*(family.crop(i, k) for i, k in zip(images, keys)))]
    for one, other in zip(family.finish(crops, keys), (low, high, patches)):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_evaluation_sees_both_parts_as_one_image():
    config = views.ViewsConfig(
        views="frequency", frequency_sigma=2.0, image_size=SIZE, views_xla=False
    )
    family = views.build_from(config, family="eval")
    assert family.channels == (6,) and family.color == "frequency, sigma 2"
    images = fresh_rng().integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)
    (seen,) = family(images, fold_key(0, tf.range(2)))
    low, high = split(images / 255.0, 2.0)
    mean, std = (np.array(v) for v in (views.FAMILIES["eval"].mean, views.FAMILIES["eval"].std))
    np.testing.assert_allclose(seen[..., :3], (low - mean) / std, atol=1e-4)
    np.testing.assert_allclose(seen[..., 3:], high / std, atol=1e-4)


@pytest.mark.parametrize(
    "values, field",
    [
        ({"views": "simclr", "frequency_sigma": 2.0}, "frequency_sigma"),
        ({"views": "frequency", "color_split": "lab"}, "color_split"),
        ({"views": "frequency", "color_groups": "3"}, "color_groups"),
        ({"views": "frequency", "frequency_sigma": -1.0}, "frequency_sigma"),
    ],
)
def test_settings_without_an_effect_are_refused(values, field):
    with pytest.raises(SettingsError, match="expected .* Received: ") as raised:
        views.ViewsConfig(**values)
    assert raised.value.field == field
