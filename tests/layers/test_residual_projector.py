"""The head of Deep InfoMax against NumPy, its start, precision, XLA."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl.layers import residual_projector


def by_hand(model, inputs, training):
    """Linear, batch normalisation, ReLU, linear; plus the shortcut; layer normalisation."""
    get = {layer.name: layer.get_weights() for layer in model.layers}
    (first,), (gamma, beta, mean, variance) = get["linear1"], get["bn1"]
    x = inputs @ first
    if training:
        mean, variance = x.mean(axis=0), x.var(axis=0)
    x = np.maximum((x - mean) / np.sqrt(variance + 1e-5) * gamma + beta, 0)
    x = x @ get["linear2"][0] + get["linear2"][1]
    x += inputs @ get["shortcut"][0] + get["shortcut"][1]
    x = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    return x * get["norm"][0] + get["norm"][1]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("synchronized", [None, True])
def test_forward_against_numpy(training, synchronized, float64):
    rng = fresh_rng()
    model = residual_projector(6, hidden_dim=5, output_dim=4, synchronized=synchronized)
    model.set_weights([rng.uniform(0.2, 1, w.shape) for w in model.get_weights()])
    inputs = rng.normal(size=(32, 6))
    expected = by_hand(model, inputs, training)
    np.testing.assert_allclose(model(inputs, training=training), expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("input_dim, output_dim", [(40, 40), (40, 60), (60, 40)])
def test_the_shortcut_starts_near_the_identity(input_dim, output_dim):
    """Section 2.6: 1 on the diagonal, U(-0.01, 0.01) off it, and no bias at first."""
    model = residual_projector(input_dim, hidden_dim=8, output_dim=output_dim)
    kernel, bias = model.get_layer("shortcut").get_weights()
    diagonal = np.eye(input_dim, output_dim, dtype=bool)
    np.testing.assert_array_equal(kernel[diagonal], 1)
    noise = kernel[~diagonal]
    assert 0.0095 < np.abs(noise).max() <= 0.01
    assert noise.std() == pytest.approx(0.01 / 3**0.5, rel=0.1)
    assert abs(noise.mean()) < 5 * noise.std() / np.sqrt(noise.size)
    np.testing.assert_array_equal(bias, 0)
    # Two heads start with noise of their own.
    other = residual_projector(input_dim, hidden_dim=8, output_dim=output_dim)
    assert not np.array_equal(other.get_layer("shortcut").get_weights()[0], kernel)


def test_the_sizes_of_deep_infomax_and_the_starts_of_linear_maps():
    model = residual_projector(192)
    assert model.output_shape == (None, 2048)
    shapes = [tuple(v.shape) for v in model.trainable_variables]
    linear = [(192, 2048), (2048,), (2048,), (2048, 2048), (2048,)]
    assert sorted(shapes) == sorted([*linear, (192, 2048), (2048,), (2048,), (2048,)])
    assert model.get_layer("linear1").bias is None
    for name, inputs in (("linear1", 192), ("linear2", 2048)):
        bound = inputs**-0.5
        largest = np.abs(model.get_layer(name).kernel.numpy()).max()
        assert 0.99 * bound < largest <= bound


def test_rows_have_mean_0_and_deviation_1():
    rows = residual_projector(16, hidden_dim=8, output_dim=50)(
        fresh_rng().normal(3, 20, (7, 16)).astype(np.float32), training=True
    )
    np.testing.assert_allclose(np.mean(rows, axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(np.std(rows, axis=1), 1, atol=1e-3)


def test_every_weight_learns_and_xla_agrees():
    model = residual_projector(6, hidden_dim=5, output_dim=4)
    inputs = tf.constant(fresh_rng().normal(size=(9, 6)), tf.float32)
    wanted = tf.constant(fresh_rng().normal(size=(9, 4)), tf.float32)

    def run():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(inputs, training=True) - wanted))
        return loss, tape.gradient(loss, model.trainable_variables)

    eager, compiled = run(), tf.function(run, jit_compile=True, autograph=False)()
    assert all(np.any(g) for g in eager[1])
    for one, other in zip(tf.nest.flatten(eager), tf.nest.flatten(compiled)):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_ends_in_float32(policy):
    inputs = fresh_rng().normal(size=(64, 6)).astype(np.float32)
    full = residual_projector(6, hidden_dim=5, output_dim=8)
    tf.keras.mixed_precision.set_global_policy(policy)
    half = residual_projector(6, hidden_dim=5, output_dim=8)
    half.set_weights(full.get_weights())
    found = half(inputs, training=True)
    assert found.dtype == tf.float32 and half.get_layer("linear1").compute_dtype != "float32"
    assert half.get_layer("norm").compute_dtype == "float32"
    np.testing.assert_allclose(found, full(inputs, training=True), atol=0.1)


def test_float64_stays(float64):
    model = residual_projector(3, hidden_dim=2, output_dim=2)
    assert model(tf.ones([2, 3])).dtype == tf.float64


@pytest.mark.parametrize("change", [{"input_dim": 0}, {"hidden_dim": 0}, {"output_dim": -1}])
def test_refusals(change):
    arguments = {"input_dim": 3, "hidden_dim": 3, "output_dim": 3, **change}
    ((name, value),) = change.items()
    with pytest.raises(ValueError, match=f"output_dim >= 1. Received: .*{name}={value}"):
        residual_projector(**arguments)
