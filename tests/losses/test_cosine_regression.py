"""cosine_regression against NumPy, its range and its gradient."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import losses


@pytest.fixture
def pair():
    rng = fresh_rng()
    return rng.normal(size=[6, 5]), rng.normal(size=[6, 5])


def test_agrees_with_numpy(pair):
    p, t = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in pair)
    expected = np.mean(np.sum((p - t) ** 2, axis=1))
    assert float(losses.cosine_regression(*pair)) == pytest.approx(expected, rel=1e-12)


def test_range(pair):
    assert float(losses.cosine_regression(pair[0], 3 * pair[0])) == pytest.approx(0, abs=1e-12)
    assert float(losses.cosine_regression(pair[0], -pair[0])) == pytest.approx(4, rel=1e-12)


def test_gradient_is_orthogonal_to_the_prediction(pair):
    """Lengths do not matter, so no gradient points along a row."""
    tensors = [tf.constant(t) for t in pair]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        loss = losses.cosine_regression(*tensors)
    for gradient, rows in zip(tape.gradient(loss, tensors), pair):
        np.testing.assert_allclose(np.sum(gradient * rows, axis=1), np.zeros(6), atol=1e-12)
        assert np.abs(gradient).max() > 1e-3


def test_a_row_of_zeros_stays_finite():
    predictions = tf.zeros([2, 3])
    with tf.GradientTape() as tape:
        tape.watch(predictions)
        loss = losses.cosine_regression(predictions, tf.ones([2, 3]))
    assert float(loss) == 2 and np.all(np.isfinite(tape.gradient(loss, predictions)))


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_is_computed_in_float32(pair, dtype):
    half = [tf.cast(t, dtype) for t in pair]
    loss = losses.cosine_regression(*half)
    exact = losses.cosine_regression(*[tf.cast(t, tf.float64) for t in half])
    assert loss.dtype == tf.float32 and float(loss) == pytest.approx(float(exact), rel=1e-5)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="one shape .*Received: "):
        losses.cosine_regression(np.zeros([2, 3]), np.zeros([2, 4]))
    with pytest.raises(ValueError, match="floating .*Received: "):
        losses.cosine_regression(np.zeros([2, 3], int), np.zeros([2, 3]))
