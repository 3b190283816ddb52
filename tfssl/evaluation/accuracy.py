"""How accuracy is counted, and what is reported of a classifier's epochs."""

from typing import Any, Sequence

import numpy as np


def top_accuracies(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Top-1 and top-5 accuracy as fractions.

    Among equal scores the lower class comes first, as in argmax, so that a tie is never counted
    for two classes. With five classes or fewer top-5 is 1.

    Args:
        scores: `[rows, classes]`, larger is better.
        labels: `[rows]` integers.
    """
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    before = np.arange(scores.shape[1])[None, :] < labels[:, None]
    rank = np.sum((scores > own) | ((scores == own) & before), axis=1)
    return {"top1": float(np.mean(rank < 1)), "top5": float(np.mean(rank < 5))}


def last_and_best(epochs: Sequence[dict[str, float]]) -> dict[str, Any]:
    """What a protocol reports of a classifier: its last epoch, and its best one beside it.

    Several papers' code keeps the epoch that does best on the test rows, so that their figures
    compare with `best_top1`. The test rows choose that epoch: it flatters, and "top1" does not.

    Args:
        epochs: `top_accuracies` on the test rows after each epoch, at least one.

    Returns:
        "top1" and "top5" of the last epoch, "best_top1" and "best_top5" of the first epoch whose
        top-1 is the highest, and its number "best_epoch", from 1.
    """
    best = max(range(len(epochs)), key=lambda epoch: epochs[epoch]["top1"])
    return {
        **epochs[-1],
        "reported": "last epoch",
        "best_epoch": best + 1,
        **{f"best_{name}": value for name, value in epochs[best].items()},
    }
