"""Weighted nearest-neighbour accuracy."""

from typing import Any, Optional

import numpy as np

from tfssl import ops
from tfssl.evaluation.accuracy import top_accuracies
from tfssl.evaluation.checks import check_problem, sizes


def knn(
    train_features: Any,
    train_labels: Any,
    test_features: Any,
    test_labels: Any,
    *,
    num_classes: Optional[int] = None,
    k: int = 20,
    temperature: float = 0.07,
    center: bool = False,
) -> dict[str, Any]:
    """Accuracy of a vote of the k nearest training rows by cosine, each weighing exp(cos / T).

    Rows are scaled to unit length here; whatever their length was has no effect.

    Args:
        train_features: `[n, dim]` finite numbers.
        train_labels: `[n]` integers, 0..num_classes - 1.
        test_features: `[m, dim]` finite numbers.
        test_labels: `[m]` integers.
        num_classes: number of classes; None counts up to the largest label.
        k: neighbours that vote, 1..n.
        temperature: T > 0.
        center: subtract the mean training row from all rows first.

    Returns:
        `{"protocol": "knn", "top1", "top5", ...}` with accuracies as fractions and every setting.
        Among equal votes the lower class comes first.

    Raises:
        ValueError: arrays that do not fit, or a setting out of range.

    Reference:
        Wu et al. 2018, arXiv 1805.01978; the protocol of DINO (Caron et al. 2021, arXiv
        2104.14294) with k = 20 and T = 0.07.
    """
    problem = check_problem(train_features, train_labels, test_features, test_labels, num_classes)
    if not 1 <= k <= len(problem.train_labels):
        raise ValueError(
            f"expected k between 1 and the number of training rows, {len(problem.train_labels)}. "
            f"Received: k={k}."
        )
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"expected temperature > 0. Received: temperature={temperature}.")
    train, test = problem.train_features, problem.test_features
    if center:
        # In float64: the mean of many float32 rows would lose the last digits.
        mean = train.mean(axis=0, dtype=np.float64).astype(np.float32)
        train, test = train - mean, test - mean
    scores = ops.knn_vote(
        train,
        problem.train_labels,
        test,
        num_classes=problem.num_classes,
        k=k,
        temperature=temperature,
    )
    return {
        "protocol": "knn",
        **top_accuracies(np.asarray(scores), problem.test_labels),
        "k": int(k),
        "temperature": float(temperature),
        "similarity": "cosine",
        "weights": "exp(similarity / temperature)",
        "center": bool(center),
        **sizes(problem),
    }
