"""Linear support vector machines on frozen features, one a class, with few or all labels.

Goyal, Mahajan, Gupta, Misra 2019, "Scaling and Benchmarking Self-Supervised Visual Representation
Learning", arXiv 1905.01235, on VOC 2007; LIBLINEAR by way of scikit-learn.
"""

import contextlib
import numbers
import warnings
from typing import Any, Iterator, Sequence

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
        train_labels: `[n, classes]` integers or booleans: 1 shows the class, 0 does not, -1 shows
            it only as a difficult object. Difficult rows count as negatives in training.
        test_features: `[m, dim]` finite numbers.
        test_labels: `[m, classes]`, as above. Difficult rows are left out of the class's ranking.
        costs: each > 0, weights of the loss against the penalty.
        folds: >= 2.
        eleven_point: average precision of VOC 2007, see `average_precision`.

    Returns:
        `{"protocol": "svm", "map", "ap", "costs", ...}`: fractions, the mean and one a class, the
        chosen costs, and every setting.

    Raises:
        ValueError: before any training: arrays that do not fit, a class with fewer positive or
            negative training rows than folds or without a positive test row, or a setting out of
            range.
    """
    _check_whole("folds", folds, 2)
    problem = _Problem(train_features, train_labels, test_features, test_labels, costs)
    problem.check_folds(folds)
    chosen, precisions = [], []
    with _without_convergence_warnings():
        for number in range(problem.num_classes):
            chosen.append(problem.best_cost(number, costs, folds))
            machine = _machine(chosen[-1]).fit(problem.train, problem.targets(number))
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
        ValueError: before any training: as in `svm`, with the rows that are drawn of a class in
            place of the folds.
    """
    _check_whole("num_samples", num_samples, 1)
    if not len(shots):
        raise ValueError("expected at least one number of shots. Received: shots=().")
    for shot in shots:
        _check_whole("shots", shot, 1)
    problem = _Problem(train_features, train_labels, test_features, test_labels, costs)
    for number in range(problem.num_classes):
        _low_shot_pools(problem.train_labels[:, number], max(shots), f" of class {number}")
    maps, best = [], []
    with _without_convergence_warnings():
        for shot in shots:
            samples = [(seed, shot, sample) for sample in range(num_samples)]
            by_cost = [problem.low_shot_maps(costs, shot, s, eleven_point) for s in samples]
            means = np.mean(by_cost, axis=0)
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
        labels: `[n]` integers or booleans of one class: 1, 0, or -1 for rows that are not drawn.
        shots: >= 1.
        seed: an integer or a sequence of integers.

    Returns:
        `[20 * shots]` distinct row numbers, positives first.

    Raises:
        ValueError: there are not as many rows.
    """
    random = np.random.default_rng(seed)
    pools = _low_shot_pools(np.asarray(labels), shots)
    return np.concatenate([random.choice(rows, wanted, replace=False) for rows, wanted in pools])


def _low_shot_pools(labels: np.ndarray, shots: int, of_class: str = "") -> list[tuple]:
    """Row numbers to draw from, and how many, of positives and of negatives; raises ValueError."""
    pools = []
    for value, wanted, kind in ((1, shots, "positive"), (0, _NEGATIVES * shots, "negative")):
        rows = np.flatnonzero(labels == value)
        if len(rows) < wanted:
            raise ValueError(
                f"expected at least {wanted} {kind} rows{of_class} for {shots} shots. "
                f"Received: {len(rows)}. Remedy: fewer shots, or more rows."
            )
        pools.append((rows, wanted))
    return pools


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
        _check_counts(self.test_labels == 1, 1, "positive test rows", "leave the class out")

    def check_folds(self, folds: int) -> None:
        """Raises ValueError unless every fold can have a positive and a negative of each class."""
        shown = self.train_labels == 1
        for kind, rows in (("positive", shown), ("negative", ~shown)):
            rows_of = f"{kind} training rows, one a fold,"
            _check_counts(rows, folds, rows_of, "fewer folds, or leave the class out")

    def targets(self, number: int) -> np.ndarray:
        """`[n]` bool, the training rows that show a class."""
        return self.train_labels[:, number] == 1

    def best_cost(self, number: int, costs: Sequence[float], folds: int) -> float:
        """The cost of a class with the best mean average precision over the folds."""
        # Not at the top: scikit-learn takes seconds to import, which every tool would wait for.
        from sklearn.model_selection import cross_val_score

        problem = self.train, self.targets(number)
        options = {"cv": int(folds), "scoring": "average_precision"}
        means = [cross_val_score(_machine(cost), *problem, **options).mean() for cost in costs]
        return float(costs[int(np.argmax(means))])

    def low_shot_maps(
        self, costs: Sequence[float], shots: int, seed: tuple, eleven_point: bool
    ) -> np.ndarray:
        """`[costs]` mean average precisions of one low-shot sample of each class."""
        precisions = np.zeros([self.num_classes, len(costs)])
        for number in range(self.num_classes):
            rows = low_shot_rows(self.train_labels[:, number], shots, seed=(*seed, number))
            problem = self.train[rows], self.targets(number)[rows]
            for place, cost in enumerate(costs):
                machine = _machine(cost).fit(*problem)
                precisions[number, place] = self.precision(machine, number, eleven_point)
        return precisions.mean(axis=0)

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
    if labels.dtype == bool:
        labels = labels.astype(int)
    whole = np.issubdtype(labels.dtype, np.integer)
    if not whole or labels.ndim != 2 or len(labels) != rows or 0 in labels.shape:
        raise ValueError(
            f"expected {name} of shape ({rows}, classes), integers or booleans. Received: "
            f"shape={labels.shape}, dtype={labels.dtype}."
        )
    if not np.isin(labels, (-1, 0, 1)).all():
        raise ValueError(f"expected {name} of -1, 0 and 1. Received: {np.unique(labels)[:9]}.")
    return labels


def _check_whole(name: str, value: Any, low: int) -> None:
    """Raises ValueError unless a setting is an integer >= `low`."""
    if not isinstance(value, numbers.Integral) or value < low:
        raise ValueError(f"expected an integer {name} >= {low}. Received: {name}={value!r}.")


def _check_counts(mask: np.ndarray, wanted: int, rows: str, remedy: str) -> None:
    """Raises ValueError where a class has too few rows in `[rows, classes]` booleans."""
    counts = mask.sum(axis=0)
    few = np.flatnonzero(counts < wanted)
    if len(few):
        raise ValueError(
            f"expected at least {wanted} {rows} of every class. Received: {counts[few[0]]} of "
            f"class {few[0]}. Remedy: {remedy}."
        )


@contextlib.contextmanager
def _without_convergence_warnings() -> Iterator[None]:
    """Silences what the protocol brings about in hundreds of fits.

    Its large costs need more than the 2,000 iterations that it allows.
    """
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


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
