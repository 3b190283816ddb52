"""Fully convolutional use: the last features at every position, by the backbone's own layers."""

import numpy as np
import pytest
import tensorflow as tf

from tests.backbones import numpy_alexnet
from tests.random_inputs import fresh_rng
from tfssl import backbones
from tfssl.export.encoder_copy import copy_encoder

NARROW = dict(width=1 / 32, channels=1)


def _random_alexnet(name, size):
    model = backbones.build(name, image_size=size, **NARROW)
    state = numpy_alexnet.randomise(backbones.torch_state(model), fresh_rng())
    backbones.load_torch_state(model, state)
    return model, state


def _images(size, batch=2):
    return fresh_rng().normal(size=[batch, size, size, 1])


@pytest.mark.parametrize(
    "name, size, kernel",
    [("alexnet_small", 64, 7), ("alexnet", 224, 6), ("alexnet", 95, 2), ("alexnet_small", 15, 1)],
)
def test_every_cell_against_numpy_and_the_centre_against_the_backbone(name, size, kernel, float64):
    """The map keeps the size of the last pool, and its centre is the plain fc7."""
    model, state = _random_alexnet(name, size)
    images = _images(size)
    dense = tf.keras.Model(model.inputs, backbones.dense_map(model))
    found = dense(images, training=False).numpy()
    pooled = tf.keras.Model(model.inputs, model.stage_outputs["conv5"])(images).numpy()
    assert model.get_layer("fc6").kernel_size == (kernel, kernel)
    assert found.shape == (2, kernel, kernel, 128) and pooled.shape[1:3] == (kernel, kernel)
    before = {7: 3, 6: 2, 2: 0, 1: 0}[kernel]
    edge = (before, kernel - 1 - before)
    expected = numpy_alexnet.connected(np.pad(pooled, [(0, 0), edge, edge, (0, 0)]), state)["fc7"]
    np.testing.assert_allclose(found, expected, atol=1e-10)
    np.testing.assert_allclose(found[:, before, before], model(images), atol=1e-12)


def test_centre_in_float32():
    model, _ = _random_alexnet("alexnet_small", 64)
    images = _images(64).astype(np.float32)
    dense = tf.keras.Model(model.inputs, backbones.dense_map(model))(images, training=False)
    np.testing.assert_allclose(dense[:, 3, 3], model(images), rtol=1e-5, atol=1e-5)


def test_larger_images_contain_the_cells_of_the_backbone(float64):
    model, _ = _random_alexnet("alexnet_small", 31)
    images = _images(64)
    maps = [backbones.dense_map(model), model.stage_outputs["fc7"]]
    dense, plain = tf.keras.Model(model.inputs, maps)(images)
    assert dense.shape[1:3] == (7, 7) and plain.shape[1:3] == (5, 5)
    np.testing.assert_allclose(dense[:, 1:6, 1:6], plain, atol=1e-12)


def test_it_trains_the_layers_of_the_backbone_itself():
    model = backbones.build("alexnet_small", image_size=31, **NARROW)
    dense = tf.keras.Model(model.inputs, backbones.dense_map(model))
    assert {id(v) for v in dense.variables} == {id(v) for v in model.variables}
    dense.compile(tf.keras.optimizers.SGD(0.05, momentum=0.9), "mse")
    images, before = _images(31, batch=8), model.get_weights()
    targets = np.repeat(np.abs(_images(3, batch=8)), 128, axis=-1)
    losses = dense.fit(images, targets, batch_size=8, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]
    assert all(np.any(a != b) for a, b in zip(before, model.get_weights()))


def test_xla_agrees_with_eager():
    model, _ = _random_alexnet("alexnet_small", 31)
    dense = tf.keras.Model(model.inputs, backbones.dense_map(model))
    images = tf.constant(_images(31), tf.float32)
    compiled = tf.function(lambda x: dense(x, training=False), jit_compile=True, autograph=False)
    np.testing.assert_allclose(compiled(images), dense(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("policy, dtype", [("mixed_bfloat16", "bfloat16"), ("float64", "float64")])
def test_maps_have_the_compute_dtype(policy, dtype):
    tf.keras.mixed_precision.set_global_policy(policy)
    model = backbones.build("alexnet_small", image_size=15, **NARROW)
    assert backbones.dense_map(model).dtype == dtype


def test_the_backbone_stays_what_it_was():
    """Layers that are used twice must not show in copies of the backbone."""
    model, _ = _random_alexnet("alexnet_small", 31)
    layers, images = [layer.name for layer in model.layers], _images(31).astype(np.float32)
    expected = model(images).numpy()
    dense = tf.keras.Model(model.inputs, backbones.dense_map(model))
    again = tf.keras.Model(model.inputs, backbones.dense_map(model))
    np.testing.assert_array_equal(dense(images), again(images))
    assert [layer.name for layer in model.layers] == layers
    np.testing.assert_array_equal(model(images), expected)
    copied = copy_encoder(model)(images, training=False)
    assert set(copied) == {"features", *model.stage_outputs}
    np.testing.assert_allclose(copied["features"], expected, rtol=1e-5, atol=1e-6)
    copied = copy_encoder(dense)(images, training=False)
    np.testing.assert_allclose(copied["features"], dense(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name, last", [("tiny", "stage1"), ("resnet18", "stage4")])
def test_other_backbones_give_their_last_stage(name, last):
    model = backbones.build(name, image_size=32, width=0.125)
    assert backbones.dense_map(model) is model.stage_outputs[last]


def test_a_joint_model_of_alexnets_is_refused():
    models = [backbones.build("alexnet_small", image_size=15, **NARROW) for _ in range(2)]
    joint = backbones.concatenate(models, [1, 1])
    for model, name in ((joint, "joint"), (joint.parts[1], "alexnet_small")):
        with pytest.raises(ValueError, match=f"one by one. Received: backbone='{name}'"):
            backbones.dense_map(model)
