"""local_aggregation against NumPy, its gradient and its limits."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import losses


@pytest.fixture
def inputs():
    """Cosines and masks; the first entry of every row is in both."""
    rng = fresh_rng()
    close, background = rng.random((2, 5, 12)) < 0.5
    close[:, 0] = background[:, 0] = True
    return rng.uniform(-1, 1, [5, 12]), close, background


def by_hand(scores, close, background, temperature):
    """Eq. 5 row by row, with sums over sets."""
    total = 0.0
    for row, c, b in zip(scores, close, background):
        e = np.exp(row / temperature)
        total -= np.log(sum(e[c & b]) / sum(e[b]))
    return total / len(scores)


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_agrees_with_numpy(inputs, temperature):
    loss = losses.local_aggregation(*inputs, temperature=temperature)
    assert float(loss) == pytest.approx(by_hand(*inputs, temperature), rel=1e-9, abs=1e-12)


def test_gradient_is_that_of_two_softmaxes(inputs):
    scores, close, background = inputs
    tensor = tf.constant(scores)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        loss = losses.local_aggregation(tensor, close, background, temperature=0.3)
    e = np.exp(scores / 0.3)
    near = e * background / (e * background).sum(axis=1, keepdims=True)
    both = e * (close & background) / (e * (close & background)).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(tape.gradient(loss, tensor), (near - both) / 0.3 / 5, atol=1e-9)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_extreme_scores_stay_finite_and_keep_their_digits(dtype):
    scores = tf.constant([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [20.0, 0.0, 0.0]], dtype)
    close = tf.constant([[True, False, False]] * 3)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        rows = [
            losses.local_aggregation(
                scores[i : i + 1], close[i : i + 1], tf.ones([1, 3], tf.bool), temperature=1.0
            )
            for i in range(3)
        ]
    np.testing.assert_allclose(rows, [0.0, 2e4, 2 * np.exp(-20.0)], rtol=1e-5)
    assert np.isfinite(tape.gradient(rows, scores)).all()


def test_rows_without_others_or_without_close_ones(inputs):
    """All background is close: 0. None is: 0, and no gradient."""
    scores, close, background = inputs
    every = np.ones_like(close)
    assert float(losses.local_aggregation(scores, every, background, temperature=0.1)) == 0
    tensor = tf.constant(scores)
    for none in ((~background, background), (close, ~every)):
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            loss = losses.local_aggregation(tensor, *none, temperature=0.1)
        assert float(loss) == 0
        np.testing.assert_array_equal(tape.gradient(loss, tensor), np.zeros((5, 12)))


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_is_computed_in_float32(inputs, dtype):
    scores, *masks = inputs
    half = tf.cast(scores, dtype)
    loss = losses.local_aggregation(half, *masks, temperature=0.07)
    exact = losses.local_aggregation(tf.cast(half, tf.float64), *masks, temperature=0.07)
    assert loss.dtype == tf.float32 and float(loss) == pytest.approx(float(exact), rel=1e-4)


@pytest.mark.parametrize("change", ["scores", "close", "background", "rank"])
def test_wrong_arguments(inputs, change):
    scores, close, background = inputs
    arguments = {
        "scores": (scores.astype(int), close, background),
        "close": (scores, close[:, 1:], background),
        "background": (scores, close, background.astype(float)),
        "rank": (scores[0], close[0], background[0]),
    }[change]
    with pytest.raises(ValueError, match="scores .batch, n.*Received: "):
        losses.local_aggregation(*arguments, temperature=0.1)
    with pytest.raises(ValueError, match="temperature > 0"):
        losses.local_aggregation(scores, close, background, temperature=0.0)
