"""What every protocol demands of its arrays."""

from typing import NamedTuple, Optional

import numpy as np


class Problem(NamedTuple):
    """Checked arrays of a classification problem.

    Attributes:
        train_features: `[n, dim]` float32. train_labels: `[n]` int64, 0..num_classes - 1.
        test_features: `[m, dim]` float32. test_labels: `[m]` int64.
        num_classes: number of classes.
    """

    train_features: np.ndarray
    train_labels: np.ndarray
    test_features: np.ndarray
    test_labels: np.ndarray
    num_classes: int


def check_problem(
    train_features, train_labels, test_features, test_labels, num_classes: Optional[int]
) -> Problem:
    """Arrays of the right kinds, or a sentence about the first one that is not.

    Args:
        train_features, test_features: `[n, dim]` and `[m, dim]` numbers, finite.
        train_labels, test_labels: `[n]` and `[m]` integers, 0..num_classes - 1.
        num_classes: number of classes; None counts up to the largest label.

    Raises:
        ValueError: missing labels, empty sets, shapes that do not fit, labels out of range,
            features that are not finite.
    """
    train_features = check_features("train_features", train_features)
    test_features = check_features("test_features", test_features)
    if train_features.shape[1] != test_features.shape[1]:
        raise ValueError(
            "expected training and test features of the same width. Received: "
            f"train_features.shape={train_features.shape}, "
            f"test_features.shape={test_features.shape}."
        )
    train_labels = check_labels("train_labels", train_labels, len(train_features))
    test_labels = check_labels("test_labels", test_labels, len(test_features))
    largest = int(max(train_labels.max(), test_labels.max()))
    if num_classes is None:
        num_classes = largest + 1
    if largest >= num_classes:
        raise ValueError(
            f"expected labels below num_classes. Received: a label of {largest}, "
            f"num_classes={num_classes}."
        )
    return Problem(train_features, train_labels, test_features, test_labels, int(num_classes))


def check_features(name: str, features) -> np.ndarray:
    """`[n, dim]` finite float32, n >= 1; raises ValueError that names the array and the rows."""
    features = np.asarray(features)
    if features.ndim != 2 or 0 in features.shape:
        raise ValueError(
            f"expected {name} of shape [n, dim]. Received: {name}.shape={features.shape}."
        )
    features = features.astype(np.float32, copy=False)
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise ValueError(
            f"expected finite {name}. Received: NaN or Inf in {len(bad)} of {len(features)} rows, "
            f"the first in row {bad[0]}."
        )
    return features


def check_labels(name: str, labels, rows: int) -> np.ndarray:
    """`[rows]` int64, none negative; raises ValueError that names the array."""
    if labels is None:
        raise ValueError(
            f"expected {name}, because this protocol measures classification. Received: None. "
            "Remedy: data with class sub-folders or labels."
        )
    labels = np.asarray(labels)
    if labels.shape != (rows,) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"expected {name} of shape ({rows},), integers, one a row of features. "
            f"Received: shape={labels.shape}, dtype={labels.dtype}."
        )
    if labels.min() < 0:
        raise ValueError(f"expected {name} >= 0. Received: a label of {labels.min()}.")
    return labels.astype(np.int64)


def sizes(problem: Problem) -> dict[str, int]:
    """The sizes of a problem, for the result of a protocol."""
    return {
        "num_train": len(problem.train_labels),
        "num_test": len(problem.test_labels),
        "num_classes": problem.num_classes,
        "dim": problem.train_features.shape[1],
    }


def split_rows(rows: int, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A seeded random split of row numbers: those kept, and `fraction` held out (both sorted)."""
    held_out = max(1, round(rows * fraction))
    if not 0 < fraction < 1 or held_out >= rows:
        raise ValueError(
            "expected a validation fraction that leaves rows on both sides. "
            f"Received: validation_fraction={fraction}, rows={rows}."
        )
    order = np.random.default_rng(seed).permutation(rows)
    return np.sort(order[held_out:]), np.sort(order[:held_out])
