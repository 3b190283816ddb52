"""kNN accuracy against a loop over rows, and against scikit-learn."""

import inspect
import json

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from tests.random_inputs import fresh_rng
from tfssl import evaluation


def _clusters(rows, classes=6, dim=8, noise=0.8):
    rng = fresh_rng()
    centers = np.random.default_rng(5).normal(size=(classes, dim))
    labels = rng.integers(0, classes, rows)
    return (centers[labels] + noise * rng.normal(size=(rows, dim))).astype(np.float32), labels


def _unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _accuracies_by_loop(train, train_labels, test, test_labels, classes, k, temperature):
    train, test = _unit(train.astype(np.float64)), _unit(test.astype(np.float64))
    top1 = top5 = 0
    for row, label in zip(test, test_labels):
        cosines = train @ row
        votes = np.zeros(classes)
        for neighbour in np.argsort(-cosines)[:k]:
            votes[train_labels[neighbour]] += np.exp(cosines[neighbour] / temperature)
        order = np.argsort(-votes, kind="stable")
        top1 += order[0] == label
        top5 += label in order[:5]
    return top1 / len(test), top5 / len(test)


@pytest.mark.parametrize("k, temperature", [(1, 0.07), (20, 0.07), (20, 0.5), (100, 0.1)])
@pytest.mark.parametrize("center", [False, True])
def test_accuracy_equals_a_loop_over_rows(k, temperature, center):
    train, train_labels = _clusters(200)
    test, test_labels = _clusters(60)
    found = evaluation.knn(
        train, train_labels, test, test_labels, k=k, temperature=temperature, center=center
    )
    shift = train.mean(axis=0) if center else 0.0
    expected = _accuracies_by_loop(
        train - shift, train_labels, test - shift, test_labels, 6, k, temperature
    )
    assert (found["top1"], found["top5"]) == pytest.approx(expected)


def test_accuracy_equals_scikit_learn_with_the_same_weights():
    train, train_labels = _clusters(300)
    test, test_labels = _clusters(100)
    # Of unit rows, cosine = 1 - distance^2 / 2.
    reference = KNeighborsClassifier(20, weights=lambda d: np.exp((1 - d**2 / 2) / 0.07))
    reference.fit(_unit(train), train_labels)
    expected = reference.score(_unit(test), test_labels)
    found = evaluation.knn(train, train_labels, test, test_labels)
    assert found["top1"] == pytest.approx(expected)


def test_the_length_of_rows_has_no_effect():
    train, train_labels = _clusters(100)
    test, test_labels = _clusters(50)
    lengths = fresh_rng().uniform(0.1, 10, (100, 1)).astype(np.float32)
    expected = evaluation.knn(train, train_labels, test, test_labels)
    assert evaluation.knn(train * lengths, train_labels, test, test_labels) == expected


def test_centring_matters_where_all_rows_point_one_way():
    train, train_labels = _clusters(300, noise=0.3)
    test, test_labels = _clusters(100, noise=0.3)
    far = np.float32(3e4)  # the angles between rows round to nothing in float32
    seen = {
        center: evaluation.knn(train + far, train_labels, test + far, test_labels, center=center)[
            "top1"
        ]
        for center in (False, True)
    }
    assert seen[True] > 0.9 and seen[True] > seen[False]


def test_defaults_are_frozen():
    defaults = {
        name: p.default
        for name, p in inspect.signature(evaluation.knn).parameters.items()
        if p.kind is p.KEYWORD_ONLY
    }
    assert defaults == {"num_classes": None, "k": 20, "temperature": 0.07, "center": False}


def test_the_result_holds_every_setting_and_is_json():
    train, train_labels = _clusters(30)
    test, test_labels = _clusters(10)
    result = evaluation.knn(train, train_labels, test, test_labels, num_classes=7, k=3)
    assert json.loads(json.dumps(result)) == result
    assert {k: v for k, v in result.items() if not k.startswith("top")} == {
        "protocol": "knn",
        "k": 3,
        "temperature": 0.07,
        "similarity": "cosine",
        "weights": "exp(similarity / temperature)",
        "center": False,
        "num_train": 30,
        "num_test": 10,
        "num_classes": 7,
        "dim": 8,
    }


def _problem(**changes):
    arguments = {
        "train_features": np.ones((4, 2), np.float32),
        "train_labels": np.array([0, 1, 2, 1]),
        "test_features": np.ones((3, 2), np.float32),
        "test_labels": np.array([0, 1, 2]),
        "k": 2,
    }
    return {**arguments, **changes}


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"train_labels": None}, "expected train_labels.*Received: None"),
        ({"test_labels": np.array([0, 1])}, r"test_labels of shape \(3,\)"),
        ({"test_labels": np.array([0.0, 1.0, 2.0])}, "dtype=float64"),
        ({"train_labels": np.array([0, 1, -1, 1])}, "a label of -1"),
        ({"num_classes": 2}, "a label of 2, num_classes=2"),
        ({"test_features": np.ones((3, 5))}, r"\(3, 5\)"),
        ({"train_features": np.ones(4)}, r"train_features.shape=\(4,\)"),
        ({"train_features": np.zeros((0, 2))}, r"\(0, 2\)"),
        ({"test_features": np.array([[1, 1], [1, np.nan], [np.inf, 1]])}, "2 of 3 rows.*row 1"),
        ({"k": 5}, "4. Received: k=5"),
        ({"k": 0}, "k=0"),
        ({"temperature": 0.0}, "temperature=0"),
        ({"temperature": float("nan")}, "temperature=nan"),
    ],
)
def test_arrays_and_settings_that_do_not_fit_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        evaluation.knn(**_problem(**changes))
