"""Linear maps from features to points: exact where one exists, and what is refused."""

import numpy as np
import pytest

from tests.random_inputs import fresh_rng
from tfssl import evaluation


def problem(noise=0.0, n=200, m=90, dim=7):
    rng = fresh_rng()
    features = 5 * rng.normal(size=[n + m, dim]) + 3
    weights = rng.normal(size=[dim, 2])
    targets = features @ weights + rng.normal(size=2) + noise * rng.normal(size=[n + m, 2])
    return (features[:n], targets[:n]), (features[n:], targets[n:])


def test_a_linear_map_is_found():
    train, test = problem()
    # Features that never change, and one that is there twice, say nothing more.
    pad = [np.concatenate([x, np.ones([len(x), 1]), x[:, :1]], axis=1) for x, _ in (train, test)]
    for found in (
        evaluation.regression(*train, *test),
        evaluation.regression(pad[0], train[1], pad[1], test[1]),
    ):
        assert found["mean_distance"] < 1e-3 and found["explained"] > 0.999999
    assert (found["num_train"], found["num_test"], found["dim"]) == (200, 90, 9)


def test_equals_least_squares_of_noisy_targets():
    train, test = problem(noise=2.0)
    found = evaluation.regression(*train, *test)
    one = [np.concatenate([x, np.ones([len(x), 1])], axis=1) for x, _ in (train, test)]
    weights = np.linalg.lstsq(one[0], train[1], rcond=None)[0]
    errors = one[1] @ weights - test[1]
    assert found["mean_distance"] == pytest.approx(np.hypot(*errors.T).mean(), rel=1e-4)
    assert found["mean_squared_error"] == pytest.approx(np.mean(errors**2), rel=1e-4)
    explained = 1 - np.mean(errors**2) / test[1].var(axis=0).mean()
    assert found["explained"] == pytest.approx(explained, rel=1e-4)


def test_features_that_say_nothing_give_the_mean():
    train, test = problem()
    found = evaluation.regression(np.zeros([200, 1]), train[1], np.zeros([90, 1]), test[1])
    errors = test[1] - train[1].mean(axis=0)
    assert found["mean_distance"] == pytest.approx(np.hypot(*errors.T).mean(), rel=1e-6)


def test_more_features_than_rows():
    train, test = problem(n=6, m=4, dim=30)
    assert np.isfinite(evaluation.regression(*train, *test)["mean_distance"])


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda a: (a[0], a[1][:-1], a[2], a[3]), "a row of targets for each row"),
        (lambda a: (a[0], a[1], a[2][:, 1:], a[3]), "of the same width"),
        (lambda a: (a[0], a[1], a[2], a[3][:, :1]), "of the same width"),
        (lambda a: (a[0] * np.nan, *a[1:]), "finite train_features"),
        (lambda a: (a[0], a[1] * np.inf, *a[2:]), "finite train_targets"),
        (lambda a: (a[0], a[1][:, 0], *a[2:]), r"train_targets of shape \[n, dim\]"),
    ],
)
def test_what_does_not_fit_is_named(change, words):
    train, test = problem()
    with pytest.raises(ValueError, match=words):
        evaluation.regression(*change((*train, *test)))


def test_a_ridge_is_positive():
    train, test = problem()
    with pytest.raises(ValueError, match="ridge: expected a number > 0. Received: 0"):
        evaluation.regression(*train, *test, ridge=0.0)
