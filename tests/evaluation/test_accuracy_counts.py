"""Counting top-1 and top-5."""

import numpy as np
import pytest

from tests.random_inputs import fresh_rng
from tfssl.evaluation.accuracy import last_and_best, top_accuracies
from tfssl.evaluation.checks import split_rows


def test_counts_equal_sorting():
    rng = fresh_rng()
    scores, labels = rng.normal(size=(300, 12)), rng.integers(0, 12, 300)
    order = np.argsort(-scores, axis=1)
    assert top_accuracies(scores, labels) == {
        "top1": np.mean(order[:, 0] == labels),
        "top5": np.mean((order[:, :5] == labels[:, None]).any(axis=1)),
    }


def test_a_tie_counts_for_the_lower_class_only():
    scores = np.zeros((10, 10))
    assert top_accuracies(scores, np.arange(10)) == {"top1": 0.1, "top5": 0.5}


def test_five_classes_are_all_in_the_top_five():
    assert top_accuracies(fresh_rng().normal(size=(9, 5)), np.arange(9) % 5)["top5"] == 1


def test_the_last_epoch_is_reported_and_the_first_best_one_beside_it():
    epochs = [{"top1": t, "top5": f} for t, f in [(0.1, 0.9), (0.3, 0.5), (0.3, 0.7), (0.2, 0.6)]]
    assert last_and_best(epochs) == {
        "top1": 0.2,
        "top5": 0.6,
        "reported": "last epoch",
        "best_epoch": 2,
        "best_top1": 0.3,
        "best_top5": 0.5,
    }


@pytest.mark.parametrize("rows, fraction", [(100, 0.1), (7, 0.5), (2, 0.01)])
def test_a_split_has_every_row_once_and_repeats_with_its_seed(rows, fraction):
    kept, held_out = split_rows(rows, fraction, seed=3)
    assert len(held_out) == max(1, round(rows * fraction))
    np.testing.assert_array_equal(np.sort(np.append(kept, held_out)), np.arange(rows))
    np.testing.assert_array_equal(split_rows(rows, fraction, seed=3)[1], held_out)


def test_another_seed_is_another_split():
    assert (split_rows(100, 0.5, seed=3)[1] != split_rows(100, 0.5, seed=4)[1]).any()


@pytest.mark.parametrize("rows, fraction", [(1, 0.5), (10, 0.0), (10, 1.0), (10, 0.99)])
def test_a_split_without_rows_on_both_sides_is_refused(rows, fraction):
    with pytest.raises(ValueError, match="both sides"):
        split_rows(rows, fraction, seed=0)
