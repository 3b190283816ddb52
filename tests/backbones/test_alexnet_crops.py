"""The AlexNet of crops: section 4.2 of the CMC sheet, patch by patch, and what it fits into."""

import numpy as np
import pytest
import tensorflow as tf

from tests.backbones import numpy_alexnet
from tests.random_inputs import fresh_rng
from tfssl import backbones
from tfssl.backbones.builder import BackboneConfig
from tfssl.export.encoder_copy import copy_encoder
from tfssl.settings import SettingsError

# Kernel and channels of the half network, section 4.2, and of what sees its patches together.
CONVOLUTIONS = ((3, 48), (3, 96), (3, 192), (3, 192), (3, 96), (3, 96), (1, 96))
NARROW = dict(width=1 / 32)


def build(size=40, channels=2, **options):
    return backbones.build(
        "alexnet_crops", image_size=size, channels=channels, **{**NARROW, **options}
    )


def everything(model):
    return tf.keras.Model(model.inputs, {"features": model.output, **model.stage_outputs})


def random_images(*shape):
    return fresh_rng().normal(size=shape)


def patches_of(images):
    """`[batch, rows, columns, 16, 16, channels]`, by slices."""
    _, height, width, _ = images.shape
    return np.stack(
        [
            np.stack([images[:, r : r + 16, c : c + 16] for c in range(0, width - 15, 8)], axis=1)
            for r in range(0, height - 15, 8)
        ],
        axis=1,
    )


@pytest.mark.parametrize("channels", [1, 2])
def test_half_networks(channels):
    """Property 15: shapes of section 4.2, and the parameters that follow from its table."""
    model = backbones.build("alexnet_crops", image_size=64, width=0.5, channels=channels)
    depths = [channels, *(depth for _, depth in CONVOLUTIONS)]
    expected = sum(
        kernel**2 * before * depth + 2 * depth
        for (kernel, depth), before in zip(CONVOLUTIONS, depths)
    )
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == expected
    outputs = everything(model)(tf.keras.Input([64, 64, channels]))
    assert {name: tuple(value.shape[1:]) for name, value in outputs.items()} == {
        "fold": (7, 7, 96),
        "global": (5, 5, 96),
        "features": (96,),
    }
    assert model.feature_dim == 96 and list(model.stage_outputs) == ["fold", "global"]
    layers = {name: model.get_layer(name).output for name in ("pool1", "pool2", "conv4", "pool5")}
    sides = tf.keras.Model(model.inputs, layers)(tf.keras.Input([64, 64, channels]))
    assert {n: v.shape[1] for n, v in sides.items()} == dict(pool1=7, pool2=3, conv4=3, pool5=1)


def test_every_place_is_its_patch_alone(float64):
    """Against NumPy: row and column of the fold are those of the patch, also in tall images."""
    model = build()
    state = numpy_alexnet.randomise(backbones.torch_state(model), fresh_rng())
    backbones.load_torch_state(model, state)
    images = random_images(2, 56, 40, 2)
    found = everything(model)(images, training=False)
    patches = patches_of(images)
    assert patches.shape[1:3] == (6, 4) and found["fold"].shape == (2, 6, 4, 6)
    fold = np.zeros(found["fold"].shape)
    for row in range(6):
        for column in range(4):
            alone = numpy_alexnet.convolved(patches[:, row, column], state, "alexnet_small")
            fold[:, row, column] = alone["conv5"][:, 0, 0]
    x = fold
    for name in ("6", "7"):
        x = numpy_alexnet.convolve(x, state, f"conv{name}")
        x = numpy_alexnet.normalise(x, state, f"bn{name}")
    assert x.shape == (2, 4, 2, 6) and min(np.ptp(fold), np.ptp(x)) > 0.01
    np.testing.assert_allclose(found["fold"], fold, atol=1e-10)
    np.testing.assert_allclose(found["global"], x, atol=1e-10)
    np.testing.assert_allclose(found["features"], x.mean(axis=(1, 2)), atol=1e-10)


def test_batch_statistics_are_those_of_all_patches(float64):
    """The small AlexNet on a batch of all patches gives the same, and the same statistics."""
    model = build()
    small = backbones.build("alexnet_small", image_size=16, channels=2, **NARROW)
    for index in range(1, 6):
        weights = model.get_layer(f"conv{index}").get_weights()
        small.get_layer(f"conv{index}").set_weights(weights)
    images = random_images(3, 40, 40, 2)
    found = everything(model)(images, training=True)["fold"]
    patches = patches_of(images).reshape([-1, 16, 16, 2])
    alone = tf.keras.Model(small.inputs, small.stage_outputs["conv5"])(patches, training=True)
    np.testing.assert_allclose(found, tf.reshape(alone, [3, 4, 4, 6]), atol=1e-10)
    for index in range(1, 6):
        ours, theirs = (m.get_layer(f"bn{index}").get_weights() for m in (model, small))
        for one, other in zip(ours, theirs):
            np.testing.assert_allclose(one, other, atol=1e-12)
        assert np.any(ours[2])


def test_images_of_any_size_and_number():
    model = everything(build())
    images = random_images(3, 61, 39, 2).astype(np.float32)
    # The last rows and columns are in no patch.
    whole, part = model(images), model(images[:, :56, :32])
    for name, values in whole.items():
        np.testing.assert_array_equal(values, part[name])
    program = tf.function(model, autograph=False).get_concrete_function(
        tf.TensorSpec([None, 56, 40, 2])
    )
    outputs = program.structured_outputs
    assert {name: value.shape.as_list() for name, value in outputs.items()} == {
        "fold": [None, 6, 4, 6],
        "global": [None, 4, 2, 6],
        "features": [None, 6],
    }
    for batch in (1, 4):
        found = program(tf.zeros([batch, 56, 40, 2]))
        assert found["fold"].shape[0] == found["features"].shape[0] == batch


def _step(model, images):
    """Features, loss and gradients of one training-mode forward; updates moving statistics."""
    with tf.GradientTape() as tape:
        features = model(images, training=True)
        loss = tf.reduce_mean(tf.square(features))
    return [features, loss, *tape.gradient(loss, model.trainable_variables)]


@pytest.mark.slow
def test_training_compiles_with_xla_and_agrees_with_eager(float64):
    images = tf.constant(random_images(3, 32, 32, 2))
    model = build(32)
    weights = model.get_weights()
    results, moved = [], []
    for run in (_step, tf.function(_step, jit_compile=True, autograph=False)):
        model.set_weights(weights)
        results.append(run(model, images))
        moved.append(model.get_weights())
    assert all(np.any(gradient) for gradient in results[0][2:])
    for ours, eager in zip([*results[1], *moved[1]], [*results[0], *moved[0]]):
        np.testing.assert_allclose(ours, eager, rtol=1e-8, atol=1e-10)


def test_half_precision():
    images = random_images(6, 40, 40, 2).astype(np.float32)
    reference = build()
    expected = reference(images, training=True)
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    model = build()
    backbones.load_torch_state(model, backbones.torch_state(reference))
    assert all(value.dtype == "bfloat16" for value in model.stage_outputs.values())
    features, _, *gradients = _step(model, images)
    assert features.dtype == tf.float32 == copy_encoder(model).outputs[0].dtype
    assert all(variable.dtype == tf.float32 for variable in model.variables)
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)
    assert np.mean(np.abs(features - expected)) < 0.1 * np.mean(np.abs(expected))


def test_two_views_stand_side_by_side_and_are_copied():
    encoders = [build(channels=channels) for channels in (1, 2)]
    joint = backbones.concatenate(encoders, [1, 2])
    images = random_images(2, 40, 40, 3).astype(np.float32)
    joint(images, training=True)
    found = everything(joint)(images, training=False)
    halves = zip(encoders, np.split(images, [1], axis=-1))
    apart = [everything(encoder)(half, training=False) for encoder, half in halves]
    for name, values in found.items():
        both = tf.concat([one[name] for one in apart], axis=-1)
        np.testing.assert_array_equal(values, both)
    assert found["features"].shape == (2, 12)
    assert backbones.dense_map(joint) is joint.stage_outputs["global"]
    copied = copy_encoder(joint)(images, training=False)
    for name, values in found.items():
        np.testing.assert_allclose(copied[name], values, atol=1e-5)


@pytest.mark.parametrize("size", [16, 24, 36, 63, 70])
def test_images_that_patches_do_not_fill_are_refused(size):
    message = f"expected 32 pixels or a multiple of 8 more for alexnet_crops.*image_size={size}"
    with pytest.raises(ValueError, match=message):
        build(size)


def test_config_builds_it():
    with pytest.raises(SettingsError, match="32 \\* width is whole"):
        BackboneConfig(backbone="alexnet_crops", width=0.4)
    model = BackboneConfig(backbone="alexnet_crops", width=1 / 16).build(image_size=32, channels=1)
    assert model.input_shape[-1] == 1 and model.feature_dim == 12
