"""Features for the linear classifiers of the CMC sheet, section 7."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import backbones, evaluation, ops
from tfssl.evaluation.probe_pooling import PROBE_POOLS


def test_dimensions_of_two_half_alexnets():
    """9,600, 9,216, 9,600, 9,600 and 9,216 numbers, of the maps that the networks announce."""
    halves = [
        backbones.build("alexnet", image_size=224, width=0.5, channels=channels)
        for channels in (1, 2)
    ]
    joint = backbones.concatenate(halves, [1, 2])
    everything = tf.keras.Model(joint.inputs, {"features": joint.output, **joint.stage_outputs})
    outputs = everything(tf.keras.Input([224, 224, 3]))
    maps = {name: tf.zeros([2, *value.shape[1:]]) for name, value in outputs.items()}
    assert {name: tuple(maps[name].shape[1:]) for name in joint.stage_outputs} == {
        "conv1": (27, 27, 96),
        "conv2": (13, 13, 256),
        "conv3": (13, 13, 384),
        "conv4": (13, 13, 384),
        "conv5": (6, 6, 256),
        "fc6": (1, 1, 4096),
        "fc7": (1, 1, 4096),
    }
    found = evaluation.probe_features(maps)
    assert {name: tuple(rows.shape) for name, rows in found.items()} == {
        "conv1": (2, 9600),
        "conv2": (2, 9216),
        "conv3": (2, 9600),
        "conv4": (2, 9600),
        "conv5": (2, 9216),
        "fc6": (2, 4096),
        "fc7": (2, 4096),
        "features": (2, 4096),
    }


def test_dimensions_of_two_resnets_of_half_width():
    """The sides 8, 6, 4, 3 are those of the stem after its max pool and of three stages."""
    shapes = {
        "stem": (112, 128),
        "stage1": (56, 256),
        "stage2": (28, 512),
        "stage3": (14, 1024),
        "stage4": (7, 2048),
    }
    maps = {name: tf.zeros([1, side, side, depth]) for name, (side, depth) in shapes.items()}
    found = evaluation.probe_features({**maps, "features": tf.zeros([1, 2048])})
    assert {name: rows.shape[1] for name, rows in found.items()} == {
        "stem": 8 * 8 * 128,
        "stage1": 6 * 6 * 256,
        "stage2": 4 * 4 * 512,
        "stage3": 3 * 3 * 1024,
        "stage4": 7 * 7 * 2048,
        "features": 2048,
    }


def test_dimensions_of_small_images():
    """Section 7, STL-10: conv5 of two halves has 7 x 7 x 96 x 2 numbers, as it is; crops alike."""
    shapes = {"conv1": (31, 96), "conv2": (15, 192), "conv3": (15, 384), "conv5": (7, 192)}
    shapes.update({"fold": (7, 192), "global": (5, 192)})
    maps = {name: tf.zeros([1, side, side, depth]) for name, (side, depth) in shapes.items()}
    found = evaluation.probe_features(maps)
    assert {name: rows.shape[1] for name, rows in found.items()} == {
        "conv1": 10 * 10 * 96,
        "conv2": 6 * 6 * 192,
        "conv3": 5 * 5 * 384,
        "conv5": 9408,
        "fold": 9408,
        "global": 4800,
    }


@pytest.mark.parametrize("name", PROBE_POOLS)
def test_values_are_those_of_the_pools_row_by_row(name):
    shape = [2, 5] if name == "features" else [2, 23, 19, 3]
    values = np.abs(fresh_rng().normal(size=shape)).astype(np.float32)
    if name.startswith("conv") and name != "conv5":
        side = {"conv1": 10, "conv2": 6, "conv3": 5, "conv4": 5}[name]
        expected = ops.adaptive_max_pool(values, side).numpy()
    elif name in ("stem", "stage1", "stage2", "stage3"):
        side = {"stem": 8, "stage1": 6, "stage2": 4, "stage3": 3}[name]
        expected = ops.adaptive_average_pool(values, side).numpy()
    else:
        expected = values
    found = evaluation.probe_features({name: values}, stem="cifar")[name]
    np.testing.assert_array_equal(found, expected.reshape([2, -1]))


def test_stem_is_pooled_as_in_the_network():
    """Against the map behind the max pool of a ResNet."""
    model = backbones.build("resnet18", image_size=45, width=0.125)
    outputs = [model.stage_outputs["stem"], model.get_layer("maxpool").output]
    images = fresh_rng().normal(size=[2, 45, 45, 3]).astype(np.float32)
    stem, pooled = tf.keras.Model(model.inputs, outputs)(images)
    assert stem.shape[1] == 23 and pooled.shape[1] == 12
    expected = tf.reshape(ops.adaptive_average_pool(pooled, 8), [2, -1])
    np.testing.assert_allclose(evaluation.probe_features({"stem": stem})["stem"], expected)


def test_small_maps_keep_their_size():
    maps = {"conv1": (4, 4), "stage1": (3, 5), "stem": (2, 2)}
    values = {k: fresh_rng().uniform(size=[1, *s, 2]).astype(np.float32) for k, s in maps.items()}
    found = evaluation.probe_features(values, stem="cifar_stride2")
    np.testing.assert_array_equal(found["conv1"], values["conv1"].reshape([1, -1]))
    np.testing.assert_array_equal(found["stem"], values["stem"].reshape([1, -1]))
    expected = ops.adaptive_average_pool(values["stage1"], 3)
    np.testing.assert_array_equal(found["stage1"], tf.reshape(expected, [1, -1]))


@pytest.mark.parametrize(
    "dtype, expected", [("float16", "float32"), ("bfloat16", "float32"), ("float64", "float64")]
)
@pytest.mark.parametrize("name", ["conv1", "conv5", "stage1", "features"])
def test_dtypes(name, dtype, expected):
    shape = [1, 4] if name == "features" else [1, 12, 12, 2]
    found = evaluation.probe_features({name: tf.ones(shape, dtype)})[name]
    assert found.dtype.name == expected and np.all(found.numpy() == 1)


def test_it_compiles_with_xla():
    maps = {"conv1": tf.constant(fresh_rng().normal(size=[2, 13, 13, 3]), tf.float32)}
    compiled = tf.function(evaluation.probe_features, jit_compile=True, autograph=False)(maps)[
        "conv1"
    ]
    np.testing.assert_array_equal(compiled, evaluation.probe_features(maps)["conv1"])


def test_refusals():
    with pytest.raises(ValueError, match="expected maps of conv1.*Received: 'conv9'"):
        evaluation.probe_features({"conv9": tf.zeros([1, 7, 7, 3])})
    with pytest.raises(ValueError, match=r"\[batch, height, width, channels\].*conv5.*\(1, 3\)"):
        evaluation.probe_features({"conv5": tf.zeros([1, 3])})
    with pytest.raises(ValueError, match=r"\[batch, dim\] of known size for features"):
        evaluation.probe_features({"features": tf.zeros([1, 2, 2, 3])})
    with pytest.raises(ValueError, match="stem: expected one of imagenet.*Received: 'none'"):
        evaluation.probe_features({}, stem="none")
