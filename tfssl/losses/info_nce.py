"""Contrast of one positive with many negatives: InfoNCE and MarginNCE.

van den Oord, Li, Vinyals 2018, arXiv 1807.03748; MoCo, He et al. 2020, arXiv 1911.05722, Eq. 1;
MarginNCE: Xie et al., arXiv 2008.11702, Eq. 5.
"""

from typing import Optional

import tensorflow as tf

from tfssl.losses.checks import (
    checked_counts,
    counted_logits,
    matching_rows,
    reduced,
    widest,
)
from tfssl.ops.bank_losses import DecomposedLoss
from tfssl.ops.checks import Scalar, scalar_argument


def info_nce(
    anchors: tf.Tensor,
    positives: tf.Tensor,
    negatives: tf.Tensor,
    *,
    temperature: Scalar,
    margin: Scalar = 0.0,
    counts: Optional[tf.Tensor] = None,
    reduction: str = "mean",
) -> tf.Tensor:
    """-log of the positive's share of the softmax over positive and negatives, batch mean.

    The margin is subtracted from the positive's cosine alone, before the division by the
    temperature; a margin m equals negatives weighted by exp(m / temperature).

    Args:
        anchors: `[batch, dim]` floating, rows of length 1. They are used as they come: divide by
            the norm before.
        positives: `[batch, dim]` floating, unit rows.
        negatives: `[n, dim]`, shared by all anchors, or `[batch, n, dim]`; unit rows, n may be 0.
        temperature: > 0.
        margin: in [-2, 2). Below 0 it asks for less than a positive that is the nearest.
        counts: `[batch, n]` numbers >= 0 or bool, how often each negative counts for each anchor,
            or `[batch, 1]` for all of an anchor's. None: once. An anchor without negatives has
            loss 0.

    Returns:
        Scalar in nats, >= 0; float32 (float64 where an argument is).

    Raises:
        ValueError: shapes that do not fit, tensors that are not floating, or a number out of
            range.

    Notes:
        Gradients flow to anchors, positives and negatives; stop them for entries of a bank, a
        queue or a teacher. Shared negatives cost one `[batch, n]` product: counting most of them
        0 times is cheaper than gathering `[batch, n, dim]`.

    Example: a positive as similar as the single negative, and the same with a margin of -0.5.
        >>> a, b = tf.constant([[1.0, 0.0]]), tf.constant([[0.5, 0.75**0.5]])
        >>> round(float(info_nce(a, b, b, temperature=0.1)), 4)
        0.6931
        >>> round(float(info_nce(a, b, b, temperature=0.1, margin=-0.5)), 4)
        0.0067
    """
    anchors, positives = matching_rows(anchors=anchors, positives=positives)
    negatives = tf.convert_to_tensor(negatives)
    _check_negatives(anchors, negatives)
    dtype = widest(anchors, negatives)
    anchors, positives, negatives = (tf.cast(t, dtype) for t in (anchors, positives, negatives))
    if negatives.shape.rank == 2:
        scores = tf.matmul(anchors, negatives, transpose_b=True)
    else:
        scores = tf.linalg.matvec(negatives, anchors)
    return info_nce_from_scores(
        tf.reduce_sum(anchors * positives, axis=1),
        scores,
        temperature=temperature,
        margin=margin,
        counts=counts,
        reduction=reduction,
    )


def info_nce_from_scores(
    positive: tf.Tensor,
    negative: tf.Tensor,
    *,
    temperature: Scalar,
    margin: Scalar = 0.0,
    counts: Optional[tf.Tensor] = None,
    reduction: str = "mean",
) -> tf.Tensor:
    """`info_nce` of cosines that are already there.

    Args:
        positive: `[batch]` floating cosines.
        negative: `[batch, n]` floating cosines; n may be 0.
        temperature, margin, counts, reduction: as for `info_nce`.

    Returns:
        Scalar in nats, >= 0; float32 (float64 where a score is).

    Raises:
        ValueError: as for `info_nce`.
    """
    positive, negative = tf.convert_to_tensor(positive), tf.convert_to_tensor(negative)
    dtype = widest(positive, negative)
    positive, negative = tf.cast(positive, dtype), tf.cast(negative, dtype)
    loss = decomposed_info_nce(temperature=temperature, margin=margin)
    if negative.shape[1] == 0:
        return reduced(tf.zeros_like(positive), reduction)
    return reduced(loss(negative, positive, counts=counts), reduction)


def decomposed_info_nce(*, temperature: Scalar, margin: Scalar = 0.0) -> DecomposedLoss:
    """`info_nce_from_scores` by sums of exponentials, for `ops.bank_losses`.

    Args:
        temperature, margin: as for `info_nce`.

    Returns:
        Loss (negatives' cosines `[rows, n]`, positive ones `[rows]`) -> `[rows]`, n >= 1, with the
        option `counts` of `info_nce` for its part. A part is the logarithm of its sum.

    Raises:
        ValueError: a number out of range. Of a tensor's value TensorFlow's InvalidArgumentError.
    """
    temperature = scalar_argument(temperature, "temperature", tf.float64, above=0.0)
    margin = scalar_argument(margin, "margin", tf.float64, low=-2.0, below=2.0)

    def log_sum(negative, counts=None):
        dtype = widest(negative)
        logits = tf.cast(negative, dtype) / tf.cast(temperature, dtype)
        if counts is not None:
            logits = counted_logits(logits, checked_counts(counts, logits))
        return tf.reduce_logsumexp(logits, axis=1)

    def with_positive(log_sums, positive):
        dtype = widest(positive)
        own = (tf.cast(positive, dtype) - tf.cast(margin, dtype)) / tf.cast(temperature, dtype)
        # softplus keeps the digits of a small loss; a log-softmax of both would lose them.
        return tf.math.softplus(tf.reduce_logsumexp(log_sums, axis=1) - own)

    return DecomposedLoss(log_sum, with_positive)


def _check_negatives(anchors: tf.Tensor, negatives: tf.Tensor) -> None:
    """Raises ValueError unless the negatives fit the anchors."""
    batch, dim = anchors.shape
    shared = negatives.shape.rank == 2 and negatives.shape[1:].is_compatible_with([dim])
    own = negatives.shape.rank == 3 and negatives.shape.is_compatible_with([batch, None, dim])
    if not negatives.dtype.is_floating or not (shared or own):
        raise ValueError(
            f"expected floating negatives [n, {dim}] or [{batch}, n, {dim}]. Received: "
            f"negatives.shape={negatives.shape}, dtype={negatives.dtype.name}."
        )
