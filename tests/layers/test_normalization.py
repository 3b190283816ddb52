"""Batch normalisation against its definition: precision, constant channels, synchronisation."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl.layers.normalization import at_least_float32, batch_norm


def _definition(x, gamma=1.0, beta=0.0):
    axes = tuple(range(x.ndim - 1))
    x = np.asarray(x, np.float64)
    return gamma * (x - x.mean(axes)) / np.sqrt(x.var(axes) + 1e-5) + beta


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("shape", [(700, 3), (4, 17, 17, 3)])
@pytest.mark.parametrize("synchronized", [False, True])
def test_definition(policy, shape, synchronized):
    tf.keras.mixed_precision.set_global_policy(policy)
    layer = batch_norm(synchronized=synchronized, fusable=len(shape) == 4)
    x = fresh_rng().normal(2.0, 0.5, shape).astype(np.float32)
    layer.build(shape)
    gamma, beta = np.array([0.5, 1.0, 2.0]), np.array([0.1, 0.0, -1.0])
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    fused = len(shape) == 4 and not synchronized
    # Only the fused kernel sees inputs that the policy has rounded; its sums are float32 as well.
    tolerance = 0.1 if fused and policy != "float32" else 5e-4
    normalised = tf.cast(layer(x, training=True), tf.float32)
    np.testing.assert_allclose(normalised, _definition(x, gamma, beta), rtol=0, atol=tolerance)
    assert layer.moving_variance.dtype == tf.float32
    axes = tuple(range(len(shape) - 1))
    np.testing.assert_allclose(layer.moving_mean, 0.1 * x.mean(axes), rtol=2e-3)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * x.var(axes), rtol=2e-3)


@pytest.mark.parametrize("value", [0.0, 3.3, -33.3, 100.7])
@pytest.mark.parametrize("synchronized", [False, True])
def test_constant_channels_stay_finite(value, synchronized):
    layer = batch_norm(synchronized=synchronized)
    x = tf.fill([16, 7, 7, 4], value)
    with tf.GradientTape() as tape:
        tape.watch(x)
        normalised = layer(x, training=True)
    # A float32 mean is off by some 1e-6 of itself, which is divided by sqrt(1e-5).
    np.testing.assert_allclose(normalised, np.zeros_like(x), atol=0.5)
    assert np.all(np.isfinite(tape.gradient(normalised, x)))
    assert np.all(layer.moving_variance.numpy() >= 0.9 - 1e-6)


def test_statistics_are_those_of_the_global_batch(two_replicas):
    x = fresh_rng().normal(size=(8, 5)).astype(np.float32) + np.arange(8)[:, None]
    x = x.astype(np.float32)
    with two_replicas.scope():
        layer = batch_norm(fusable=False)
        layer.build([None, 5])
    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.constant(x[4 * context.replica_id_in_sync_group :][:4])
    )
    run = tf.function(
        lambda h: two_replicas.run(lambda y: layer(y, training=True), [h]), autograph=False
    )
    parts = two_replicas.experimental_local_results(run(halves))
    np.testing.assert_allclose(tf.concat(parts, 0), _definition(x), atol=1e-5)


def test_options():
    plain, bare = batch_norm(), batch_norm(affine=False)
    zero = batch_norm(zero_gamma=True)
    for layer in (plain, bare, zero):
        layer.build([None, 2, 2, 3])
    assert len(plain.trainable_weights) == 2 and bare.trainable_weights == []
    assert not np.any(zero.gamma.numpy()) and np.all(plain.gamma.numpy() == 1)


@pytest.mark.parametrize(
    "given, expected",
    [
        ("float16", "float32"),
        ("bfloat16", "float32"),
        ("float32", "float32"),
        ("float64", "float64"),
    ],
)
def test_at_least_float32(given, expected):
    assert at_least_float32(given) == expected
    assert at_least_float32() == "float32"
