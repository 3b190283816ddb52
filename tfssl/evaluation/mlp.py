"""Classification of frozen features by a small network, trained with Adam."""

from typing import Any, Dict, List, Optional, Sequence

import numpy as np
import tensorflow as tf

from tfssl.evaluation.accuracy import last_and_best, top_accuracies
from tfssl.evaluation.checks import Problem, check_problem, sizes


def mlp(
    train_features: Any,
    train_labels: Any,
    test_features: Any,
    test_labels: Any,
    *,
    num_classes: Optional[int] = None,
    hidden_dim: int = 200,
    dropout: float = 0.1,
    learning_rate: float = 1e-3,
    beta_1: float = 0.5,
    epochs: int = 100,
    batch_size: int = 64,
    milestones: Sequence[int] = (60, 80),
    decay_factor: float = 0.2,
    seed: int = 0,
) -> Dict[str, Any]:
    """Accuracy of a hidden layer and a softmax on extracted features, after the last epoch.

    Linear, batch normalisation, ReLU, dropout and linear, or the last one alone. The protocol of
    Deep InfoMax and of CMC on STL-10: Hjelm et al. 2019, arXiv 1808.06670; Tian et al. 2019, arXiv
    1906.05849, section 4.4, whose settings are the defaults.

    Args:
        train_features: `[n, dim]` finite numbers. train_labels: `[n]` integers.
        test_features: `[m, dim]`. test_labels: `[m]`.
        num_classes: number of classes; None counts up to the largest label.
        hidden_dim: units of the hidden layer; 0 for none, a linear classifier.
        dropout: share of hidden units left out in training, in [0, 1).
        learning_rate: Adam's, > 0; beta_1: its first decay, in [0, 1). beta_2 is 0.999 and epsilon
            1e-8.
        epochs: >= 1.
        batch_size: rows a step; a smaller training set is one batch. Rows that do not fill a batch
            wait for another epoch's order.
        milestones: epochs done when the rate drops by `decay_factor`.
        seed: of weights, orders and dropout.

    Returns:
        `{"protocol": "mlp", "top1", "top5", ...}` with accuracies as fractions, those of the best
        epoch beside those of the last (`last_and_best`), and every setting.

    Raises:
        ValueError: arrays that do not fit, or a setting out of range.
    """
    problem = check_problem(train_features, train_labels, test_features, test_labels, num_classes)
    recipe = {
        "hidden_dim": int(hidden_dim),
        "dropout": float(dropout) if hidden_dim else 0.0,
        "lr": float(learning_rate),
        "beta_1": float(beta_1),
        "epochs": int(epochs),
        "batch_size": int(min(batch_size, len(problem.train_labels))),
        "milestones": [int(m) for m in milestones],
        "decay_factor": float(decay_factor),
        "seed": int(seed),
    }
    _check(recipe)
    return {
        "protocol": "mlp",
        **last_and_best(_accuracies(problem, recipe)),
        **recipe,
        **sizes(problem),
    }


def _accuracies(problem: Problem, recipe: Dict[str, Any]) -> List[Dict[str, float]]:
    """Trains on the training rows and counts on the test rows after every epoch."""
    model = _build(problem.train_features.shape[1], problem.num_classes, recipe)
    rows, batch = len(problem.train_labels), recipe["batch_size"]
    steps = rows // batch
    boundaries = [m * steps for m in recipe["milestones"]]
    factors = [recipe["decay_factor"] ** i for i in range(len(boundaries) + 1)]
    rate = recipe["lr"]
    if boundaries:
        rates = [rate * factor for factor in factors]
        # The boundary itself still has the rate before it.
        rate = tf.keras.optimizers.schedules.PiecewiseConstantDecay(
            [b - 1 for b in boundaries], rates
        )
    model.compile(
        tf.keras.optimizers.Adam(rate, beta_1=recipe["beta_1"], epsilon=1e-8),
        tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    data = tf.data.Dataset.from_tensor_slices((problem.train_features, problem.train_labels))
    data = data.shuffle(rows, seed=recipe["seed"]).batch(batch, drop_remainder=True)
    test, accuracies = tf.data.Dataset.from_tensor_slices(problem.test_features).batch(1024), []

    def count(*_) -> None:
        scores = model.predict(test, verbose=0)
        accuracies.append(top_accuracies(scores, problem.test_labels))

    count_after_epochs = tf.keras.callbacks.LambdaCallback(on_epoch_end=count)
    model.fit(data, epochs=recipe["epochs"], verbose=0, callbacks=[count_after_epochs])
    return accuracies


def _build(dim: int, num_classes: int, recipe: Dict[str, Any]) -> tf.keras.Model:
    """The network; every layer has a seed of its own."""
    seeds = iter(range(3 * recipe["seed"], 3 * recipe["seed"] + 3))

    def linear(units: int) -> tf.keras.layers.Layer:
        uniform = tf.keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform", next(seeds))
        return tf.keras.layers.Dense(units, kernel_initializer=uniform, dtype="float32")

    layers = [tf.keras.Input((dim,))]
    if recipe["hidden_dim"]:
        layers += [
            linear(recipe["hidden_dim"]),
            tf.keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, dtype="float32"),
            tf.keras.layers.ReLU(dtype="float32"),
            tf.keras.layers.Dropout(recipe["dropout"], seed=next(seeds), dtype="float32"),
        ]
    return tf.keras.Sequential([*layers, linear(num_classes)])


def _check(recipe: Dict[str, Any]) -> None:
    """Raises ValueError on a setting out of range."""
    milestones = recipe["milestones"]
    rules = {
        "hidden_dim": (recipe["hidden_dim"] >= 0, ">= 0"),
        "dropout": (0 <= recipe["dropout"] < 1, "in [0, 1)"),
        "lr": (0 < recipe["lr"] < np.inf, "> 0"),
        "beta_1": (0 <= recipe["beta_1"] < 1, "in [0, 1)"),
        "epochs": (recipe["epochs"] >= 1, ">= 1"),
        "batch_size": (recipe["batch_size"] >= 1, ">= 1"),
        "milestones": (
            all(a < b for a, b in zip([0, *milestones], milestones)),
            "increasing numbers >= 1",
        ),
        "decay_factor": (0 < recipe["decay_factor"] <= 1, "in (0, 1]"),
        "seed": (0 <= recipe["seed"] < 2**29, "in [0, 2^29)"),
    }
    for name, (holds, wanted) in rules.items():
        if not holds:
            raise ValueError(f"expected {name} {wanted}. Received: {name}={recipe[name]}.")
