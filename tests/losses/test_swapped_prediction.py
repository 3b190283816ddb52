"""swapped_prediction against NumPy and PyTorch, its gradient, and its arguments."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import losses


@pytest.fixture
def rng():
    return fresh_rng()


def log_softmax(x):
    x = x - x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


@pytest.fixture
def problem(rng):
    return rng.uniform(-1, 1, (9, 5)), rng.dirichlet(np.ones(5), size=9)


@pytest.mark.parametrize("temperature", [0.1, 1.0, tf.constant(0.3, tf.float64)])
def test_agrees_with_numpy(problem, temperature):
    logits, targets = problem
    expected = -np.mean(np.sum(targets * log_softmax(logits / float(temperature)), axis=1))
    loss = losses.swapped_prediction(logits, targets, temperature=temperature)
    assert float(loss) == pytest.approx(expected, rel=1e-12)


def test_agrees_with_pytorch(problem):
    torch = pytest.importorskip("torch")
    logits, targets = problem
    expected = torch.nn.functional.cross_entropy(torch.tensor(logits / 0.1), torch.tensor(targets))
    loss = losses.swapped_prediction(logits, targets, temperature=0.1)
    assert float(loss) == pytest.approx(float(expected), rel=1e-12)


def test_gradient(problem):
    logits, targets = (tf.Variable(x) for x in problem)
    with tf.GradientTape() as tape:
        loss = losses.swapped_prediction(logits, targets * 1.0, temperature=0.2)
    to_logits, to_targets = tape.gradient(loss, [logits, targets])
    expected = (np.exp(log_softmax(problem[0] / 0.2)) - problem[1]) / (0.2 * 9)
    np.testing.assert_allclose(to_logits, expected, rtol=1e-10, atol=1e-14)
    assert to_targets is None


def test_gradient_of_targets_that_do_not_sum_to_one(problem):
    logits, targets = tf.Variable(problem[0]), 0.3 * problem[1]
    with tf.GradientTape() as tape:
        loss = losses.swapped_prediction(logits, targets, temperature=1.0)
    numeric = np.zeros([9, 5])
    for i, j in np.ndindex(9, 5):
        values = []
        for sign in (1, -1):
            moved = problem[0].copy()
            moved[i, j] += sign * 1e-6
            values.append(float(losses.swapped_prediction(moved, targets, temperature=1.0)))
        numeric[i, j] = (values[0] - values[1]) / 2e-6
    np.testing.assert_allclose(tape.gradient(loss, logits), numeric, atol=1e-8)


@pytest.mark.parametrize("clusters", [2, 3000])
def test_an_undecided_student_pays_log_of_the_clusters(clusters, rng):
    targets = rng.dirichlet(np.ones(clusters), size=4).astype(np.float32)
    loss = losses.swapped_prediction(tf.zeros([4, clusters]), targets, temperature=0.1)
    assert float(loss) == pytest.approx(np.log(clusters), rel=1e-5)


def test_extreme_logits(problem):
    logits = 1e4 * np.sign(problem[0]).astype(np.float32)
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = losses.swapped_prediction(variable, problem[1].astype(np.float32), temperature=0.1)
    expected = -np.mean(np.sum(problem[1] * log_softmax(logits / 0.1), axis=1))
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert np.all(np.isfinite(tape.gradient(loss, variable)))


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_is_computed_in_float32(problem, dtype):
    logits, targets = tf.cast(problem[0], dtype), tf.cast(problem[1], dtype)
    loss = losses.swapped_prediction(logits, targets, temperature=0.1)
    assert loss.dtype == tf.float32
    exact = losses.swapped_prediction(
        tf.cast(logits, tf.float64), tf.cast(targets, tf.float64), temperature=0.1
    )
    assert float(loss) == pytest.approx(float(exact), rel=1e-5)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"logits": np.zeros([2, 4])}, "one shape"),
        ({"logits": np.zeros([3]), "targets": np.zeros([3])}, "one shape"),
        ({"logits": np.zeros([2, 3], int)}, "floating logits"),
        ({"targets": np.zeros([2, 3], int)}, "floating logits"),
        ({"temperature": 0.0}, "temperature > 0"),
        ({"temperature": float("nan")}, "temperature > 0"),
    ],
)
def test_wrong_arguments(change, message):
    arguments = {"logits": np.zeros([2, 3]), "targets": np.zeros([2, 3]), "temperature": 0.1}
    arguments.update(change)
    with pytest.raises(ValueError, match=f"{message}.*Received: "):
        losses.swapped_prediction(**arguments)
