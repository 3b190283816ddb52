"""Linear classification of frozen features."""

import math
from typing import Any, Optional, Sequence

import numpy as np
import tensorflow as tf

from tfssl.evaluation import softmax_regression
from tfssl.evaluation.accuracy import last_and_best, top_accuracies
from tfssl.evaluation.checks import Problem, check_problem, sizes, split_rows

# MIRA searches 0.025 .. 0.3 times batch / 256 at a batch of 1024; these are the products.
LEARNING_RATE_GRID = (0.1, 0.2, 0.3, 0.4, 0.8, 1.2)


def linear(
    train_features: Any,
    train_labels: Any,
    test_features: Any,
    test_labels: Any,
    *,
    num_classes: Optional[int] = None,
    learning_rates: Sequence[float] = (0.3,),
    epochs: int = 100,
    batch_size: int = 1024,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    milestones: Sequence[int] = (),
    decay_factor: float = 0.1,
    standardize: bool = False,
    validation_fraction: float = 0.1,
    seed: int = 0,
) -> dict[str, Any]:
    """Accuracy of softmax regression on extracted features, after the last epoch.

    It works on arrays, so it cannot touch the encoder. Kernel from N(0, 0.01), bias 0, SGD with
    PyTorch's momentum, one learning rate an epoch. Of several learning rates the one with the
    best top-1 on a held-out part of the training rows is taken (the first of equals), and the
    classifier is then trained on all of them; the test rows choose nothing.

    Args:
        train_features: `[n, dim]` finite numbers.
        train_labels: `[n]` integers, 0..num_classes - 1.
        test_features: `[m, dim]` finite numbers.
        test_labels: `[m]` integers.
        num_classes: number of classes; None counts up to the largest label.
        learning_rates: final rates at this batch size, none is scaled; more than one, such as
            `LEARNING_RATE_GRID`, are searched.
        epochs: >= 1.
        batch_size: rows a step; a smaller training set is one batch. Rows that do not fill a
            batch wait for another epoch's order.
        momentum: 0 <= momentum < 1.
        weight_decay: >= 0, coupled, on the kernel only.
        milestones: epochs done when the rate drops by `decay_factor`; empty for a cosine to 0.
        decay_factor: > 0, read with milestones only.
        standardize: give every feature mean 0 and standard deviation 1 over the training rows.
        validation_fraction: part of the training rows held out by a search.
        seed: of the kernel, the orders and the held-out part.

    Returns:
        `{"protocol": "linear", "top1", "top5", ...}` with accuracies as fractions, those of the
        best epoch beside those of the last (`last_and_best`), every setting, and for a search the
        validation top-1 of each rate.

    Raises:
        ValueError: arrays that do not fit, or a setting out of range.

    Reference:
        Section 4 of MIRA (Lee et al. 2022, arXiv 2211.02284) and its official code.
    """
    problem = check_problem(train_features, train_labels, test_features, test_labels, num_classes)
    recipe = {
        "epochs": int(epochs),
        "batch_size": int(min(batch_size, len(problem.train_labels))),
        "momentum": float(momentum),
        "weight_decay": float(weight_decay),
        "milestones": [int(m) for m in milestones],
        "decay_factor": float(decay_factor) if milestones else None,
        "standardize": bool(standardize),
        "seed": int(seed),
    }
    check_recipe(learning_rates, recipe)
    found: dict[str, Any] = {}
    chosen = float(learning_rates[0])
    if len(learning_rates) > 1:
        kept, held_out = split_rows(len(problem.train_labels), validation_fraction, seed)
        trial = problem._replace(
            train_features=problem.train_features[kept],
            train_labels=problem.train_labels[kept],
            test_features=problem.train_features[held_out],
            test_labels=problem.train_labels[held_out],
        )
        top1 = [_accuracy(trial, float(lr), recipe)["top1"] for lr in learning_rates]
        chosen = float(learning_rates[int(np.argmax(top1))])
        found = {
            "searched": [{"lr": float(lr), "top1": t} for lr, t in zip(learning_rates, top1)],
            "validation_fraction": float(validation_fraction),
        }
    return {
        "protocol": "linear",
        **_accuracy(problem, chosen, recipe),
        "lr": chosen,
        "schedule": "milestones" if milestones else "cosine, one rate an epoch",
        **recipe,
        **found,
        **sizes(problem),
    }


def _accuracy(problem: Problem, learning_rate: float, recipe: dict[str, Any]) -> dict[str, Any]:
    """Trains on the training rows and counts on the test rows after every epoch."""
    train, test = problem.train_features, problem.test_features
    if recipe["standardize"]:
        mean = train.mean(axis=0, dtype=np.float64)
        spread = train.std(axis=0, dtype=np.float64)
        # A feature that never changes says nothing; it becomes 0 instead of Inf.
        scale = np.where(spread > 0, 1.0 / np.where(spread > 0, spread, 1.0), 0.0)
        train = ((train - mean) * scale).astype(np.float32)
        test = ((test - mean) * scale).astype(np.float32)
    seed = recipe["seed"]
    states = softmax_regression.epochs(
        tf.constant(train),
        tf.constant(problem.train_labels),
        softmax_regression.start(train.shape[1], problem.num_classes, seed),
        rates_of(learning_rate, recipe),
        min(recipe["batch_size"], len(train)),
        recipe["momentum"],
        recipe["weight_decay"],
        seed,
    )
    test, labels = tf.constant(test), problem.test_labels
    return last_and_best(
        [top_accuracies(softmax_regression.scores(state, test), labels) for state in states]
    )


def rates_of(learning_rate: float, recipe: dict[str, Any]) -> np.ndarray:
    """One learning rate an epoch, `[epochs]` float32."""
    return softmax_regression.rates(
        learning_rate, recipe["epochs"], recipe["milestones"], recipe["decay_factor"] or 1.0
    )


def check_recipe(learning_rates: Sequence[float], recipe: dict[str, Any]) -> None:
    """Raises ValueError on settings of the classifier that are out of range."""
    rules = {
        "learning_rates": (
            len(learning_rates) > 0 and all(math.isfinite(lr) and lr > 0 for lr in learning_rates),
            "positive numbers, at least one",
            list(learning_rates),
        ),
        "epochs": (recipe["epochs"] >= 1, ">= 1", recipe["epochs"]),
        "batch_size": (recipe["batch_size"] >= 1, ">= 1", recipe["batch_size"]),
        "momentum": (0 <= recipe["momentum"] < 1, "in [0, 1)", recipe["momentum"]),
        "weight_decay": (recipe["weight_decay"] >= 0, ">= 0", recipe["weight_decay"]),
        "decay_factor": ((recipe["decay_factor"] or 1) > 0, "> 0", recipe["decay_factor"]),
        "seed": (0 <= recipe["seed"] < 2**31, "in [0, 2^31)", recipe["seed"]),
    }
    for name, (holds, wanted, value) in rules.items():
        if not holds:
            raise ValueError(f"expected {name} {wanted}. Received: {name}={value}.")
