"""The classifier with a hidden layer: what it can tell that a line cannot, and its settings."""

import json

import numpy as np
import pytest

from tests.random_inputs import fresh_rng
from tfssl import evaluation


def rings(count, rng):
    """Two classes, one around the other: no line divides them."""
    labels = np.arange(count) % 2
    angle = rng.uniform(0, 2 * np.pi, count)
    radius = 1 + 2 * labels + rng.normal(0, 0.2, count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), labels


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(4)
    return (*rings(512, rng), *rings(256, rng))


def test_a_hidden_layer_tells_what_a_line_cannot(problem):
    options = {"epochs": 15, "learning_rate": 0.01, "milestones": (10,)}
    deep = evaluation.mlp(*problem, hidden_dim=32, **options)
    linear = evaluation.mlp(*problem, hidden_dim=0, **options)
    assert deep["top1"] > 0.95 and linear["top1"] < 0.75
    again = evaluation.mlp(*problem, hidden_dim=32, **options)
    assert again["top1"] == deep["top1"]
    assert json.loads(json.dumps(deep)) == deep
    assert deep["hidden_dim"] == 32 and deep["milestones"] == [10] and deep["dim"] == 2


def test_the_defaults_are_those_of_the_sheet(problem):
    result = evaluation.mlp(*problem, epochs=1, milestones=())
    assert (result["hidden_dim"], result["dropout"], result["beta_1"]) == (200, 0.1, 0.5)
    assert (result["lr"], result["decay_factor"], result["batch_size"]) == (1e-3, 0.2, 64)
    assert result["protocol"] == "mlp" and result["num_classes"] == 2


@pytest.mark.parametrize(
    "change, message",
    [
        ({"hidden_dim": -1}, "hidden_dim >= 0"),
        ({"dropout": 1.0}, "dropout in"),
        ({"learning_rate": 0.0}, "lr > 0"),
        ({"beta_1": 1.0}, "beta_1 in"),
        ({"epochs": 0}, "epochs >= 1"),
        ({"milestones": (5, 5)}, "milestones increasing"),
        ({"decay_factor": 0.0}, "decay_factor in"),
        ({"seed": -1}, "seed in"),
    ],
)
def test_wrong_settings(problem, change, message):
    with pytest.raises(ValueError, match=f"expected {message}.*Received: "):
        evaluation.mlp(*problem, **change)


def test_rows_that_do_not_fit():
    features = fresh_rng().normal(size=[8, 3])
    with pytest.raises(ValueError, match="same width.*Received: "):
        evaluation.mlp(features, np.zeros(8, int), features[:, :2], np.zeros(8, int))
