"""AlexNets under precision policies, XLA and replicas."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import backbones

OPTIONS = dict(image_size=15, width=1 / 32)


def _step(model, images):
    """Features, loss and gradients of one training-mode forward; updates moving statistics."""
    with tf.GradientTape() as tape:
        features = model(images, training=True)
        loss = tf.reduce_mean(tf.square(features))
    return [features, loss, *tape.gradient(loss, model.trainable_variables)]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_policies(policy):
    images = fresh_rng().normal(size=[8, 15, 15, 3]).astype(np.float32)
    reference = backbones.build("alexnet_small", **OPTIONS)
    expected = reference(images, training=True)
    tf.keras.mixed_precision.set_global_policy(policy)
    model = backbones.build("alexnet_small", **OPTIONS)
    backbones.load_torch_state(model, backbones.torch_state(reference))
    features, _, *gradients = _step(model, images)
    assert model.get_layer("fc6").compute_dtype == policy[len("mixed_") :]
    assert features.dtype == tf.float32
    assert all(variable.dtype == tf.float32 for variable in model.variables)
    assert all(np.all(np.isfinite(g)) for g in gradients)
    # Seven normalised layers of 8 images: errors of single features add up, on average they stay.
    assert np.mean(np.abs(features - expected)) < 0.1 * np.mean(np.abs(expected))


@pytest.mark.slow
def test_training_compiles_with_xla_and_agrees_with_graph_and_eager(float64):
    images = tf.constant(fresh_rng().normal(size=[4, 15, 15, 3]))
    model = backbones.build("alexnet_small", **OPTIONS)
    weights = model.get_weights()
    results, moved = [], []
    for run in (
        _step,
        tf.function(_step, autograph=False),
        tf.function(lambda m, x: _step(m, x), jit_compile=True, autograph=False),
    ):
        model.set_weights(weights)
        results.append(run(model, images))
        moved.append(model.get_weights())
    for other, statistics in zip(results[1:], moved[1:]):
        for ours, eager in zip(other, results[0]):
            np.testing.assert_allclose(ours, eager, rtol=1e-8, atol=1e-10)
        for ours, eager in zip(statistics, moved[0]):
            np.testing.assert_allclose(ours, eager, rtol=1e-8, atol=1e-10)
    assert not np.allclose(model.get_layer("bn6").moving_mean.numpy(), 0)


@pytest.mark.slow
def test_two_replicas_equal_one_device(two_replicas, float64):
    images = tf.constant(fresh_rng().normal(size=[8, 15, 15, 3]))
    alone = backbones.build("alexnet_small", synchronized=True, **OPTIONS)
    with two_replicas.scope():
        together = backbones.build("alexnet_small", **OPTIONS)
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
