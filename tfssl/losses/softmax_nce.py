"""Noise-contrastive estimation whose probabilities are shares of a softmax: PIRL's loss.

Misra and van der Maaten 2020, arXiv 1912.01991, Eqs. 3 and 4.
"""

import math
from typing import Optional

import tensorflow as tf

from tfssl.losses.checks import checked_counts, counted_logits, reduced, widest
from tfssl.ops.checks import Scalar, scalar_argument


def softmax_nce(
    positive: tf.Tensor,
    negative: tf.Tensor,
    *,
    temperature: Scalar,
    counts: Optional[tf.Tensor] = None,
    reduction: str = "mean",
) -> tf.Tensor:
    """-log h of the positive - log(1 - h) summed over the negatives, batch mean.

    h is an entry's share of the softmax over the positive and all negatives:
    h_i = exp(s_i / t) / (exp(s_0 / t) + sum_j exp(s_j / t)), of which s_0 is the positive's cosine.
    So each negative is judged within the same softmax as the positive. The paper writes
    h(a, b) = exp(s(a, b) / t) / (exp(s(a, b) / t) + sum_j exp(s(b, m_j) / t)) for the positive pair
    and leaves open what stands in the denominator for a negative one. Taken by the letter it is
    the similarity of that negative with all others, which costs the square of their number; with
    the negative in place of the positive, its terms would be smallest where one negative has the
    whole sum, and would not repel it.

    Args:
        positive: `[batch]` floating cosines.
        negative: `[batch, n]` floating cosines; n may be 0.
        temperature: t > 0.
        counts: `[batch, n]` whole numbers >= 0 or bool, how often each negative counts for each
            anchor. None: once. An anchor without negatives has loss 0.
        reduction: "mean" of the batch, or "none": `[batch]`, the loss of every anchor.

    Returns:
        Scalar, or `[batch]`, in nats, >= 0; float32 (float64 where a score is). Where all scores
        are equal it is ln(1 + n) + n ln(1 + 1/n), about ln(1 + n) + 1.

    Raises:
        ValueError: shapes that do not fit, tensors that are not floating, or a temperature out of
            range.

    Notes:
        Gradients flow to all scores; stop those of bank entries. 1 - h of a share near 1 is
        computed from the other entries, so that no digit is lost.

    Example: scores that say nothing.
        >>> loss = softmax_nce(tf.zeros([4]), tf.zeros([4, 2]), temperature=0.1)
        >>> round(float(loss), 4)  # ln 3 + 2 ln 1.5
        1.9095
    """
    positive, negative = _checked(positive, negative)
    temperature = scalar_argument(temperature, "temperature", positive.dtype, above=0.0)
    positive, negative = positive / temperature, negative / temperature
    if negative.shape[1] == 0:
        return reduced(tf.zeros_like(positive), reduction)
    counts = tf.ones_like(negative) if counts is None else checked_counts(counts, negative)
    others = tf.reduce_logsumexp(counted_logits(negative, counts), axis=1)
    # softplus keeps the digits of a small loss; a log-softmax would lose them.
    loss = tf.math.softplus(others - positive)
    loss += tf.reduce_sum(counts * _log_rest(positive, negative, counts, others), axis=1)
    return reduced(loss, reduction)


def _log_rest(positive, negative, counts, others) -> tf.Tensor:
    """-log(1 - h) of every negative, `[batch, n]`; finite where a negative does not count."""
    dtype = negative.dtype
    # Only the largest negative can have more than half of the sum. 1 - h is the share of the rest,
    # which is its positive, the other negatives, and other copies of itself.
    found = tf.argmax(tf.where(counts > 0, negative, dtype.min), axis=1)
    largest = tf.one_hot(found, negative.shape[1], on_value=True, off_value=False)
    fewer = tf.where(largest, counts - 1, counts)
    rest = _log_add(positive, tf.reduce_logsumexp(counted_logits(negative, fewer), axis=1))
    from_rest = tf.math.softplus(negative - rest[:, tf.newaxis])
    log_share = negative - _log_add(positive, others)[:, tf.newaxis]
    # At most -ln 2, but for rounding. What is not taken gets a harmless value before the logarithm,
    # because its gradient is computed all the same.
    harmless = tf.constant(-math.log(2), dtype)
    log_share = tf.where(largest | (counts <= 0), harmless, tf.minimum(log_share, -0.5))
    from_share = -tf.math.log1p(-tf.exp(log_share))
    return tf.where(largest, tf.where(counts > 0, from_rest, 0), from_share)


def _log_add(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """log(exp(a) + exp(b))."""
    return tf.reduce_logsumexp(tf.stack([a, b]), axis=0)


def _checked(positive: tf.Tensor, negative: tf.Tensor):
    """Both in one type at least float32; raises ValueError where they do not fit."""
    positive, negative = tf.convert_to_tensor(positive), tf.convert_to_tensor(negative)
    floating = positive.dtype.is_floating and negative.dtype.is_floating
    if not (
        floating
        and positive.shape.rank == 1
        and negative.shape.rank == 2
        and negative.shape[:1].is_compatible_with(positive.shape)
        and negative.shape[1] is not None
    ):
        raise ValueError(
            "expected floating scores positive [batch] and negative [batch, n]. Received: "
            f"positive.shape={positive.shape}, dtype={positive.dtype.name}, "
            f"negative.shape={negative.shape}, dtype={negative.dtype.name}."
        )
    dtype = widest(positive, negative)
    return tf.cast(positive, dtype), tf.cast(negative, dtype)
