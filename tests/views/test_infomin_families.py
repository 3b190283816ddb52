"""InfoMin's views against sections 2.2 to 2.5 of its sheet."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tests.views import pictures
from tfssl import views
from tfssl.ops import fold_key
from tfssl.settings import SettingsError
from tfssl.views.rand_augment_operations import INFOMIN_OPERATIONS

LADDER = {
    "cj_0.125": ("ColorJitter",),
    "cj_0.25": ("ColorJitter",),
    "cj_0.5": ("ColorJitter",),
    "cj": ("ColorJitter",),
    "ra": ("RandAugment",),
    "cj_blur": ("ColorJitter", "GaussianBlur"),
    "ra_cj": ("ColorJitter", "RandAugment"),
    "ra_cj_blur": ("ColorJitter", "GaussianBlur", "RandAugment"),
    "infomin": ("ColorJitter", "GaussianBlur", "RandAugment"),
}
STRENGTHS = ("brightness", "contrast", "saturation", "hue")


def steps(family):
    """The random layers of a built family's views, by name, in order."""
    layers = [view.layers for view in family._views[:2]]
    assert layers[0] is layers[1]
    return {type(layer).__name__: layer for layer in layers[0]}


def test_views_of_its_linear_classifier():
    """Section 5.1: RandAugment after the flip."""
    family = views.build("linear_rand_augment", image_size=32)
    (view,) = family._views
    found = {type(layer).__name__: layer for layer in view.layers}
    assert tuple(found) == ("Levels", "HorizontalFlip", "RandAugment", "Normalize")
    assert set(found["RandAugment"].operations) == set(INFOMIN_OPERATIONS)
    assert view.crop.area == (0.08, 1.0)


@pytest.mark.parametrize("name", LADDER)
def test_the_ladder(name):
    """Crop, flip, the members, greyscale: Figure 4 and its order."""
    family = views.build(name, image_size=32)
    found = steps(family)
    assert tuple(found) == ("Levels", "HorizontalFlip", *LADDER[name], "Grayscale", "Normalize")
    crop = family._views[0].crop
    assert (crop.area, crop.interpolation) == ((0.2, 1.0), "bilinear")
    assert crop.ratio == pytest.approx((3 / 4, 4 / 3))
    assert found["HorizontalFlip"].probability == 0.5
    assert (found["Grayscale"].probability, found["Grayscale"].levels) == (0.2, True)
    assert family.mean == (0.485, 0.456, 0.406) and family.std == (0.229, 0.224, 0.225)
    if "ColorJitter" in found:
        jitter = found["ColorJitter"]
        assert (jitter.probability, jitter.levels) == (0.8, True)
        x = float(name.partition("_")[2]) if name.startswith("cj_0") else 1.0
        wanted = [0.8 * x, 0.8 * x, 0.8 * x, 0.2 * x]
        assert [jitter.strengths[s] for s in STRENGTHS] == pytest.approx(wanted)
    if "GaussianBlur" in found:
        blur = found["GaussianBlur"]
        assert (blur.probability, blur.sigma, blur.window) == (0.5, (0.1, 2.0), 23)
    if "RandAugment" in found:
        random = found["RandAugment"]
        assert set(random.operations) == set(INFOMIN_OPERATIONS)
        assert (random.num_operations, random.operation_probability) == (2, 0.5)
        assert (random.magnitude, random.deviation) == (10.0, 0.5)
        assert random.fill == (124, 116, 104) and random.probability == 1.0


def test_the_strength_of_jitter():
    """CJ(x) multiplies all four; 0.4 is Figure 4's hue, clipped at half a turn (8.1)."""

    def found(**options):
        family = views.build("cj", image_size=32, **options)
        return [steps(family)["ColorJitter"].strengths[s] for s in STRENGTHS]

    assert found(jitter_strength=2.5) == pytest.approx([2.0, 2.0, 2.0, 0.5])
    assert found(jitter_strength=0.5, jitter_hue=0.4) == pytest.approx([0.4, 0.4, 0.4, 0.2])
    assert found(jitter_strength=2.0, jitter_hue=0.4) == pytest.approx([1.6, 1.6, 1.6, 0.5])
    assert found(jitter_strength=0.0) == [0.0] * 4
    local = views.build("mira", image_size=32, local_crops=1, local_size=16, jitter_strength=0.5)
    strengths = local._views[2].layers[0].strengths
    assert [strengths[s] for s in STRENGTHS] == pytest.approx([0.2, 0.2, 0.1, 0.05])
    with pytest.raises(SettingsError, match="jitter_strength: .*no colour jitter.*Received: 0.5"):
        views.build("ra", image_size=32, jitter_strength=0.5)
    with pytest.raises(SettingsError, match="rand_augment: .*one of its own"):
        views.build("infomin", image_size=32, rand_augment=True)


def test_jigsaws_keep_their_colours():
    """Section 2.5: from the image itself, area (0.6, 1), flip; 64 of cells of 85 at 224."""
    family = views.build("infomin", image_size=224, jigsaw=True)
    patches = family._views[2]
    names = [type(layer).__name__ for layer in patches.layers]
    assert names == ["Levels", "HorizontalFlip", "Normalize"]
    assert (patches.crop.area, patches.crop.size) == ((0.6, 1.0), 255)
    assert family.patch_size == 64


def test_views_are_whole_levels():
    """Every layer takes and gives pixels of 8 bits."""
    images = np.stack([pictures.picture(40, 50) for _ in range(12)])
    family = views.build("infomin", image_size=16, xla=False)
    keys = fold_key(int(fresh_rng().integers(2**31)), tf.range(12))
    for view in tf.function(family, autograph=False)(tf.constant(images), keys):
        pixels = 255 * (view.numpy() * family.std + family.mean)
        np.testing.assert_allclose(pixels, np.round(pixels), atol=2e-3)
        assert pixels.min() > -1e-2 and pixels.max() < 255.01


def test_layers_fire_at_their_rates():
    """Property 13: flips of half the views, grey of a fifth, of a coloured ramp left to right."""
    count = 3000
    ramp = np.linspace(0, 1, 8)
    image = np.stack([ramp, 0.5 * ramp, 0.2 * ramp], -1)[None].repeat(8, 0).astype(np.float32)
    family = views.build("cj", image_size=8, jitter_strength=0.0, xla=False)
    keys = fold_key(int(fresh_rng().integers(2**31)), tf.range(count))
    images = tf.tile(image[None], [count, 1, 1, 1])
    view = tf.function(family, autograph=False)(images, keys)[0].numpy()
    view = view * family.std + family.mean
    flipped = view[:, :, 0].sum((1, 2)) > view[:, :, -1].sum((1, 2))
    grey = np.ptp(view, axis=-1).max((1, 2)) < 1e-3
    for found, chance in ((flipped, 0.5), (grey, 0.2)):
        assert abs(found.sum() - count * chance) < 5 * np.sqrt(count * chance * (1 - chance))


@pytest.mark.parametrize("low", [0.05, 0.2, 0.6])
def test_crops_have_the_area_they_should(low):
    """Property 14: at least the smallest area, up to rounding of the sides."""
    crop = views.RandomResizedCrop(8, area=(low, 1.0))
    keys = fold_key(int(fresh_rng().integers(2**31)), tf.range(2000))
    window = crop.window(keys, tf.constant(150), tf.constant(200))
    sides = window.length.numpy()
    share = sides.prod(1) / (150 * 200)
    rounding = (sides + 0.5).prod(1) / sides.prod(1)
    assert (share * rounding >= low - 1e-6).all() and share.max() <= 1
    assert share.min() < low + 0.1 and share.max() > 0.7
    assert (window.start.numpy() >= 0).all()
    assert (window.start.numpy() + sides <= [150, 200]).all()
