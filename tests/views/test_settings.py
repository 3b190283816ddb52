"""Settings of views and the families they build."""

import pytest

from tfssl import views
from tfssl.settings import SettingsError
from tfssl.views import ViewsConfig


def test_settings_reach_the_family():
    config = ViewsConfig(
        views="mira",
        image_size=64,
        local_crops=2,
        local_size=24,
        crop_min_area=0.3,
        crop_max_area=0.9,
        interpolation="bilinear",
        views_xla=False,
    )
    family = views.build_from(config)
    assert family.name == "mira" and family.sizes == (64, 64, 24, 24)
    assert [view.crop.area for view in family._views[:2]] == [(0.3, 0.9)] * 2
    assert family._views[2].crop.area == (0.05, 0.14)
    assert {view.crop.interpolation for view in family._views} == {"bilinear"}


def test_unset_settings_are_the_familys_own():
    family = views.build_from(ViewsConfig(views="cifar", image_size=32))
    assert family.sizes == (32, 32)
    assert family._views[0].crop.area == (0.2, 1.0)
    assert family.mean == (0.4914, 0.4822, 0.4465)


@pytest.mark.parametrize("name", ["eval", "linear"])
def test_evaluation_keeps_size_and_statistics_of_training(name):
    config = ViewsConfig(views="cifar", image_size=32, crop_min_area=0.5, jigsaw=True)
    family = views.build_from(config, family=name)
    trained = views.build_from(config)
    assert (family.patch_size, trained.patch_size) == (None, 9)
    assert (family.name, family.sizes) == (name, (32,))
    assert (family.mean, family.std) == (trained.mean, trained.std)


@pytest.mark.parametrize(
    "values, field",
    [
        ({"views": "nothing"}, "views"),
        ({"image_size": 0}, "image_size"),
        ({"image_size": 32, "eval_resize": 31}, "eval_resize"),
        ({"interpolation": "nearest"}, "interpolation"),
        ({"crop_min_area": 0.0}, "crop_min_area"),
        ({"crop_max_area": 1.5}, "crop_max_area"),
        ({"crop_min_area": 0.5, "crop_max_area": 0.4}, "crop_min_area"),
        ({"crop_max_area": 0.1}, "crop_min_area"),
        ({"views": "byol", "local_crops": 2}, "local_crops"),
        ({"views": "byol", "local_size": 64}, "local_size"),
        ({"views": "eval", "crop_min_area": 0.2}, None),
        ({"views": "eval", "jigsaw": True}, "jigsaw"),
        ({"views": "linear", "jigsaw": True}, "jigsaw"),
        ({"views": "clip_frame", "jigsaw": True}, "jigsaw"),
        ({"views": "clip_frame", "rand_augment": True}, "rand_augment"),
        ({"views": "clip_frame", "num_views": 2}, "num_views"),
        ({"views": "clip_frame", "color_split": "lab"}, "color_split"),
        ({"views": "clip_frame", "interpolation": "bicubic"}, "interpolation"),
        ({"views": "clip_frame", "local_crops": 2}, "local_crops"),
        ({"jigsaw_patch": 16}, "jigsaw_patch"),
        ({"jigsaw": True, "jigsaw_patch": 0}, "jigsaw_patch"),
    ],
)
def test_settings_that_cannot_be_are_refused(values, field):
    with pytest.raises(SettingsError, match="expected .* Received: ") as raised:
        ViewsConfig(**values)
    assert raised.value.field == field


def test_unknown_family_is_refused_with_the_choices():
    with pytest.raises(SettingsError, match="expected one of mira, .* Received: 'moco'"):
        views.build("moco", image_size=32)
