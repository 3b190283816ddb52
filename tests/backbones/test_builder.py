"""Sizes, parameter counts, names of stages, and what the builder refuses."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import normal
from tfssl import backbones
from tfssl.backbones.builder import BackboneConfig
from tfssl.backbones.resnet import ARCHITECTURES
from tfssl.settings import SettingsError

# Trainable parameters: torchvision's published counts less the 1000-way classifier; MIRA's and
# InfoMin's tables for the others; the AlexNets' from their tables. Arrays: 5 a convolution with its
# normalisation, 6 where it has a bias too.
SIZES = {
    "resnet18": (11_176_512, 512, 100),
    "resnet34": (21_284_672, 512, 180),
    "resnet50": (23_508_032, 2048, 265),
    "resnet101": (42_500_160, 2048, 520),
    "resnet152": (58_143_808, 2048, 775),
    "resnext101_32x8d": (86_742_336, 2048, 520),
    "resnext152_32x8d": (120_323_392, 2048, 775),
    "alexnet": (58_299_104, 4096, 37),
    "alexnet_small": (58_162_144, 4096, 37),
    "alexnet_crops": (3_194_592, 192, 35),
    "convnet": (24_648, 64, 20),
    "tiny": (2_376, 16, 10),
}
DEEP = ("resnet101", "resnet152", "resnext101_32x8d", "resnext152_32x8d")


def _count(model):
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


def _head(model, outputs=128):
    """Parameters of a linear head."""
    return (model.feature_dim + 1) * outputs


@pytest.mark.parametrize("name", [name for name in backbones.NAMES if name not in DEEP])
def test_full_size_parameter_counts(name):
    model = backbones.build(name, image_size=64 if name == "alexnet_small" else 224)
    parameters, feature_dim, arrays = SIZES[name]
    assert _count(model) == parameters
    assert model.feature_dim == feature_dim == model.output_shape[-1]
    assert len(backbones.torch_state(model)) == arrays
    if name == "resnet50":
        # Property 15 of the CMC sheet, the single RGB encoder of section 4.5.
        assert _count(model) + _head(model) == 23_770_304


@pytest.mark.parametrize("name", DEEP)
def test_full_size_parameter_counts_of_deep_networks(name, monkeypatch):
    """Built with two blocks a stage: the others are equal to the second one."""
    whole = ARCHITECTURES[name]
    monkeypatch.setitem(ARCHITECTURES, name, dataclasses.replace(whole, depths=(2, 2, 2, 2)))
    model = backbones.build(name, image_size=224)
    parameters, arrays = _count(model), len(backbones.torch_state(model))
    for stage, depth in enumerate(whole.depths, 1):
        found = backbones.torch_state(model).items()
        block = {key: array for key, array in found if key.startswith(f"layer{stage}.1.")}
        trained = [a.size for key, a in block.items() if "running" not in key]
        parameters += (depth - 2) * sum(trained)
        arrays += (depth - 2) * len(block)
    assert (parameters, model.feature_dim, arrays) == SIZES[name]


def test_every_name_has_its_size_tested():
    assert set(SIZES) == set(backbones.NAMES)


@pytest.mark.parametrize("channels, parameters", [(1, 6_027_456), (2, 6_030_592)])
def test_cmc_encoders_of_half_width_keep_the_stem_at_64_channels(channels, parameters):
    """Property 15, the smallest ResNets of section 4.5."""
    model = backbones.build(
        "resnet50", image_size=224, channels=channels, width=0.5, stem_channels=64
    )
    assert _count(model) + _head(model) == parameters
    assert model.feature_dim == 1024


@pytest.mark.parametrize(
    "width, parameters", [(1, 47_531_200), pytest.param(2, 188_752_576, marks=pytest.mark.slow)]
)
def test_cmc_encoders_together(width, parameters):
    """Property 15, the other ResNets of section 4.5."""
    model = backbones.build("resnet50", image_size=224, channels=1, width=width, stem_channels=64)
    # The other encoder's stem sees one channel more.
    assert 2 * (_count(model) + _head(model)) + 7 * 7 * 64 == parameters
    assert model.feature_dim == 2048 * width


def test_cifar_stem_count():
    assert _count(backbones.build("resnet18", image_size=32, stem="cifar")) == 11_168_832


@pytest.mark.parametrize(
    "stem, padding, size, expected",
    [
        ("imagenet", None, 224, (112, 56, 28, 14, 7)),
        ("imagenet", None, 96, (48, 24, 12, 6, 3)),
        ("cifar", None, 32, (34, 34, 17, 9, 5)),
        ("cifar", 1, 32, (32, 32, 16, 8, 4)),
        ("cifar_stride2", None, 32, (16, 16, 8, 4, 2)),
    ],
)
def test_spatial_sizes(stem, padding, size, expected):
    """The stem's map is the one before its max pool."""
    model = backbones.build(
        "resnet18", image_size=size, stem=stem, stem_padding=padding, width=1 / 16
    )
    maps = tf.keras.Model(model.inputs, model.stage_outputs)(tf.zeros([1, size, size, 3]))
    assert list(model.stage_outputs) == ["stem", "stage1", "stage2", "stage3", "stage4"]
    assert [maps[name].shape[1] for name in model.stage_outputs] == list(expected)
    assert [maps[name].shape[-1] for name in model.stage_outputs] == [4, 4, 8, 16, 32]


@pytest.mark.parametrize("name", ["tiny", "resnet18"])
def test_one_model_takes_images_of_any_shape_and_pools_the_last_map(name):
    model = backbones.build(name, image_size=64, width=0.125)
    both = tf.keras.Model(model.inputs, [model.output, list(model.stage_outputs.values())[-1]])
    for shape in ((64, 64), (96, 96), (75, 50)):
        features, last = both(normal([2, *shape, 3]))
        assert features.shape == (2, model.feature_dim)
        np.testing.assert_allclose(features, tf.reduce_mean(last, [1, 2]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("stem", ["imagenet", "cifar", "cifar_stride2"])
@pytest.mark.parametrize("size", [1, 8, 33])
def test_tiny_takes_any_size(stem, size):
    model = backbones.build("tiny", image_size=size, stem=stem)
    assert model(normal([2, size, size, 3])).shape == (2, 16)
    assert list(model.stage_outputs) == ["stem", "stage1"]


@pytest.mark.parametrize("size, sides", [(64, [32, 16, 8, 4]), (5, [3, 2, 1, 1]), (1, [1] * 4)])
def test_convnet_takes_any_size(size, sides):
    """Property 23 of InfoMin: 64 features, of four convolutions that double their filters."""
    model = backbones.build("convnet", image_size=size, channels=2)
    images = normal([2, size, size, 2])
    maps = tf.keras.Model(model.inputs, model.stage_outputs)(images)
    assert list(maps) == ["stage1", "stage2", "stage3", "stage4"]
    assert [m.shape[1:].as_list() for m in maps.values()] == [
        [side, side, filters] for side, filters in zip(sides, (8, 16, 32, 64))
    ]
    pooled = tf.reduce_mean(maps["stage4"], [1, 2])
    np.testing.assert_allclose(model(images), pooled, rtol=1e-5, atol=1e-6)
    assert backbones.build("convnet", image_size=size, width=0.5).feature_dim == 32


def test_zero_initialised_residuals_make_every_block_the_identity_of_its_shortcut():
    images = normal([2, 32, 32, 3])
    model = backbones.build("resnet18", image_size=32, stem="cifar", width=0.25)
    zeros = [
        layer.name
        for layer in model.layers
        if isinstance(layer, tf.keras.layers.BatchNormalization) and not np.any(layer.gamma.numpy())
    ]
    assert zeros == [f"layer{s}.{b}.bn2" for s in (1, 2, 3, 4) for b in (0, 1)]
    maps = tf.keras.Model(model.inputs, model.stage_outputs)(images)
    # Stage 1 of a basic ResNet has no projection, so it starts as the identity altogether.
    np.testing.assert_array_equal(maps["stem"], maps["stage1"])
    plain = backbones.build(
        "resnet18", image_size=32, stem="cifar", width=0.25, zero_init_residual=False
    )
    assert all(
        np.all(layer.gamma.numpy() == 1)
        for layer in plain.layers
        if isinstance(layer, tf.keras.layers.BatchNormalization)
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(name="resnet51"), "backbone: expected one of resnet18.* Received: 'resnet51'"),
        (dict(stem="none"), "stem: expected one of imagenet"),
        (dict(width=0.0), "width"),
        (dict(width=float("nan")), "width"),
        (dict(width=float("inf")), "width"),
        (dict(width=0.3), "64 \\* width is whole"),
        (dict(name="resnext101_32x8d", width=1 / 16), "at least 1/8"),
        (dict(channels=0), "channels"),
        (dict(channels=True), "channels"),
        (dict(stem_channels=0), "stem_channels"),
        (dict(stem_padding=2), "stem_padding: expected 3 for the stem 'imagenet'"),
        (dict(stem="cifar", stem_padding=3), "stem_padding: expected 1 or 2"),
        (dict(image_size=31), "at least 32 pixels.*Received: image_size=31.*cifar"),
        (dict(image_size=7, stem="cifar"), "at least 8 pixels"),
        (dict(image_size=0, name="tiny"), "at least 1 pixels"),
        (dict(name="convnet", width=0.3), "8 \\* width is whole"),
        (dict(name="convnet", stem="cifar"), "convnet has no such choice"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        backbones.build(**{"name": "resnet18", "image_size": 224, **arguments})


def test_config_builds_what_its_fields_say():
    config = BackboneConfig(
        backbone="resnet18",
        stem="cifar",
        width=0.25,
        stem_channels=8,
        stem_padding=1,
        zero_init_residual=False,
    )
    model = config.build(image_size=32, channels=2)
    assert model.get_layer("conv1").kernel.shape == (3, 3, 2, 8)
    assert model.feature_dim == 128
    assert np.all(model.get_layer("layer4.1.bn2").gamma.numpy() == 1)
    maps = tf.keras.Model(model.inputs, model.stage_outputs)(tf.zeros([1, 32, 32, 2]))
    assert maps["stem"].shape == (1, 32, 32, 8)


def test_config_and_builder_have_the_same_defaults():
    config = BackboneConfig(backbone="tiny")
    assert dataclasses.asdict(BackboneConfig())["backbone"] == "resnet50"
    ours = backbones.torch_state(config.build(image_size=32))
    theirs = backbones.torch_state(backbones.build("tiny", image_size=32))
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


@pytest.mark.parametrize(
    "fields",
    [
        dict(backbone="vgg"),
        dict(stem="big"),
        dict(width=0.3),
        dict(width=-1.0),
        dict(stem_padding=2),
        dict(stem="cifar", stem_padding=4),
        dict(stem_channels=0),
    ],
)
def test_config_refuses_when_it_is_made(fields):
    with pytest.raises(SettingsError, match="expected"):
        BackboneConfig(**fields)
