"""Average precision of one binary ranking."""

from typing import Any

import numpy as np


def average_precision(scores: Any, labels: Any, *, eleven_point: bool = False) -> float:
    """Area under the monotone precision envelope over all recall points (VOC from 2010 on).

    At every recall the precision counts as the best precision at that or a larger recall. Rows of
    equal score enter together, so that their order has no effect.

    Args:
        scores: `[n]` finite numbers, larger is more positive.
        labels: `[n]` booleans or integers, positive where > 0. Leave out rows that do not count.
        eleven_point: instead of the area, the mean of the envelope at the recalls 0, 0.1, ..., 1
            (VOC 2007).

    Returns:
        A fraction in (0, 1].

    Raises:
        ValueError: shapes that differ, scores that are not finite, or no positive row.

    Reference:
        Everingham et al. 2015, "The Pascal Visual Object Classes Challenge: A Retrospective".
    """
    scores, labels = np.asarray(scores, np.float64), np.asarray(labels)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ValueError(
            "expected scores and labels of one shape [n]. "
            f"Received: scores.shape={scores.shape}, labels.shape={labels.shape}."
        )
    if not np.isfinite(scores).all():
        raise ValueError(
            f"expected finite scores. Received: {np.sum(~np.isfinite(scores))} NaN or Inf."
        )
    positive = labels > 0
    if not positive.any():
        raise ValueError(f"expected at least one positive label. Received: none in {len(labels)}.")
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positive[order])
    last_of_ties = np.append(np.diff(scores[order]) != 0, True)
    hits, ranks = hits[last_of_ties], np.flatnonzero(last_of_ties) + 1
    recall = np.concatenate([[0.0], hits / positive.sum()])
    envelope = np.maximum.accumulate((hits / ranks)[::-1])[::-1]
    if eleven_point:
        # Whole numbers: a recall of 3 in 10 reaches 0.3 whatever the rounding.
        reached = [hits * 10 >= tenth * positive.sum() for tenth in range(11)]
        return float(np.mean([envelope[place].max() for place in reached]))
    return float(np.sum(np.diff(recall) * envelope))
