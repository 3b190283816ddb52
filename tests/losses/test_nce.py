"""nce against NumPy, the authors' worked limits, and its gradient."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import losses


def by_hand(scores, temperature, num_data, z, counts=1):
    """The CMC sheet, section 2.3, as coded by the authors."""
    m = scores.shape[1] - 1
    p = np.exp(scores / temperature) / z
    positive = np.log(p[:, 0] / (p[:, 0] + m / num_data + 1e-7))
    negative = np.log((m / num_data) / (p[:, 1:] + m / num_data + 1e-7))
    return -(positive.sum() + (counts * negative).sum()) / len(scores)


@pytest.fixture
def scores():
    return fresh_rng().uniform(-1, 1, [4, 9])


@pytest.mark.parametrize("num_data", [50, 1_281_167])
def test_agrees_with_numpy(scores, num_data):
    z = losses.nce_partition(scores, temperature=0.07, num_data=num_data)
    assert float(z) == pytest.approx(num_data * np.exp(scores / 0.07).mean(), rel=1e-10)
    loss = losses.nce(scores, temperature=0.07, num_data=num_data, z=z)
    assert float(loss) == pytest.approx(by_hand(scores, 0.07, num_data, float(z)), rel=1e-9)


def test_small_terms_of_many_draws_add_up_in_float32():
    """ImageNet's sizes, where 1e-7 in each denominator makes 0.128 of the loss."""
    num_data, draws = 1_281_167, 16_384
    scores = fresh_rng().normal(0, 0.1, [2, 1 + draws]).astype(np.float32)
    z = float(losses.nce_partition(scores.astype(float), temperature=0.07, num_data=num_data))
    loss = losses.nce(scores, temperature=0.07, num_data=num_data, z=z)
    assert loss.dtype == tf.float32
    assert float(loss) == pytest.approx(by_hand(scores.astype(float), 0.07, num_data, z), rel=2e-5)


@pytest.mark.parametrize("kind", [bool, int, float])
def test_draws_count_as_often_as_said(scores, kind):
    """The noise's density stays that of m draws."""
    counts = fresh_rng().integers(0, 4, [4, 8]).astype(kind)
    counts[0, :2] = 0, 1
    loss = losses.nce(scores, temperature=0.2, num_data=50, z=30.0, counts=counts)
    assert float(loss) == pytest.approx(by_hand(scores, 0.2, 50, 30.0, counts), rel=1e-9)


def test_a_draw_that_does_not_count_has_no_gradient(scores):
    tensor, counts = tf.constant(scores), np.ones([4, 8], bool)
    counts[1, 3] = False
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        loss = losses.nce(tensor, temperature=0.2, num_data=50, z=30.0, counts=counts)
    gradient = tape.gradient(loss, tensor).numpy()
    np.testing.assert_array_equal(gradient[:, 1:] != 0, counts)


def test_gradient_tends_to_the_softmax(scores):
    """Each logit's gradient is w (P - [positive]) with w = (m/N) / (P + m/N)."""
    num_data, m = 100, 8
    tensor = tf.constant(scores)
    z = losses.nce_partition(tensor, temperature=0.5, num_data=num_data)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        loss = losses.nce(tensor, temperature=0.5, num_data=num_data, z=z)
    p = np.exp(scores / 0.5) / float(z)
    weight = (m / num_data) / (p + m / num_data)
    target = np.eye(9)[[0] * 4]
    # Of a negative: d/ds log(1 + P N / m) = P / (P + m/N).
    expected = np.where(target == 1, -weight, p / (p + m / num_data)) / (0.5 * len(scores))
    np.testing.assert_allclose(tape.gradient(loss, tensor), expected, rtol=1e-5)


@pytest.mark.parametrize("m, expected", [(4096, 9.4460), (16384, 10.8322)])
def test_probabilities_of_the_noise(m, expected):
    """Property 2 of the CMC sheet: P = 1/N everywhere, with the authors' 1e-7 and without."""
    num_data = 1_281_167
    scores = tf.zeros([1, 1 + m], tf.float64)
    loss = float(losses.nce(scores, temperature=0.07, num_data=num_data, z=float(num_data)))
    assert loss == pytest.approx(expected, abs=1e-4)
    exact = (m + 1) * np.log(m + 1) - m * np.log(m)
    # The difference is about 1e-7 N, whatever m.
    assert loss - exact == pytest.approx(1e-7 * num_data, rel=2e-3)


@pytest.mark.parametrize("repeats", [1, 10, 1000])
def test_gradient_of_all_atoms_tends_to_that_of_the_softmax(repeats):
    """Property 9 of the CMC sheet: each of N = 7 atoms is noise, m / N times."""
    atoms = tf.constant(fresh_rng().normal(size=[7]))
    with tf.GradientTape() as tape:
        tape.watch(atoms)
        scores = tf.concat([atoms[:1], tf.tile(atoms, [repeats])], axis=0)[tf.newaxis]
        z = tf.stop_gradient(tf.reduce_sum(tf.exp(atoms)))
        loss = losses.nce(scores, temperature=1.0, num_data=7, z=z)
    p = tf.nn.softmax(atoms).numpy()
    softmax = p - np.eye(7)[0]
    received = tape.gradient(loss, atoms)
    np.testing.assert_allclose(received, repeats / (p + repeats) * softmax, rtol=1e-5)
    # The gap falls as 1 / m.
    assert np.abs(received - softmax).max() < 1 / repeats


def test_rows_and_their_own_partition_sums(scores):
    z = fresh_rng().uniform(5, 50, 4)
    each = losses.nce(scores, temperature=0.2, num_data=50, z=tf.constant(z), reduction="none")
    expected = [by_hand(row[np.newaxis], 0.2, 50, own) for row, own in zip(scores, z)]
    np.testing.assert_allclose(each, expected, rtol=1e-9)
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected finite z > 0"):
        losses.nce(scores, temperature=0.2, num_data=50, z=tf.constant([1.0, 0.0, 1.0, 1.0]))


def test_extreme_scores_stay_finite():
    scores = tf.constant([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(scores)
        loss = losses.nce(scores, temperature=0.01, num_data=10, z=1.0)
    assert np.isfinite(float(loss)) and np.all(np.isfinite(tape.gradient(loss, scores)))


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_is_computed_in_float32(scores, dtype):
    half = tf.cast(scores, dtype)
    loss = losses.nce(half, temperature=0.07, num_data=1000, z=500.0)
    exact = losses.nce(tf.cast(half, tf.float64), temperature=0.07, num_data=1000, z=500.0)
    assert loss.dtype == tf.float32 and float(loss) == pytest.approx(float(exact), rel=1e-4)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"scores": np.zeros([4])}, "scores"),
        ({"scores": np.zeros([4, 1])}, "scores"),
        ({"scores": np.zeros([4, 3], int)}, "scores"),
        ({"num_data": 0}, "num_data"),
        ({"z": 0.0}, "z > 0"),
        ({"z": tf.ones([3])}, "expected z a number"),
        ({"z": tf.ones([1])}, "expected z a number"),
        ({"temperature": -1.0}, "temperature > 0"),
    ],
)
def test_wrong_arguments(change, message):
    arguments = {"scores": np.zeros([2, 3]), "temperature": 0.1, "num_data": 5, "z": 1.0}
    with pytest.raises(ValueError, match=f"{message}.*Received: "):
        losses.nce(**{**arguments, **change})
