"""Prototypes: exact cosines in float32, their gradient, and the initial weights."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng, normal
from tfssl.layers import Prototypes


def _cosines(embeddings, kernel):
    embeddings, kernel = np.asarray(embeddings, np.float64), np.asarray(kernel, np.float64)
    norms = np.linalg.norm(embeddings, axis=1)[:, None] * np.linalg.norm(kernel, axis=1)[None]
    return embeddings @ kernel.T / norms


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_logits_are_cosines_whatever_the_norms(scale):
    layer = Prototypes(11)
    embeddings = fresh_rng().normal(size=(5, 7)).astype(np.float32) * scale
    layer(embeddings)
    layer.kernel.assign(layer.kernel * np.geomspace(1e-4, 1e4, 11)[:, None])
    logits = layer(embeddings)
    np.testing.assert_allclose(logits, _cosines(embeddings, layer.kernel), rtol=0, atol=1e-6)
    assert np.abs(logits).max() <= 1 + 1e-6


def test_parallel_rows_have_cosine_one():
    layer = Prototypes(4)
    layer(tf.zeros([1, 6]))
    np.testing.assert_allclose(np.diag(layer(3 * layer.kernel)), np.ones(4), atol=1e-6)
    np.testing.assert_allclose(np.diag(layer(-2 * layer.kernel)), -np.ones(4), atol=1e-6)


def test_without_input_normalisation_logits_scale_with_the_embeddings():
    layer = Prototypes(3, normalize_inputs=False)
    embeddings = fresh_rng().normal(size=(5, 4)).astype(np.float32)
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    logits = layer(embeddings)
    np.testing.assert_allclose(
        logits, norms * _cosines(embeddings, layer.kernel), rtol=1e-5, atol=1e-6
    )


def test_size_and_initial_weights_of_mira():
    layer = Prototypes(3000)
    layer.build([None, 256])
    assert [tuple(v.shape) for v in layer.trainable_weights] == [(3000, 256)]
    assert layer.count_params() == 768_000
    values = layer.kernel.numpy()
    assert 0.999 / 16 < np.abs(values).max() <= 1 / 16
    assert values.std() == pytest.approx(1 / 16 / 3**0.5, rel=0.01)


def test_gradient_against_finite_differences_and_orthogonal_to_the_kernel(float64):
    layer = Prototypes(3)
    embeddings = normal([4, 5], dtype=tf.float64)
    weights = normal([4, 3], dtype=tf.float64)
    layer(embeddings)
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        loss = tf.reduce_sum(layer(embeddings) * weights)
    gradients = tape.gradient(loss, [embeddings, layer.kernel])
    points = [embeddings.numpy(), layer.kernel.numpy()]
    for which in (0, 1):
        # The logits do not depend on the norms, so the gradient has no radial part.
        np.testing.assert_allclose(np.sum(gradients[which] * points[which], -1), 0, atol=1e-12)
        direction = fresh_rng().normal(size=points[which].shape)
        values = []
        for step in (1e-6, -1e-6):
            moved = list(points)
            moved[which] = points[which] + step * direction
            values.append(np.sum(_cosines(*moved) * weights))
        slope = (values[0] - values[1]) / 2e-6
        assert float(tf.reduce_sum(gradients[which] * direction)) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_embeddings_get_float32_logits(policy):
    tf.keras.mixed_precision.set_global_policy(policy)
    layer = Prototypes(11)
    embeddings = tf.cast(100 * normal([5, 64]), policy[len("mixed_") :])
    logits = layer(embeddings)
    assert logits.dtype == layer.kernel.dtype == tf.float32
    expected = _cosines(tf.cast(embeddings, tf.float32), layer.kernel.numpy())
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("row", [np.zeros(4), np.full(4, 1e-20), np.full(4, 1e15)])
def test_extreme_rows_stay_finite(row):
    layer = Prototypes(3)
    embeddings = tf.constant([row], tf.float32)
    with tf.GradientTape() as tape:
        logits = layer(embeddings)
    gradient = tape.gradient(logits, layer.kernel)
    assert np.all(np.isfinite(logits)) and np.all(np.isfinite(gradient))
    if not row.any():
        np.testing.assert_array_equal(logits, np.zeros([1, 3]))


def test_graph_and_xla_equal_eager():
    layer = Prototypes(9)
    embeddings = normal([6, 5])
    expected = layer(embeddings)
    for compile_it in (False, True):
        logits = tf.function(layer, jit_compile=compile_it, autograph=False)(embeddings)
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-6)


def test_configuration_round_trip():
    layer = Prototypes(9, normalize_inputs=False, name="head")
    copy = Prototypes.from_config(layer.get_config())
    assert (copy.num_prototypes, copy.normalize_inputs, copy.name) == (9, False, "head")


def test_refusals():
    for number in (0, -3, 2.5):
        with pytest.raises(ValueError, match="num_prototypes"):
            Prototypes(number)
    for shape in ([2, 3, 4], [5], [4, None]):
        with pytest.raises(ValueError, match="batch, dim"):
            Prototypes(3).build(shape)
