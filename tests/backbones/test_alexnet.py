"""AlexNets: the tables of the CMC sheet, values against NumPy, and what has no choice."""

import numpy as np
import pytest
import tensorflow as tf

from tests.backbones import numpy_alexnet
from tests.random_inputs import fresh_rng, normal
from tfssl import backbones
from tfssl.backbones.alexnet import ALEXNETS
from tfssl.backbones.builder import BackboneConfig
from tfssl.settings import SettingsError

# Side and channels of every layer of a half network: tables of sections 4.1 and 4.2.
SHAPES = {
    "alexnet": {
        "conv1": (55, 48),
        "pool1": (27, 48),
        "conv2": (27, 128),
        "pool2": (13, 128),
        "conv3": (13, 192),
        "conv4": (13, 192),
        "conv5": (13, 128),
        "pool5": (6, 128),
        "fc6": (1, 2048),
        "fc7": (1, 2048),
    },
    "alexnet_small": {
        "conv1": (64, 48),
        "pool1": (31, 48),
        "conv2": (31, 96),
        "pool2": (15, 96),
        "conv3": (15, 192),
        "conv4": (15, 192),
        "conv5": (15, 96),
        "pool5": (7, 96),
        "fc6": (1, 2048),
        "fc7": (1, 2048),
    },
}
SIZES = {"alexnet": 224, "alexnet_small": 64}
STAGES = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"]
NARROW = dict(width=1 / 32)


@pytest.mark.parametrize(
    "name, channels, head, parameters",
    [
        ("alexnet", 1, 128, 14_840_976),
        ("alexnet", 2, 128, 14_846_784),
        ("alexnet_small", 1, 64, 14_678_224),
        ("alexnet_small", 2, 64, 14_678_656),
    ],
)
def test_half_networks(name, channels, head, parameters):
    """Property 15: shapes and parameter counts, with the linear head, of sections 4.1 and 4.2."""
    size = SIZES[name]
    model = backbones.build(name, image_size=size, width=0.5, channels=channels)
    headed = tf.keras.Sequential([model, tf.keras.layers.Dense(head)])
    headed.build([None, size, size, channels])
    assert sum(int(np.prod(v.shape)) for v in headed.trainable_variables) == parameters
    assert model.feature_dim == 2048 == model.output_shape[-1]
    layers = {layer: model.get_layer(layer).output for layer in SHAPES[name]}
    maps = tf.keras.Model(model.inputs, layers)(tf.keras.Input([size, size, channels]))
    expected = {key: (side, side, depth) for key, (side, depth) in SHAPES[name].items()}
    assert {key: tuple(value.shape[1:]) for key, value in maps.items()} == expected


@pytest.mark.parametrize(
    "name, size", [("alexnet", 95), ("alexnet", 63), ("alexnet_small", 31), ("alexnet_small", 15)]
)
def test_every_map_against_numpy(name, size, float64):
    """fc6 sees 2x2 pixels of images of 95, 3x3 of 31, and 1 of the smallest images."""
    model = backbones.build(name, image_size=size, channels=2, **NARROW)
    state = numpy_alexnet.randomise(backbones.torch_state(model), fresh_rng())
    backbones.load_torch_state(model, state)
    images = fresh_rng().normal(size=[2, size, size, 2])
    everything = {"features": model.output, **model.stage_outputs}
    found = tf.keras.Model(model.inputs, everything)(images, training=False)
    expected = numpy_alexnet.forward(images, state, name)
    assert list(model.stage_outputs) == list(expected) == STAGES
    for stage, values in expected.items():
        assert np.abs(values).max() > 0.01
        np.testing.assert_allclose(found[stage], values, atol=1e-10)
    assert found["fc7"].shape[1:3] == (1, 1) and found["features"].dtype == tf.float64
    np.testing.assert_array_equal(found["features"], found["fc7"][:, 0, 0])


def test_larger_images_average_fc7_and_smaller_ones_fail():
    model = backbones.build("alexnet_small", image_size=16, **NARROW)
    both = tf.keras.Model(model.inputs, [model.output, model.stage_outputs["fc7"]])
    for height, width in ((32, 32), (40, 24)):
        features, fc7 = both(normal([2, height, width, 3]))
        assert fc7.shape[1] * fc7.shape[2] > 1
        np.testing.assert_allclose(features, tf.reduce_mean(fc7, [1, 2]), rtol=1e-5, atol=1e-7)
    larger = backbones.build("alexnet_small", image_size=32, **NARROW)
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        larger(tf.zeros([1, 16, 16, 3]))


@pytest.fixture(scope="module")
def model():
    return backbones.build("alexnet_small", image_size=31, width=0.25)


@pytest.mark.parametrize("layer", ["conv1", "conv2", "conv5", "fc6", "fc7"])
def test_kernels_and_biases_start_uniform_of_the_fan_in(model, layer):
    layer = model.get_layer(layer)
    bound = np.prod(layer.kernel.shape[:3]) ** -0.5
    for variable in layer.trainable_variables:
        values = variable.numpy()
        assert 0.97 * bound < np.abs(values).max() <= bound * 1.000001
        # Of 600 draws and more: the deviation of a uniform distribution.
        assert values.std() == pytest.approx(bound / np.sqrt(3), rel=0.07)


def test_layers_have_what_the_tables_say(model):
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("BatchNormalization") == 7 and "Dropout" not in kinds
    for index in range(1, 8):
        norm = model.get_layer(f"bn{index}")
        assert norm.epsilon == 1e-5 and norm.momentum == 0.9
        assert np.all(norm.gamma.numpy() == 1) and np.all(norm.beta.numpy() == 0)
    assert [model.get_layer(f"conv{i}").use_bias for i in range(1, 6)] == [False] * 5
    assert [model.get_layer(f"fc{i}").use_bias for i in (6, 7)] == [True] * 2


def test_tensors_of_one_shape_start_different(model):
    values = [value.tobytes() for n, value in backbones.torch_state(model).items() if "fc" in n]
    assert len(set(values)) == 4
    again = backbones.build("alexnet_small", image_size=31, width=0.25)
    assert not np.any(again.get_layer("fc6").bias.numpy() == model.get_layer("fc6").bias.numpy())


def test_sobel_gradients_in_place_of_colours():
    model = backbones.build("alexnet_small", image_size=16, sobel=True, **NARROW)
    assert model.input_shape[-1] == 3 and model.get_layer("conv1").kernel.shape[2] == 2


@pytest.mark.parametrize("name", (*ALEXNETS, "alexnet_crops"))
@pytest.mark.parametrize(
    "field",
    [
        dict(stem="cifar"),
        dict(stem_channels=64),
        dict(stem_padding=3),
        dict(zero_init_residual=False),
    ],
)
def test_what_has_no_choice_is_refused(name, field):
    (label,) = field
    words = (
        f"{label}: expected the default, .* because {name} has no such choice. Received: {label}="
    )
    with pytest.raises(ValueError, match=words):
        backbones.build(name, image_size=224, **field)
    with pytest.raises(SettingsError, match=words):
        BackboneConfig(backbone=name, **field)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(width=0.3), "32 \\* width is whole. Received: 0.3"),
        (dict(width=1 / 64), "32 \\* width is whole"),
        (dict(image_size=62), "at least 63 pixels for alexnet, .*size=62. Remedy: 'alexnet_small'"),
        (
            dict(name="alexnet_small", image_size=14),
            "at least 15 pixels for alexnet_small, .*=14.$",
        ),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        backbones.build(**{"name": "alexnet", "image_size": 224, **arguments})


def test_config_builds_an_alexnet():
    with pytest.raises(SettingsError, match="32 \\* width is whole"):
        BackboneConfig(backbone="alexnet", width=0.4)
    config = BackboneConfig(backbone="alexnet_small", width=3 / 32)
    model = config.build(image_size=24, channels=1, synchronized=True)
    assert model.input_shape[-1] == 1 and model.feature_dim == 384
    assert model.get_layer("fc6").kernel_size == (2, 2)
    assert model.get_layer("bn6").synchronized
