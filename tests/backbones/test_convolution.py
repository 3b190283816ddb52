"""Grouped convolutions: values and gradients against one dense convolution a group."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import normal
from tfssl.backbones import convolution as module


def _layer(groups, stride, policy):
    tf.keras.mixed_precision.set_global_policy(policy)
    inputs = tf.keras.Input((None, None, 8), dtype="float64" if policy == "float64" else "float32")
    outputs = module.convolution(inputs, 16, 3, stride=stride, groups=groups, name="conv")
    return tf.keras.Model(inputs, outputs)


def _reference(images, kernel, groups, stride):
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]])
    parts = zip(tf.split(padded, groups, axis=-1), tf.split(kernel, groups, axis=-1))
    return tf.concat([tf.nn.conv2d(x, k, stride, "VALID") for x, k in parts], axis=-1)


def _value_and_gradients(function, images, kernel):
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = tf.cast(function(images), tf.float64)
        loss = tf.reduce_sum(outputs * tf.sin(outputs))
    return [outputs, *tape.gradient(loss, [images, kernel])]


@pytest.mark.parametrize("by_keras", [False, True])
@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("policy, tolerance", [("float32", 1e-5), ("float64", 1e-12)])
def test_values_and_gradients(policy, tolerance, stride, graph, by_keras, monkeypatch):
    if by_keras:
        # Stock Keras: what a machine without the native gradients runs.
        monkeypatch.setattr(module, "_differentiates_groups", lambda dtype: False)
    model = _layer(4, stride, policy)
    kernel = model.layers[-1].kernel
    images = normal([3, 7, 6, 8], dtype=policy)
    step = tf.function(_value_and_gradients, autograph=False) if graph else _value_and_gradients
    ours = step(model, images, kernel)
    theirs = _value_and_gradients(lambda x: _reference(x, kernel, 4, stride), images, kernel)
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * float(tf.reduce_max(abs(b))))


@pytest.mark.parametrize("policy", ["float32", "float64"])
def test_plain_op_is_used_exactly_where_it_has_gradients(policy):
    model = _layer(4, 1, policy)
    graph = (
        tf.function(model, autograph=False)
        .get_concrete_function(tf.zeros([1, 7, 6, 8], policy))
        .graph
    )
    plain = "Conv2D" in {operation.type for operation in graph.get_operations()}
    assert plain == module._differentiates_groups(policy)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_has_gradients(policy):
    model = _layer(4, 1, policy)
    kernel = model.layers[-1].kernel
    images = normal([3, 7, 6, 8])
    ours = _value_and_gradients(model, images, kernel)
    theirs = _value_and_gradients(lambda x: _reference(x, kernel, 4, 1), images, kernel)
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, rtol=0, atol=0.05 * float(tf.reduce_max(abs(b))))


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_gradients_under_two_replicas(policy, two_replicas):
    with two_replicas.scope():
        model = _layer(4, 1, policy)
    kernel = model.layers[-1].kernel
    images = normal([2, 7, 6, 8])

    @tf.function(autograph=False)
    def step():
        return two_replicas.run(lambda: _value_and_gradients(model, tf.identity(images), kernel)[2])

    expected = _value_and_gradients(lambda x: _reference(x, kernel, 4, 1), images, kernel)[2]
    tolerance = (1e-5 if policy == "float32" else 0.05) * float(tf.reduce_max(abs(expected)))
    for gradient in two_replicas.experimental_local_results(step()):
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=tolerance)


def test_initial_deviation_does_not_depend_on_groups():
    inputs = tf.keras.Input((None, None, 128))
    deviations = [
        module.convolution(inputs, 256, 3, groups=g, name="c").node.layer.kernel.numpy().std()
        for g in (1, 8)
    ]
    assert deviations == pytest.approx([np.sqrt(2 / (9 * 256))] * 2, rel=0.03)
