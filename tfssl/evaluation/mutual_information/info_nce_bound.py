"""Lower bounds on mutual information from a contrastive critic's logits: log(k + 1) - L.

Between continuous views; the mutual information of soft assignments is
`tfssl.ops.mutual_information`.
"""

import math
from typing import Any, Iterable, Iterator, Union

import numpy as np
import tensorflow as tf

from tfssl import losses, ops
from tfssl.evaluation.checks import check_features

POSITIVES = ("diagonal", "first")


def info_nce_bound(
    logits: Union[Any, Iterable[Any]], *, positive: str = "diagonal"
) -> dict[str, Any]:
    """log(k + 1) - L and log(k) - L of logits log h(v1, v2), anchors in rows.

    L = -mean log(h+ / (h+ + sum of the k negatives' h)) is the contrastive loss of one direction;
    for the other, transpose the matrix. With negatives from the marginal of v2, log(k + 1) - L is
    at most the mutual information on average, whatever the critic, and never above log(k + 1).
    log(k) - L is the weaker form that CMC prints.

    Args:
        logits: one batch, a matrix of finite numbers of any size, or an iterable of batches that
            all have the same k >= 1, such as `[batches, rows, columns]`. `[batch, batch]` with the
            positives on the diagonal, k = batch - 1; or `[batch, 1 + k]` with the positive first.
        positive: "diagonal" or "first", the layout.

    Returns:
        `{"protocol": "info_nce_bound", "bound", "bound_log_k", "loss", ...}` in nats:
        log(k + 1) - L, log(k) - L, and L, the mean over all rows of all batches; with
        `num_negatives` k, `num_anchors`, `num_batches` and the layout.

    Raises:
        ValueError: no batch, one that does not fit the layout, batches of different k, numbers
            that are not finite, or an unknown layout.

    Notes:
        Computed in float64. A constant added to a row changes nothing. Where the bound comes near
        log(k + 1) the information may be much larger: only more negatives can tell.

    Reference:
        van den Oord, Li, Vinyals 2018, arXiv 1807.03748; CMC, Tian, Krishnan, Isola 2019, arXiv
        1906.05849, Eqs. 2 and 6.

    Example: a critic that knows nothing.
        >>> found = info_nce_bound(np.zeros([4, 4]))
        >>> abs(round(found["bound"], 6)), round(found["bound_log_k"], 4)  # ln(3) - ln(4)
        (0.0, -0.2877)
    """
    if positive not in POSITIVES:
        raise ValueError(f"expected positive to be one of {POSITIVES}. Received: {positive=}.")
    total, anchors, counts = 0.0, 0, []
    for batch in _batches(logits):
        own, others = _split(batch, positive)
        loss = losses.info_nce_from_scores(tf.constant(own), tf.constant(others), temperature=1.0)
        total += float(loss) * len(own)
        anchors += len(own)
        counts.append(others.shape[1])
    if len(set(counts)) != 1:
        raise ValueError(
            "expected at least one batch of logits, and as many negatives in every batch. "
            f"Received: negatives={sorted(set(counts))}."
        )
    loss, negatives = total / anchors, counts[0]
    return {
        "protocol": "info_nce_bound",
        "bound": math.log(negatives + 1) - loss,
        "bound_log_k": math.log(negatives) - loss,
        "loss": loss,
        "num_negatives": negatives,
        "num_anchors": anchors,
        "num_batches": len(counts),
        "positive": positive,
    }


def info_nce_bound_of_embeddings(
    first: Any, second: Any, *, temperature: float, batch_size: int = 128, seed: int = 0
) -> dict[str, Any]:
    """`info_nce_bound` of paired embeddings in both directions, the critic being cosine / t.

    The rows are put in a random order and cut into whole batches, in which the other rows are the
    negatives; rows that do not fill a batch are left out.

    Args:
        first: `[n, dim]` finite numbers; rows are divided by their length here.
        second: `[n, dim]`, row i of the same scene as row i of `first`.
        temperature: t > 0, that of the training.
        batch_size: rows of a batch, 2..n; k = batch_size - 1.
        seed: >= 0, of the order. Rows in the order of their classes would not be draws from the
            marginal.

    Returns:
        `{"protocol": "info_nce_bound_of_embeddings", "bound", "bound_log_k", "first_to_second",
        "second_to_first", ...}`: the means of the two directions in nats, the dictionary of each,
        and every setting. Rows of `first` are the anchors of `first_to_second`.

    Raises:
        ValueError: arrays that do not fit, or a setting out of range.

    Notes:
        Logits are in [-1/t, 1/t], so the loss is at least log(1 + k exp(-2/t)). A row of zeros has
        cosine 0 with everything.

    Reference:
        CMC, Tian, Krishnan, Isola 2019, arXiv 1906.05849, Eqs. 3, 4 and 6.
    """
    first, second = check_features("first", first), check_features("second", second)
    if first.shape != second.shape:
        raise ValueError(
            "expected embeddings of one shape. Received: "
            f"first.shape={first.shape}, second.shape={second.shape}."
        )
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"expected temperature > 0. Received: temperature={temperature}.")
    if not 2 <= batch_size <= len(first):
        raise ValueError(
            f"expected batch_size between 2 and the number of rows, {len(first)}. "
            f"Received: batch_size={batch_size}."
        )
    if seed < 0:
        raise ValueError(f"expected seed >= 0. Received: seed={seed}.")
    order = np.asarray(ops.keyed_permutations(ops.fold_key(seed), len(first)))
    kept = order[: len(first) // batch_size * batch_size].reshape(-1, batch_size)
    first, second = _unit_rows(first), _unit_rows(second)
    there = info_nce_bound(first[rows] @ second[rows].T / temperature for rows in kept)
    back = info_nce_bound(second[rows] @ first[rows].T / temperature for rows in kept)
    return {
        "protocol": "info_nce_bound_of_embeddings",
        "bound": (there["bound"] + back["bound"]) / 2,
        "bound_log_k": (there["bound_log_k"] + back["bound_log_k"]) / 2,
        "first_to_second": there,
        "second_to_first": back,
        "temperature": float(temperature),
        "batch_size": int(batch_size),
        "seed": int(seed),
        "num_rows": len(first),
        "dim": first.shape[1],
    }


def _batches(logits: Any) -> Iterator[np.ndarray]:
    """The batches, one where a single matrix was given, as float64."""
    single = len(getattr(logits, "shape", ())) == 2
    for batch in [logits] if single else logits:
        yield np.asarray(batch).astype(np.float64)


def _split(logits: np.ndarray, positive: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the positives `[batch]` and of the negatives `[batch, k]`."""
    square = logits.ndim == 2 and logits.shape[0] == logits.shape[1]
    if logits.ndim != 2 or len(logits) < 1 or logits.shape[1] < 2:
        raise ValueError(
            "expected logits [batch, batch] or [batch, 1 + k] with at least one negative. "
            f"Received: a batch of shape {logits.shape}."
        )
    if positive == "diagonal" and not square:
        raise ValueError(
            "expected square logits with the positives on the diagonal. "
            f"Received: a batch of shape {logits.shape}, positive='diagonal'."
        )
    if not np.isfinite(logits).all():
        raise ValueError(
            "expected finite logits. Received: NaN or Inf in "
            f"{np.sum(~np.isfinite(logits).all(axis=1))} of {len(logits)} rows."
        )
    if positive == "first":
        return logits[:, 0], logits[:, 1:]
    others = logits[~np.eye(len(logits), dtype=bool)].reshape(len(logits), -1)
    return np.diagonal(logits).copy(), others


def _unit_rows(rows: np.ndarray) -> np.ndarray:
    """Rows divided by their length in float64, those of zeros as they are."""
    rows = rows.astype(np.float64)
    # By the largest number first, so that squares neither overflow nor vanish.
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rows = rows / np.where(largest > 0, largest, 1.0)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1.0)
