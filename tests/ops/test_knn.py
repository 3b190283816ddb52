"""knn_vote against scikit-learn and against sorting all similarities in NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.neighbors import KNeighborsClassifier

from tests.random_inputs import fresh_rng
from tfssl import ops
from tfssl.ops import knn


def reference(train, labels, test, num_classes, k, temperature):
    """All similarities, a stable sort, a loop of votes."""
    train, test = (x.astype(np.float64) for x in (train, test))
    train /= np.linalg.norm(train, axis=1, keepdims=True)
    test /= np.linalg.norm(test, axis=1, keepdims=True)
    similarities = test @ train.T
    scores = np.zeros([len(test), num_classes])
    for row, order in enumerate(np.argsort(-similarities, axis=1, kind="stable")[:, :k]):
        for index in order:
            scores[row, labels[index]] += np.exp(similarities[row, index] / temperature)
    return scores


@pytest.fixture
def rng():
    return fresh_rng()


@pytest.fixture
def problem(rng):
    labels = rng.integers(0, 6, 300)
    return rng.normal(size=(300, 10)), labels, rng.normal(size=(41, 10))


@pytest.mark.parametrize("k", [1, 5, 300])
@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize(
    "train_rows, test_rows, group",
    [(16384, 1024, 32), (64, 16, 4), (100, 41, 3), (7, 40, 2)],
    ids=["one block", "groups in blocks", "rest of a group", "blocks below k"],
)
def test_agrees_with_numpy(problem, monkeypatch, k, temperature, train_rows, test_rows, group):
    train, labels, test = problem
    monkeypatch.setattr(knn, "_TRAIN_ROWS", train_rows)
    monkeypatch.setattr(knn, "_TEST_ROWS", test_rows)
    monkeypatch.setattr(knn, "_GROUP", group)
    fresh = tf.function(knn._nearest_in_block.python_function, autograph=False)
    monkeypatch.setattr(knn, "_nearest_in_block", fresh)
    scores = ops.knn_vote(train, labels, test, num_classes=6, k=k, temperature=temperature)
    assert scores.dtype == tf.float64
    expected = reference(train, labels, test, 6, k, temperature)
    np.testing.assert_allclose(scores, expected, rtol=1e-9)


def test_agrees_with_scikit_learn(rng):
    train = rng.normal(size=(3000, 16)).astype(np.float32)
    labels, test = rng.integers(0, 10, 3000), rng.normal(size=(50, 16)).astype(np.float32)
    classifier = KNeighborsClassifier(
        20, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.07)
    ).fit(train, labels)
    scores = ops.knn_vote(train, labels, test, num_classes=10).numpy()
    assert scores.dtype == np.float32
    shares = scores / scores.sum(axis=1, keepdims=True)
    close = np.isclose(shares, classifier.predict_proba(test), rtol=0, atol=1e-4).all(axis=1)
    # The 20th and the 21st neighbour of a row may be equally far in float32.
    assert close.sum() >= 49


@pytest.mark.parametrize("group", [2, 3, 8])
def test_of_equal_similarities_the_lower_index_is_nearer(rng, monkeypatch, group):
    """Rows repeat, each with a label of its own, across groups and blocks."""
    monkeypatch.setattr(knn, "_GROUP", group)
    monkeypatch.setattr(knn, "_TRAIN_ROWS", 100)
    fresh = tf.function(knn._nearest_in_block.python_function, autograph=False)
    monkeypatch.setattr(knn, "_nearest_in_block", fresh)
    # Signs of length 2: similarities are multiples of 1/2, exactly.
    train = rng.choice([-1.0, 1.0], size=(250, 4))
    labels, test = np.arange(250), rng.choice([-1.0, 1.0], size=(9, 4))
    scores = ops.knn_vote(train, labels, test, num_classes=250, k=6)
    np.testing.assert_allclose(scores, reference(train, labels, test, 250, 6, 0.07), rtol=1e-9)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_is_computed_in_float32(problem, dtype):
    train, labels, test = problem
    train, test = tf.cast(train, dtype), tf.cast(test, dtype)
    scores = ops.knn_vote(train, labels, test, num_classes=6)
    assert scores.dtype == tf.float32
    as_float = [tf.cast(x, tf.float64).numpy() for x in (train, test)]
    expected = reference(as_float[0], labels, as_float[1], 6, 20, 0.07)
    np.testing.assert_allclose(scores, expected, rtol=1e-3)


def test_lengths_do_not_matter_and_zero_rows_are_no_error(problem, rng):
    train, labels, test = problem
    scores = ops.knn_vote(train, labels, test, num_classes=6)
    longer = train * np.exp(5 * rng.normal(size=(300, 1)))
    np.testing.assert_allclose(
        ops.knn_vote(longer, labels, 1e6 * test, num_classes=6), scores, rtol=1e-9
    )
    nothing = ops.knn_vote(0 * train, labels, test, num_classes=6)
    np.testing.assert_allclose(tf.reduce_sum(nothing, axis=1), 20)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"k": 5}, "k from 1 to the number of training rows, 4"),
        ({"k": 0}, "k from 1"),
        ({"temperature": 0.0}, "temperature >= 0.0125"),
        ({"temperature": float("nan")}, "temperature >= 0.0125"),
        ({"num_classes": 0}, "num_classes >= 1"),
        ({"train_labels": np.zeros(3, int)}, "4 integer labels"),
        ({"train_labels": np.zeros(4)}, "4 integer labels"),
        ({"test_features": np.zeros([2, 5])}, "one dimension"),
        ({"test_features": np.zeros([0, 3])}, "not empty"),
        ({"train_features": np.zeros([4])}, r"\[rows, dim\]"),
    ],
)
def test_wrong_arguments(change, message):
    arguments = {
        "train_features": np.ones([4, 3]),
        "train_labels": np.zeros(4, int),
        "test_features": np.ones([2, 3]),
        "num_classes": 2,
        "k": 2,
        **change,
    }
    with pytest.raises(ValueError, match=f"{message}.*Received: "):
        ops.knn_vote(**arguments)


@pytest.mark.parametrize("label", [-1, 2])
def test_labels_out_of_range(label):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"labels in \[0, 2\)"):
        ops.knn_vote(np.ones([2, 3]), np.array([0, label]), np.ones([2, 3]), num_classes=2, k=1)
