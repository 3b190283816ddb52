"""Linear SVMs on features: property 22 of the InterCLR sheet, section 9, and made-up problems."""

import sys
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import average_precision_score

from tests.random_inputs import fresh_rng
from tfssl import evaluation
from tfssl.evaluation.svm import COSTS, SHOTS

# The package's attribute of this name is the function.
MODULE = sys.modules["tfssl.evaluation.svm"]


def made_up(rng, rows, classes=3, dim=12, noise=1.0):
    """Features that show their classes; an image may show several, some are difficult."""
    labels = (rng.uniform(size=[rows, classes]) < 0.3).astype(int)
    directions = np.eye(classes, dim) * 3
    features = labels @ directions + noise * rng.normal(size=[rows, dim])
    labels[rng.uniform(size=labels.shape) < 0.05] = -1
    return features, labels


def test_costs_and_shots_are_the_protocols():
    """Property 22: 19 costs."""
    assert len(COSTS) == 19 and len(set(COSTS)) == 19
    assert {1.0, 10.0, 100.0} < set(COSTS) and min(COSTS) == 0.5**19 and 0.5**4 in COSTS
    assert SHOTS == (1, 2, 4, 8, 16, 32, 64, 96)


def test_a_perfect_ranking_and_the_raw_area():
    """Property 22: AP of a perfect ranking is 1; the envelope is never below the raw area."""
    rng = fresh_rng()
    for _ in range(20):
        labels = np.append(rng.integers(0, 2, 60), 1)
        assert evaluation.average_precision(labels + 0.1, labels) == 1
        scores = rng.normal(size=61)
        area = evaluation.average_precision(scores, labels)
        assert area >= average_precision_score(labels, scores) - 1e-12


def test_low_shot_draws():
    """Property 22: s positives and 19 s negatives, distinct, none of the rows to ignore."""
    rng = fresh_rng()
    labels = rng.choice([1, 0, -1], 4000, p=[0.1, 0.8, 0.1])
    for shots in SHOTS:
        rows = evaluation.low_shot_rows(labels, shots, seed=(1, shots))
        assert len(set(rows)) == 20 * shots
        assert (labels[rows[:shots]] == 1).all() and (labels[rows[shots:]] == 0).all()
    again = evaluation.low_shot_rows(labels, 96, seed=(1, 96))
    np.testing.assert_array_equal(rows, again)
    assert (evaluation.low_shot_rows(labels, 96, seed=(2, 96)) != rows).any()
    with pytest.raises(ValueError, match="at least 19 negative rows for 1 shots.*: 2"):
        evaluation.low_shot_rows(np.array([1, 0, 0]), 1, seed=0)


def test_svm_learns_and_reports():
    rng = fresh_rng()
    arrays = *made_up(rng, 300), *made_up(rng, 200)
    found = evaluation.svm(*arrays, costs=(0.1, 1.0))
    base = np.mean([(arrays[3][:, c] == 1).sum() / (arrays[3][:, c] >= 0).sum() for c in range(3)])
    assert found["map"] == pytest.approx(np.mean(found["ap"])) and found["map"] > base + 0.3
    assert set(found["costs"]) <= {0.1, 1.0} and len(found["costs"]) == 3
    assert found["folds"] == 3 and found["num_train"] == 300 and found["dim"] == 12
    # The length of rows has no effect, nor what is said of difficult test rows.
    scaled = arrays[0] * rng.uniform(50, 60, [300, 1]), *arrays[1:]
    assert evaluation.svm(*scaled, costs=(0.1, 1.0))["map"] == pytest.approx(found["map"], abs=0.01)
    difficult = arrays[2].copy()
    rows = arrays[3][:, 0] == -1
    single = [a[:, :1] if a.ndim == 2 and a.shape[1] == 3 else a for a in arrays]
    difficult[rows] = 99 * rng.normal(size=[rows.sum(), 12])
    first = evaluation.svm(*single, costs=(1.0,))["map"]
    assert evaluation.svm(*single[:2], difficult, single[3], costs=(1.0,))["map"] == first


def test_low_shot_svm_takes_the_best_cost_of_each_number_of_shots():
    rng = fresh_rng()
    arrays = *made_up(rng, 400, noise=0.7), *made_up(rng, 200, noise=0.7)
    options = dict(shots=(1, 8), num_samples=6, seed=3)
    alone = [evaluation.low_shot_svm(*arrays, costs=(c,), **options) for c in (0.5**10, 10.0)]
    both = evaluation.low_shot_svm(*arrays, costs=(0.5**10, 10.0), **options)
    for shots in ("1", "8"):
        figures = [a["map_by_shots"][shots] for a in alone]
        assert both["map_by_shots"][shots] == max(figures)
        assert both["cost_by_shots"][shots] == (0.5**10, 10.0)[int(np.argmax(figures))]
    assert both["map"] == pytest.approx(np.mean(list(both["map_by_shots"].values())))
    assert both["map_by_shots"]["8"] > both["map_by_shots"]["1"]
    assert both["cost_chosen_on"] == "test"


def test_booleans_are_labels():
    rng = fresh_rng()
    features, test_features = rng.normal(size=[90, 4]), rng.normal(size=[50, 4])
    labels, test_labels = features[:, :2] > 0.5, test_features[:, :2] > 0.5
    found, expected = (
        evaluation.svm(features, labels.astype(kind), test_features, test_labels, costs=(1.0,))
        for kind in (bool, int)
    )
    # Of 600 draws the least was 0.82; by chance it is a third.
    assert found == expected and found["map"] > 0.7
    few = dict(costs=(1.0,), shots=(1,), num_samples=1)
    evaluation.low_shot_svm(features, labels, test_features, test_labels, **few)


def test_machines_that_stop_early_do_not_warn(monkeypatch):
    """Within the protocols alone."""
    rng = fresh_rng()
    arrays = *made_up(rng, 100, classes=1), *made_up(rng, 50, classes=1)
    hasty = MODULE._machine(100.0).set_params(max_iter=1)
    monkeypatch.setattr(MODULE, "_machine", lambda cost: hasty)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluation.svm(*arrays, costs=(1.0,))
        evaluation.low_shot_svm(*arrays, costs=(1.0,), shots=(1,), num_samples=1)
    with pytest.warns(ConvergenceWarning):
        hasty.fit(arrays[0], arrays[1][:, 0] == 1)


def labels_with(rows, *positives):
    """`[rows, classes]` integers, so many ones at the top of each column."""
    return (np.arange(rows)[:, None] < np.array(positives)).astype(int)


# Enough of everything for three folds and for two shots.
ARGUMENTS = {
    "train_features": np.ones([50, 3]),
    "train_labels": labels_with(50, 5, 4),
    "test_features": np.ones([4, 3]),
    "test_labels": labels_with(4, 1, 2),
}


@pytest.fixture
def no_work(monkeypatch):
    """A machine must not be made where arguments are refused."""

    def fail(cost):
        raise AssertionError("a machine was made")

    monkeypatch.setattr(MODULE, "_machine", fail)


@pytest.mark.parametrize("protocol", [evaluation.svm, evaluation.low_shot_svm])
@pytest.mark.parametrize(
    "change, words",
    [
        ({"costs": ()}, "expected costs > 0"),
        ({"costs": (0.0,)}, "expected costs > 0"),
        ({"train_labels": np.zeros([50, 2])}, "integers or booleans"),
        ({"train_labels": np.full([50, 2], 2)}, "-1, 0 and 1"),
        ({"test_labels": np.zeros([4, 3], int)}, "same width and classes"),
        ({"test_labels": labels_with(4, 1, 0)}, "1 positive test rows of every .* 0 of class 1"),
        ({"test_labels": -labels_with(4, 1, 0)}, "1 positive test rows of every .* 0 of class 0"),
    ],
)
def test_wrong_arguments(no_work, protocol, change, words):
    with pytest.raises(ValueError, match=words) as error:
        protocol(**{**ARGUMENTS, **change})
    assert "Received: " in str(error.value)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"folds": 1}, "an integer folds >= 2. Received: folds=1"),
        ({"folds": 2.5}, "an integer folds >= 2. Received: folds=2.5"),
        (
            {"train_labels": labels_with(50, 5, 2)},
            "at least 3 positive training rows.* Received: 2 of class 1. Remedy: ",
        ),
        (
            {"train_labels": labels_with(50, 5, 50)},
            "at least 3 negative training rows.* Received: 0 of class 1. Remedy: ",
        ),
        (
            {"train_labels": labels_with(50, 48, 5)},
            "at least 3 negative training rows.* Received: 2 of class 0. Remedy: ",
        ),
    ],
)
def test_svm_refuses_before_any_work(no_work, change, words):
    with pytest.raises(ValueError, match=words):
        evaluation.svm(**{**ARGUMENTS, **change})


@pytest.mark.parametrize(
    "change, words",
    [
        ({"num_samples": 0}, "an integer num_samples >= 1. Received: num_samples=0"),
        ({"shots": ()}, r"at least one number of shots. Received: shots=\(\)"),
        ({"shots": (1, 0)}, "an integer shots >= 1. Received: shots=0"),
        ({"shots": (1, 1.5)}, "an integer shots >= 1. Received: shots=1.5"),
        (
            {"shots": (1, 2, 5)},
            "at least 95 negative rows of class 0 for 5 shots. Received: 45. Remedy: ",
        ),
        (
            {"shots": (1, 2, 6), "train_labels": labels_with(200, 6, 5)},
            "at least 6 positive rows of class 1 for 6 shots. Received: 5. Remedy: ",
        ),
    ],
)
def test_low_shot_svm_refuses_before_any_work(no_work, change, words):
    rows = len(change.get("train_labels", ARGUMENTS["train_labels"]))
    arguments = {**ARGUMENTS, "train_features": np.ones([rows, 3]), "shots": (1, 2), **change}
    with pytest.raises(ValueError, match=words):
        evaluation.low_shot_svm(**arguments)


def test_the_arguments_without_a_change_are_taken():
    few = dict(costs=(1.0,))
    assert evaluation.svm(**ARGUMENTS, **few)["num_classes"] == 2
    assert evaluation.low_shot_svm(**ARGUMENTS, **few, shots=(1, 2))["num_samples"] == 5


def test_eleven_points():
    """VOC 2007: by a loop over the recalls."""
    rng = fresh_rng()
    for _ in range(10):
        labels, scores = np.append(rng.integers(0, 2, 40), 1), rng.normal(size=41)
        order = np.argsort(-scores)
        hits = np.cumsum(labels[order])
        precision, recall = hits / np.arange(1, 42), hits / hits[-1]
        expected = np.mean([precision[recall >= t / 10 - 1e-9].max() for t in range(11)])
        found = evaluation.average_precision(scores, labels, eleven_point=True)
        assert found == pytest.approx(expected)
