"""Several encoders as one: their values side by side, their weights, copies and exports."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import backbones, export
from tfssl.export.encoder_copy import copy_encoder

SIZE = 16


def _encoders(channels=(1, 2), widths=(1.0, 0.5), **options):
    return [
        backbones.build("tiny", image_size=SIZE, channels=c, width=w, **options)
        for c, w in zip(channels, widths)
    ]


def _pair(**options):
    encoders = _encoders(**options)
    return encoders, backbones.concatenate(encoders, [1, 2])


def _images(batch=3, channels=3, dtype=np.float32):
    return fresh_rng().normal(size=[batch, SIZE, SIZE, channels]).astype(dtype)


def _everything(model):
    return tf.keras.Model(model.inputs, {"features": model.output, **model.stage_outputs})


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("channels", [(1, 2), (3, 1, 2), (2,)])
def test_features_and_maps_stand_side_by_side(channels, training):
    encoders = _encoders(channels, widths=(1.0, 0.5, 0.25))
    joint = backbones.concatenate(encoders, channels)
    images = _images(channels=sum(channels))
    groups = np.split(images, np.cumsum(channels)[:-1], axis=-1)
    # Training mode does not look at the moving statistics that it updates.
    alone = [_everything(e)(group, training=training) for e, group in zip(encoders, groups)]
    found = _everything(joint)(images, training=training)
    assert list(joint.stage_outputs) == ["stem", "stage1"]
    assert joint.feature_dim == sum(e.feature_dim for e in encoders) == found["features"].shape[1]
    for name, values in found.items():
        expected = np.concatenate([one[name] for one in alone], axis=-1)
        np.testing.assert_array_equal(values, expected)
    assert len(joint.parts) == len(encoders)
    for part, encoder, one in zip(joint.parts, encoders, alone):
        assert part.input_shape == joint.input_shape and part.name == encoder.name
        assert part.feature_dim == encoder.feature_dim
        values = _everything(part)(images, training=training)
        for name in ("features", *part.stage_outputs):
            np.testing.assert_array_equal(values[name], one[name])


def test_modes_pass_through():
    encoders, joint = _pair()
    images = _images()
    before = [e.get_layer("bn1").moving_mean.numpy() for e in encoders]
    inference = joint(images, training=False).numpy()
    for encoder, value in zip(encoders, before):
        np.testing.assert_array_equal(encoder.get_layer("bn1").moving_mean, value)
    training = joint(images, training=True).numpy()
    for encoder, value in zip(encoders, before):
        assert np.all(encoder.get_layer("bn1").moving_mean.numpy() != value)
    assert not np.allclose(inference, training)


def test_weights_are_those_of_the_encoders():
    encoders, joint = _pair()
    own = [id(v) for encoder in encoders for v in encoder.variables]
    assert sorted(map(id, joint.variables)) == sorted(own)
    assert len(joint.weights) == len(own)
    assert {id(v) for v in joint.parts[1].variables} == {id(v) for v in encoders[1].variables}
    with tf.GradientTape() as tape:
        first = tf.reduce_sum(joint.parts[0](_images(), training=True) ** 2)
    gradients = tape.gradient(first, joint.trainable_variables)
    of_first = {id(v) for v in encoders[0].variables}
    for variable, gradient in zip(joint.trainable_variables, gradients):
        assert (gradient is not None) == (id(variable) in of_first)
    state = backbones.torch_state(joint)
    for index, encoder in enumerate(encoders, start=1):
        for name, value in backbones.torch_state(encoder).items():
            np.testing.assert_array_equal(state.pop(f"view{index}.{name}"), value)
    assert not state


def test_checkpoint_of_the_joint_model_restores_the_encoders(tmp_path):
    encoders, joint = _pair()
    joint(_images(), training=True)
    path = tf.train.Checkpoint(model=joint).save(str(tmp_path / "ckpt"))
    others, other = _pair()
    tf.train.Checkpoint(model=other).restore(path).assert_consumed()
    for encoder, restored in zip(encoders, others):
        for ours, theirs in zip(encoder.get_weights(), restored.get_weights()):
            np.testing.assert_array_equal(ours, theirs)


def test_copy_has_the_weights_and_nothing_else_of_the_original():
    encoders, joint = _pair()
    joint(_images(), training=True)
    copy, images = copy_encoder(joint), _images()
    expected = _everything(joint)(images, training=False)
    encoders[0].get_layer("conv1").kernel.assign(tf.zeros([7, 7, 1, 8]))
    found = copy(images, training=False)
    assert set(found) == {"features", "stem", "stage1"}
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6, atol=1e-6)
    part = copy_encoder(joint.parts[1])(images, training=False)
    np.testing.assert_allclose(part["features"], expected["features"][:, 16:], atol=1e-6)


@pytest.mark.slow
def test_exported_signatures_equal_the_model(tmp_path):
    _, joint = _pair()
    joint(_images(), training=True)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    path = export.export_saved_model(joint, tmp_path / "b", image_size=SIZE, mean=mean, std=std)
    images = fresh_rng().uniform(size=[2, SIZE, SIZE, 3]).astype(np.float32)
    seen = (images - np.float32(mean)) / np.float32(std)
    expected = _everything(joint)(seen, training=False)
    loaded = tf.saved_model.load(str(path))
    found = loaded.signatures["stages_float"](images=tf.constant(images))
    assert set(found) == {"features", "stem", "stage1"}
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5)
    assert len(loaded.trainable_variables) == len(joint.trainable_variables)


@pytest.mark.parametrize(
    "policy, features, maps",
    [
        ("mixed_float16", "float32", "float16"),
        ("mixed_bfloat16", "float32", "bfloat16"),
        ("float64", "float64", "float64"),
    ],
)
def test_precision_policies(policy, features, maps):
    tf.keras.mixed_precision.set_global_policy(policy)
    encoders, joint = _pair()
    images = _images()
    found = _everything(joint)(images)
    assert found["features"].dtype == features
    assert {found[name].dtype.name for name in ("stem", "stage1")} == {maps}
    expected = [e(group) for e, group in zip(encoders, np.split(images, [1], axis=-1))]
    np.testing.assert_array_equal(found["features"], np.concatenate(expected, axis=-1))
    assert all(v.dtype == features for v in joint.variables)
    assert {value.dtype.name for value in copy_encoder(joint).outputs} == {features}


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_training_step_in_a_graph_and_under_xla_agrees_with_eager(jit_compile, float64):
    _, joint = _pair()
    images, weights = tf.constant(_images(dtype=np.float64)), joint.get_weights()

    def step(images):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(joint(images, training=True)))
        return [loss, *tape.gradient(loss, joint.trainable_variables)]

    eager, moved = step(images), joint.get_weights()
    joint.set_weights(weights)
    for ours, theirs in zip(
        tf.function(step, jit_compile=jit_compile, autograph=False)(images), eager
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)
    for ours, theirs in zip(joint.get_weights(), moved):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)


def test_two_replicas_equal_one_device(two_replicas, float64):
    images = tf.constant(_images(batch=8, dtype=np.float64))
    _, alone = _pair(synchronized=True)
    with two_replicas.scope():
        _, together = _pair()
    together.set_weights(alone.get_weights())
    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: images[4 * context.replica_id_in_sync_group :][:4]
    )
    features = tf.function(
        lambda x: two_replicas.run(lambda y: together(y, training=True), [x]), autograph=False
    )
    parts = two_replicas.experimental_local_results(features(halves))
    np.testing.assert_allclose(tf.concat(parts, 0), alone(images, training=True), atol=1e-9)
    for ours, theirs in zip(together.get_weights(), alone.get_weights()):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_a_joint_model_gives_a_dense_map():
    _, joint = _pair()
    assert backbones.dense_map(joint) is joint.stage_outputs["stage1"]


@pytest.mark.parametrize(
    "channels, given, message",
    [
        (
            (1, 2),
            [2, 1],
            r"expected those of at least one encoder, here \[1, 2\]. Received: .*2, 1",
        ),
        ((1, 2), [1], r"Received: channels=\[1\]"),
        ((), [], r"at least one encoder, here \[\]"),
    ],
)
def test_other_channels_are_refused(channels, given, message):
    with pytest.raises(ValueError, match=message):
        backbones.concatenate(_encoders(channels), given)


def test_encoders_of_different_stages_are_refused():
    other = backbones.build("resnet18", image_size=32, width=1 / 16)
    with pytest.raises(ValueError, match="expected the same stages of all. Received: .*'stage4'"):
        backbones.concatenate([*_encoders((1,)), other], [1, 3])
