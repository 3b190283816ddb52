"""Linear support vector machines on frozen features, one a class, with few or all labels.

Goyal, Mahajan, Gupta, Misra 2019, "Scaling and Benchmarking Self-Supervised Visual Representation
Learning", arXiv 1905.01235, on VOC 2007; LIBLINEAR by way of scikit-learn.
"""

from typing import Any, Sequence

import numpy as np

from tfssl.evaluation.average_precision import average_precision
from tfssl.evaluation.checks import check_features

COSTS = tuple(sorted([0.5**j for j in range(4, 20)] + [1.0, 10.0, 100.0]))
SHOTS = (1, 2, 4, 8, 16, 32, 64, 96)
# Negatives for each positive of a low-shot set.
_NEGATIVES = 19


def svm(
    train_features: Any,
    train_labels: Any,
    test_features: Any,
    test_labels: Any,
    *,
    costs: Sequence[float] = COSTS,
    folds: int = 3,
    eleven_point: bool = False,
) -> dict[str, Any]:
    """Mean average precision of one-against-the-rest machines, each with its best cost.

    The cost of a class is the one with the best mean average precision over stratified folds of
    the training rows; the machine is then trained on all of them.

    Args:
        train_features: `[n, dim]` finite numbers; rows are divided by their length here.
        train_labels: `[n, classes]` integers: 1 shows the class, 0 does not, -1 shows it only as a
            difficult object. Difficult rows count as negatives in training.
        test_features: `[m, dim]` finite numbers.
        test_labels: `[m, classes]`, as above. Difficult rows are left out of the class's ranking.
        costs: each > 0, weights of the loss against the penalty.
        folds: >= 2.
        eleven_point: average precision of VOC 2007, see `average_precision`.

    Returns:
        `{"protocol": "svm", "map", "ap", "costs", ...}`: fractions, the mean and one a class, the
        chosen costs, and every setting.

    Raises:
        ValueError: arrays that do not fit, a class with fewer positives than folds, or a setting
            out of range.
    """
    # Not at the top: scikit-learn takes seconds to import, which every tool would wait for.
    from sklearn.model_selection import cross_val_score

    problem = _Problem(train_features, train_labels, test_features, test_labels, costs)
    if folds < 2:
        raise ValueError(f"expected folds >= 2. Received: folds={folds}.")
    chosen, precisions = [], []
    for number in range(problem.num_classes):
        targets = problem.targets(number)
        if targets.sum() < folds:
            raise ValueError(
                f"expected at least {folds} positive training rows of every class, one a fold. "
                f"Received: {targets.sum()} of class {number}."
            )
        means = [
            cross_val_score(
                _machine(cost), problem.train, targets, cv=folds, scoring="average_precision"
            ).mean()
            for cost in costs
        ]
        chosen.append(float(costs[int(np.argmax(means))]))
        machine = _machine(chosen[-1]).fit(problem.train, targets)
        precisions.append(problem.precision(machine, number, eleven_point))
    return {
        "protocol": "svm",
        "map": float(np.mean(precisions)),
        "ap": precisions,
        "costs": chosen,
        "searched_costs": [float(cost) for cost in costs],
        "folds": int(folds),
        "eleven_point": bool(eleven_point),
        **problem.sizes(),
    }


def low_shot_svm(
    train_features: Any,
    train_labels: Any,
    test_features: Any,
    test_labels: Any,
    *,
    shots: Sequence[int] = SHOTS,
    num_samples: int = 5,
    costs: Sequence[float] = COSTS,
    seed: int = 0,
    eleven_point: bool = False,
) -> dict[str, Any]:
    """Mean average precision of machines trained on few positives, and 19 negatives for each.

    A number of shots has the cost whose mean over the drawn samples is best on the test rows, as in
    the protocol's code: the figures are optimistic, and comparable with published ones.

    Args:
        train_features, train_labels, test_features, test_labels, costs, eleven_point: as in `svm`,
            except that difficult training rows are never drawn.
        shots: positives of a class in a sample, each >= 1.
        num_samples: independent samples for each number of shots.
        seed: of the draws.

    Returns:
        `{"protocol": "low_shot_svm", "map", "map_by_shots", "cost_by_shots", ...}`: fractions, the
        mean over `shots` and one each, and every setting.

    Raises:
        ValueError: as in `svm`, or a class with fewer rows than are drawn.
    """
    problem = _Problem(train_features, train_labels, test_features, test_labels, costs)
    if num_samples < 1 or min(shots, default=0) < 1:
        raise ValueError(
            "expected num_samples >= 1 and shots >= 1. Received: "
            f"{num_samples=}, shots={tuple(shots)}."
        )
    maps, best = [], []
    for shot in shots:
        by_cost = np.zeros([num_samples, len(costs)])
        for sample in range(num_samples):
            rows = [
                low_shot_rows(
                    problem.train_labels[:, number], shot, seed=(seed, shot, sample, number)
                )
                for number in range(problem.num_classes)
            ]
            for place, cost in enumerate(costs):
                by_cost[sample, place] = np.mean(
                    [
                        problem.precision(
                            _machine(cost).fit(problem.train[r], problem.targets(c)[r]),
                            c,
                            eleven_point,
                        )
                        for c, r in enumerate(rows)
                    ]
                )
        means = by_cost.mean(axis=0)
        maps.append(float(means.max()))
        best.append(float(costs[int(means.argmax())]))
    return {
        "protocol": "low_shot_svm",
        "map": float(np.mean(maps)),
        "map_by_shots": dict(zip(map(str, shots), maps)),
        "cost_by_shots": dict(zip(map(str, shots), best)),
        "cost_chosen_on": "test",
        "searched_costs": [float(cost) for cost in costs],
        "num_samples": int(num_samples),
        "seed": int(seed),
        "eleven_point": bool(eleven_point),
        **problem.sizes(),
    }


def low_shot_rows(labels: np.ndarray, shots: int, *, seed: Any) -> np.ndarray:
    """Row numbers of a low-shot set: `shots` positives and 19 times as many negatives.

    Args:
        labels: `[n]` integers of one class: 1, 0, or -1 for rows that are not drawn.
        shots: >= 1.
        seed: an integer or a sequence of integers.

    Returns:
        `[20 * shots]` distinct row numbers, positives first.

    Raises:
        ValueError: there are not as many rows.
    """
    random = np.random.default_rng(seed)
    drawn = []
    for value, wanted, name in ((1, shots, "positive"), (0, _NEGATIVES * shots, "negative")):
        rows = np.flatnonzero(labels == value)
        if len(rows) < wanted:
            raise ValueError(
                f"expected at least {wanted} {name} rows for {shots} shots. Received: {len(rows)}."
            )
        drawn.append(random.choice(rows, wanted, replace=False))
    return np.concatenate(drawn)


class _Problem:
    """Checked arrays: unit rows, and labels 1, 0 and -1."""

    def __init__(self, train_features, train_labels, test_features, test_labels, costs):
        if not len(costs) or not all(np.isfinite(c) and c > 0 for c in costs):
            raise ValueError(f"expected costs > 0. Received: costs={tuple(costs)}.")
        self.train = _unit(check_features("train_features", train_features))
        self.test = _unit(check_features("test_features", test_features))
        self.train_labels = _check_labels("train_labels", train_labels, len(self.train))
        self.test_labels = _check_labels("test_labels", test_labels, len(self.test))
        widths = self.train.shape[1], self.test.shape[1]
        classes = self.train_labels.shape[1], self.test_labels.shape[1]
        if widths[0] != widths[1] or classes[0] != classes[1]:
            raise ValueError(
                "expected training and test arrays of the same width and classes. Received: "
                f"widths {widths}, classes {classes}."
            )
        self.num_classes = classes[0]

    def targets(self, number: int) -> np.ndarray:
        """`[n]` bool, the training rows that show a class."""
        return self.train_labels[:, number] == 1

    def precision(self, machine: Any, number: int, eleven_point: bool) -> float:
        """Average precision of a machine on a class's test rows."""
        counted = self.test_labels[:, number] >= 0
        scores = machine.decision_function(self.test[counted])
        labels = self.test_labels[counted, number]
        return average_precision(scores, labels, eleven_point=eleven_point)

    def sizes(self) -> dict[str, int]:
        """The sizes of the problem."""
        return {
            "num_train": len(self.train),
            "num_test": len(self.test),
            "num_classes": self.num_classes,
            "dim": self.train.shape[1],
        }


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows divided by their length, with the guard of the protocol's code."""
    return rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-5)


def _check_labels(name: str, labels: Any, rows: int) -> np.ndarray:
    labels = np.asarray(labels)
    whole = np.issubdtype(labels.dtype, np.integer)
    if not whole or labels.ndim != 2 or len(labels) != rows or 0 in labels.shape:
        raise ValueError(
            f"expected {name} of shape ({rows}, classes), integers. Received: "
            f"shape={labels.shape}, dtype={labels.dtype}."
        )
    if not np.isin(labels, (-1, 0, 1)).all():
        raise ValueError(f"expected {name} of -1, 0 and 1. Received: {np.unique(labels)[:9]}.")
    return labels


def _machine(cost: float) -> Any:
    """A `LinearSVC`: LIBLINEAR with squared hinge loss; positives weigh twice."""
    from sklearn.svm import LinearSVC

    return LinearSVC(
        C=cost,
        class_weight={True: 2, False: 1},
        intercept_scaling=1.0,
        penalty="l2",
        loss="squared_hinge",
        dual=True,
        tol=1e-4,
        max_iter=2000,
        random_state=0,
    )
