"""Families whose views are groups of channels of a crop."""

import numpy as np
import pytest
import tensorflow as tf

from tests.views import pictures
from tfssl import views
from tfssl.ops import fold_key
from tfssl.settings import SettingsError
from tfssl.views import ViewsConfig

SIZE = 16


def photographs(count=4):
    return np.stack([pictures.picture(20, 20) for _ in range(count)])


@pytest.mark.parametrize("space", list(views.COLOR_SPACES))
def test_views_are_the_channels_of_one_crop(space):
    """Property 14: and Lab is within [-1, 1]."""
    options = {"image_size": SIZE, "xla": False}
    plain = views.build("crop", mean=(0, 0, 0), std=(1, 1, 1), **options)
    split = views.build("crop", color_split=space, **options)
    images, keys = photographs(), fold_key(0, tf.range(4))
    (crops,) = plain(images, keys)
    first, rest = split(images, keys)
    statistics = views.FAMILIES["crop"] if space == "rgb" else views.COLOR_SPACES[space]
    expected = (views.convert_color(crops, space) - statistics.mean) / statistics.std
    np.testing.assert_allclose(tf.concat([first, rest], axis=-1), expected, atol=2e-4)
    assert split.channels == (1, 2) and split.sizes == (SIZE, SIZE) and split.num_crops == 1
    if space == "lab":
        assert np.abs(expected).max() <= 1 + 1e-3


def test_groups_crops_and_patches():
    config = ViewsConfig(
        views="ydbdr",
        image_size=SIZE,
        num_views=2,
        color_groups="1,1,1",
        jigsaw=True,
        jigsaw_patch=4,
        views_xla=False,
    )
    family = views.build_from(config)
    assert family.channels == (1,) * 6 and (family.num_views, family.num_crops) == (6, 2)
    images, keys = photographs(), fold_key(0, tf.range(4))
    made = family(images, keys)
    assert [part.shape[-1] for part in made] == [1] * 6 + [3]
    crops = [tf.stack(c) for c in zip(*(family.crop(i, k) for i, k in zip(images, keys)))]
    assert len(crops) == 3
    for one, other in zip(made, family.finish(crops, keys)):
        np.testing.assert_allclose(one, other, atol=1e-4)
    # Two crops of an image differ, two channels of one lie at the same place.
    assert np.abs(made[0] - made[3]).mean() > 1e-2


def test_evaluation_sees_all_channels_in_the_same_colours():
    config = ViewsConfig(views="crop", image_size=SIZE, color_split="yuv", views_xla=False)
    family = views.build_from(config, family="eval")
    assert (family.color, family.channels, family.num_views) == ("yuv", (3,), 1)
    assert (family.mean, family.std) == (views.COLOR_SPACES["yuv"].mean, family.std)
    images, keys = photographs(), fold_key(0, tf.range(4))
    plain = views.build("eval", image_size=SIZE, mean=(0, 0, 0), std=(1, 1, 1), xla=False)
    expected = views.convert_color(plain(images, keys)[0], "yuv")
    expected = (expected - family.mean) / family.std
    np.testing.assert_allclose(family(images, keys)[0], expected, atol=1e-4)


def test_whole_images_in_another_space():
    family = views.build("cifar", image_size=SIZE, color_split="lab", color_groups="3", xla=False)
    assert family.channels == (3, 3) and family.groups == (3,) and family.color == "lab"


def test_rand_augment_comes_before_the_colours():
    family = views.build("lab", image_size=SIZE, rand_augment=True, xla=False)
    names = [type(layer).__name__ for layer in family._views[0].layers]
    assert names == ["HorizontalFlip", "RandAugment", "ColorConversion", "Normalize"]
    plain = views.build("lab", image_size=SIZE, xla=False)
    images, keys = photographs(), fold_key(0, tf.range(4))
    changed = [np.abs(a - b).max() for a, b in zip(family(images, keys)[0], plain(images, keys)[0])]
    assert max(changed) > 0.05


def test_more_crops_than_a_recipe_has_where_all_are_alike():
    assert views.build("lab", image_size=SIZE, num_views=3).num_crops == 3
    assert views.build("simclr", image_size=SIZE, num_views=4).num_views == 4


@pytest.mark.parametrize(
    "values, field",
    [
        ({"views": "byol", "num_views": 3}, "num_views"),
        ({"views": "lab", "color_groups": "1,1"}, "color_groups"),
        ({"views": "lab", "color_groups": "0,3"}, "color_groups"),
        ({"views": "lab", "color_groups": "a"}, "color_groups"),
        ({"views": "simclr", "color_groups": "1,2"}, "color_groups"),
        ({"color_split": "cmyk"}, "color_split"),
        ({"views": "simclr", "patch_distance": 32}, "patch_distance"),
        ({"views": "patches", "crop_min_area": 0.2}, None),
        ({"views": "patches", "rand_augment": True}, "rand_augment"),
        ({"views": "patches", "jigsaw": True}, "jigsaw"),
    ],
)
def test_settings_that_cannot_be_are_refused(values, field):
    with pytest.raises(SettingsError, match="expected .* Received: ") as raised:
        ViewsConfig(**values)
    assert raised.value.field == field
