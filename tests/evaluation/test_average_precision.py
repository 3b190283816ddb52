"""Average precision against cases by hand and a loop over recall points."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from tests.random_inputs import fresh_rng
from tfssl import evaluation


@pytest.mark.parametrize(
    "scores, labels, expected",
    [
        ([3, 2, 1], [1, 1, 0], 1.0),
        ([3, 2, 1], [0, 0, 1], 1 / 3),
        # Precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1.
        ([3, 2, 1], [1, 0, 1], 0.5 * 1 + 0.5 * 2 / 3),
        # Precision 1/2 at recall 1/3 is lifted to the 3/4 that comes later.
        ([4, 3, 2, 1], [0, 1, 1, 1], 3 / 4),
        # Rows of one score enter together.
        ([1, 1, 1, 1], [1, 0, 0, 1], 0.5),
        ([1], [True], 1.0),
    ],
)
def test_cases_by_hand(scores, labels, expected):
    assert evaluation.average_precision(scores, labels) == pytest.approx(expected)


@pytest.mark.parametrize("levels", [1000000, 12])
def test_random_rankings_equal_the_envelope_of_scikit_learns_curve(levels):
    rng = fresh_rng()
    for _ in range(20):
        scores = rng.integers(0, levels, 80).astype(float)
        labels = np.append(rng.integers(0, 2, 79), 1)
        precision, recall, _ = precision_recall_curve(labels, scores)
        # The curve ends with an artificial point of recall 0; recall falls along it.
        envelope = np.maximum.accumulate(precision[:-1])
        expected = -np.sum(np.diff(np.append(recall[:-1], 0.0)) * envelope)
        assert evaluation.average_precision(scores, labels) == pytest.approx(expected)


def test_the_order_of_rows_has_no_effect():
    rng = fresh_rng()
    scores, labels = rng.integers(0, 9, 50), np.append(rng.integers(0, 2, 49), 1)
    order = rng.permutation(50)
    found = evaluation.average_precision(scores[order], labels[order])
    assert found == evaluation.average_precision(scores, labels)
    assert isinstance(found, float)


@pytest.mark.parametrize(
    "scores, labels, words",
    [
        ([1, 2], [0, 0], "none in 2"),
        ([1, 2], [1], r"\(2,\), labels.shape=\(1,\)"),
        ([[1, 2]], [[0, 1]], r"\(1, 2\)"),
        ([1, np.nan], [0, 1], "1 NaN or Inf"),
    ],
)
def test_what_does_not_fit_is_refused(scores, labels, words):
    with pytest.raises(ValueError, match=words):
        evaluation.average_precision(scores, labels)
