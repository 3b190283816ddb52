"""Losses by parts of their rows: the same for every division, and as NumPy has them."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import losses

ROWS, NUMBER, TEMPERATURE, RECORDS = 6, 13, 0.2, 40


def softmax(positive, negative, counts):
    own = (positive - 0.1) / TEMPERATURE
    return np.log1p((counts * np.exp(negative / TEMPERATURE)).sum(axis=1) / np.exp(own))


def noise(positive, negative, counts):
    """With Z of 20 and 30 in turn."""
    z = np.tile([20.0, 30.0], ROWS // 2)
    density = NUMBER / RECORDS + 1e-7
    own = np.exp(positive / TEMPERATURE) / z
    others = np.exp(negative / TEMPERATURE) / z[:, np.newaxis]
    drawn = counts * np.log((NUMBER / RECORDS) / (others + density))
    return -np.log(own / (own + density)) - drawn.sum(axis=1)


def make(kind):
    if kind is softmax:
        return losses.decomposed_info_nce(temperature=TEMPERATURE, margin=0.1)
    z = tf.constant([20.0, 30.0], tf.float64)
    return losses.decomposed_nce(temperature=TEMPERATURE, num_data=RECORDS, num_draws=NUMBER, z=z)


@pytest.mark.parametrize("kind", [softmax, noise])
@pytest.mark.parametrize("columns", [[13], [1, 12], [5, 5, 3], [1] * 13])
def test_every_division_gives_the_loss_and_its_gradient(kind, columns):
    rng, loss = fresh_rng(), make(kind)
    positive, negative = rng.uniform(-1, 1, ROWS), rng.uniform(-1, 1, [ROWS, NUMBER])
    counts = rng.integers(0, 3, [ROWS, NUMBER])
    counts[:, 0] = 1
    tensors = tf.constant(positive), tf.constant(negative)
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        parts = zip(tf.split(tensors[1], columns, axis=1), np.split(counts, np.cumsum(columns), 1))
        sums = [loss.part(scores, counts=tf.constant(times)) for scores, times in parts]
        each = loss.whole(tf.stack(sums, axis=1), tensors[0])
    np.testing.assert_allclose(each, kind(positive, negative, counts), rtol=1e-9)
    received = tape.gradient(each, tensors)
    step = 1e-6
    up, down = (kind(positive + s, negative, counts) for s in (step, -step))
    np.testing.assert_allclose(received[0], (up - down) / (2 * step), rtol=1e-5, atol=1e-8)
    direction = rng.normal(size=negative.shape)
    up, down = (kind(positive, negative + s * direction, counts) for s in (step, -step))
    np.testing.assert_allclose(
        np.sum(received[1] * direction, axis=1), (up - down) / (2 * step), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("kind", [softmax, noise])
@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32])
def test_extreme_scores_in_parts(kind, dtype):
    """Half precision is computed in float32, and nothing overflows."""
    loss = make(kind)
    scores = tf.constant([[3e4, -3e4, 0.0], [-3e4, -3e4, -3e4]] * (ROWS // 2), dtype)
    found = []
    for kind_of_number in (dtype, tf.float64):
        numbers = tf.cast(scores, kind_of_number)
        with tf.GradientTape() as tape:
            tape.watch(numbers)
            sums = tf.stack([loss.part(part) for part in tf.split(numbers, 3, axis=1)], axis=1)
            each = loss.whole(sums, tf.zeros([ROWS], kind_of_number))
        found.append((each, tape.gradient(each, numbers)))
    assert sums.dtype == tf.float64 and found[0][0].dtype == tf.float32
    for value, expected in zip(*found):
        np.testing.assert_allclose(tf.cast(value, tf.float64), expected, rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"num_data": 0}, "num_data >= 1"),
        ({"num_draws": 0}, "num_draws >= 1"),
        ({"z": 0.0}, "z > 0"),
        ({"z": tf.constant([1.0, -1.0])}, "z > 0"),
        ({"temperature": 0.0}, "temperature > 0"),
    ],
)
def test_noise_with_wrong_arguments(change, message):
    arguments = {"temperature": 0.1, "num_data": 5, "num_draws": 4, "z": 1.0}
    # Of a tensor's values TensorFlow raises its own error.
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=message):
        losses.decomposed_nce(**{**arguments, **change})


@pytest.mark.parametrize("rows", [5, 1])
def test_rows_that_directions_do_not_divide(rows):
    z = tf.constant([20.0, 30.0])
    loss = losses.decomposed_nce(temperature=0.1, num_data=5, num_draws=4, z=z)
    with pytest.raises(ValueError, match=f"divides {rows} rows. Received: 2"):
        loss.part(tf.zeros([rows, 4]))


@pytest.mark.parametrize(
    "change, message", [({"temperature": -1.0}, "temperature > 0"), ({"margin": 2.0}, "margin")]
)
def test_softmax_with_wrong_arguments(change, message):
    with pytest.raises(ValueError, match=f"{message}.*Received: "):
        losses.decomposed_info_nce(**{"temperature": 0.1, **change})
