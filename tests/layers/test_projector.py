"""Heads: parameter counts, structure against NumPy, initial weights, precision."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng, normal
from tfssl.layers import projector


def _count(model):
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


@pytest.mark.parametrize(
    "input_dim, options, parameters",
    [
        (2048, {}, 8_921_344),  # MIRA, ResNet-50
        (512, {}, 5_775_616),  # MIRA, ResNet-18
        # InfoMin's MLP head 2048-2048-128 with biases and no normalisation.
        (
            2048,
            dict(hidden_dims=(2048,), output_dim=128, hidden_bias=True, hidden_norm=False),
            4_458_624,
        ),
        # SwAV: the same with normalisation, whose gamma and beta come on top.
        (2048, dict(hidden_dims=(2048,), output_dim=128, hidden_bias=True), 4_458_624 + 4096),
        # One linear map, CMC's head.
        (1024, dict(hidden_dims=(), output_dim=128), 1024 * 128 + 128),
        (
            8,
            dict(hidden_dims=(4,), output_dim=2, output_bias=False, output_norm="batch"),
            32 + 8 + 8 + 4,
        ),
        (8, dict(hidden_dims=(4,), output_dim=2, output_norm="batch_no_affine"), 32 + 8 + 8 + 2),
    ],
)
def test_parameter_counts(input_dim, options, parameters):
    assert _count(projector(input_dim, **options)) == parameters


def _reference(model, inputs, training):
    """The head layer by layer in NumPy, float64, reading weights by the names of the layers."""
    x = np.asarray(inputs, np.float64)
    for layer in model.layers[1:]:
        weights = {v.name.split("/")[-1].split(":")[0]: v.numpy() for v in layer.weights}
        if layer.name.startswith("linear"):
            x = x @ weights["kernel"] + weights.get("bias", 0.0)
        elif layer.name.startswith("bn"):
            mean, variance = weights["moving_mean"], weights["moving_variance"]
            if training:
                mean, variance = x.mean(0), x.var(0)
            x = (x - mean) / np.sqrt(variance + 1e-5)
            x = x * weights.get("gamma", 1.0) + weights.get("beta", 0.0)
        elif layer.name.startswith("relu"):
            x = np.maximum(x, 0)
    return x


def _randomise(model):
    """Large kernels: columns vary about as much as their mean, whose square is subtracted."""
    random = fresh_rng()
    model.set_weights(
        [
            random.normal(0, 1, w.shape) if w.ndim == 2 else random.uniform(0.2, 1.0, w.shape)
            for w in model.get_weights()
        ]
    )


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("output_norm", [None, "batch", "batch_no_affine"])
@pytest.mark.parametrize("hidden_norm", [False, True])
@pytest.mark.parametrize("synchronized", [None, True])
def test_forward_against_numpy(training, output_norm, hidden_norm, synchronized):
    model = projector(
        6,
        hidden_dims=(5, 7),
        output_dim=4,
        hidden_bias=True,
        hidden_norm=hidden_norm,
        output_norm=output_norm,
        synchronized=synchronized,
    )
    _randomise(model)
    inputs = fresh_rng().normal(size=(64, 6)).astype(np.float32)
    expected = _reference(model, inputs, training)
    np.testing.assert_allclose(model(inputs, training=training), expected, rtol=1e-4, atol=1e-4)


def test_order_of_layers_is_linear_norm_relu():
    names = [layer.name for layer in projector(8, hidden_dims=(4, 4), output_dim=2).layers]
    assert names == [
        "features",
        "linear1",
        "bn1",
        "relu1",
        "linear2",
        "bn2",
        "relu2",
        "linear3",
        "projections",
    ]
    assert not projector(8).get_layer("linear1").use_bias
    assert projector(8).get_layer("linear3").use_bias


def test_initial_weights_are_uniform_of_the_fan_in():
    model = projector(64, hidden_dims=(256, 256), output_dim=256, hidden_bias=True)
    for name, fan_in in (("linear1", 64), ("linear2", 256), ("linear3", 256)):
        bound = fan_in**-0.5
        for variable in model.get_layer(name).weights:
            values = variable.numpy()
            assert 0.95 * bound < np.abs(values).max() <= bound
            assert values.std() == pytest.approx(bound / 3**0.5, rel=0.1)
    second, third = (model.get_layer(n).kernel.numpy() for n in ("linear2", "linear3"))
    assert not np.array_equal(second, third)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("output_norm", [None, "batch_no_affine"])
def test_half_precision(policy, output_norm):
    options = dict(hidden_dims=(32,), output_dim=8, output_norm=output_norm)
    inputs = fresh_rng().normal(size=(600, 16)).astype(np.float32)
    reference = projector(16, **options)
    tf.keras.mixed_precision.set_global_policy(policy)
    model = projector(16, **options)
    model.set_weights(reference.get_weights())
    with tf.GradientTape() as tape:
        outputs = model(inputs, training=True)
        loss = tf.reduce_sum(outputs**2)
    gradients = tape.gradient(loss, model.trainable_variables)
    assert outputs.dtype == tf.float32 and model.get_layer("linear1").compute_dtype != "float32"
    assert all(
        v.dtype == tf.float32 and np.all(np.isfinite(g))
        for v, g in zip(model.trainable_variables, gradients)
    )
    expected = reference(inputs, training=True)
    np.testing.assert_allclose(outputs, expected, atol=0.05 * np.abs(expected).max())
    if output_norm:
        # Statistics of 600 rows: in bfloat16 even their count would be rounded.
        np.testing.assert_allclose(np.std(outputs, axis=0), np.ones(8), atol=1e-3)


def test_float64_policy_keeps_float64(float64):
    assert projector(4, hidden_dims=(3,), output_dim=2)(tf.ones([2, 4])).dtype == tf.float64


def test_compiles_with_xla_and_agrees_with_eager():
    model = projector(6, hidden_dims=(5,), output_dim=4, output_norm="batch")
    inputs = normal([9, 6])
    eager = model(inputs, training=True)
    compiled = tf.function(lambda x: model(x, training=True), jit_compile=True, autograph=False)(
        inputs
    )
    np.testing.assert_allclose(compiled, eager, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(input_dim=0), "whole numbers >= 1"),
        (dict(output_dim=0), "output_dim=0"),
        (dict(hidden_dims=(8, -1)), "hidden_dims="),
        (dict(hidden_dims=(2.5,)), "hidden_dims="),
        (dict(output_norm="layer"), "output_norm='layer'"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        projector(**{"input_dim": 8, **arguments})
