"""Noise-contrastive estimation of the softmax over a whole memory bank.

Gutmann and Hyvarinen 2010; NPID, Wu, Xiong, Yu, Lin 2018, arXiv 1805.01978, Eqs. 4 to 8; CMC, Tian,
Krishnan, Isola 2020, arXiv 1906.05849, Eqs. 9 to 11 and its code.
"""

import math
from typing import Optional, Union

import tensorflow as tf

from tfssl.losses.checks import reduced, widest
from tfssl.ops.bank_losses import DecomposedLoss
from tfssl.ops.checks import Scalar, asserted, scalar_argument

# Added to each denominator in the authors' code; about 1e-7 * num_data in the loss.
_EPSILON = 1e-7


def nce(
    scores: tf.Tensor,
    *,
    temperature: Scalar,
    num_data: int,
    z: Union[Scalar, tf.Tensor],
    counts: Optional[tf.Tensor] = None,
    reduction: str = "mean",
) -> tf.Tensor:
    """Tells an anchor's bank entry from m uniform draws; summed over the m draws, batch mean.

    With P = exp(score / temperature) / z and the noise's density m / num_data:
    -log P_0 / (P_0 + m/N) - sum_j log (m/N) / (P_j + m/N), one direction of a pair of views.

    Args:
        scores: `[batch, 1 + m]` floating cosines, the positive first, not yet divided by the
            temperature. m >= 1.
        temperature: > 0.
        num_data: N, entries of the bank that the draws come from.
        z: > 0, the partition sum: a constant of the run, see `nce_partition`. Or `[batch]`, one for
            each anchor.
        counts: `[batch, m]` numbers >= 0 or bool, how often each draw counts; None: once.
        reduction: "mean" of the batch, or "none": `[batch]`, the loss of every anchor.

    Returns:
        Scalar in nats, >= 0; float32 (float64 for float64 scores).

    Raises:
        ValueError: scores that are not a floating matrix of two or more columns, or a number out
            of range.

    Notes:
        Computed on logarithms: no score overflows. The gradient of a logit tends to that of the
        full softmax as m grows, where z is the true partition sum.

    Example: scores that say nothing, with the z they have.
        >>> scores = tf.zeros([2, 3])
        >>> z = nce_partition(scores, temperature=0.1, num_data=100)
        >>> round(float(nce(scores, temperature=0.1, num_data=100, z=z)), 3)  # ln 3 + 2 ln 1.5
        1.91
    """
    scores, num_draws = _checked(scores)
    if tf.is_tensor(z) and z.shape.rank == 1 and not z.shape.is_compatible_with(scores.shape[:1]):
        raise ValueError(f"expected z a number or {scores.shape[:1]}. Received: z.shape={z.shape}.")
    loss = decomposed_nce(temperature=temperature, num_data=num_data, num_draws=num_draws, z=z)
    return reduced(loss(scores[:, 1:], scores[:, 0], counts=counts), reduction)


def decomposed_nce(
    *, temperature: Scalar, num_data: int, num_draws: int, z: Union[Scalar, tf.Tensor]
) -> DecomposedLoss:
    """`nce` as a sum over the draws, for `ops.bank_losses`.

    Args:
        temperature, num_data: as for `nce`.
        num_draws: m >= 1, of all parts together.
        z: > 0, a number; or `[a]`, where rows come a at a time, such as the directions of an image.

    Returns:
        Loss (draws' cosines `[rows, m]`, positive ones `[rows]`) -> `[rows]`, with the option
        `counts` of `nce` for its part.

    Raises:
        ValueError: a number out of range, or later a number of rows that a does not divide. Of a
            tensor's values TensorFlow's InvalidArgumentError.
    """
    for name, number in (("num_data", num_data), ("num_draws", num_draws)):
        if number < 1:
            raise ValueError(f"expected {name} >= 1. Received: {name}={number}.")
    temperature = scalar_argument(temperature, "temperature", tf.float64, above=0.0)
    log_z = tf.math.log(_partition(z))
    log_floor = math.log(num_draws / num_data + _EPSILON)
    # log_floor less the noise's logarithm: too small for a difference of the two in float32.
    least = math.log1p(_EPSILON * num_data / num_draws)

    def log_odds(scores):
        """log P - log_floor of `[rows]` or `[rows, n]`."""
        dtype = widest(scores)
        log_e = tf.cast(scores, dtype) / tf.cast(temperature, dtype)
        shift = tf.cast(log_z + log_floor, dtype)
        if shift.shape.rank:
            shift = _repeated(shift, scores.shape[0])
        return log_e - tf.reshape(shift, [-1] + [1] * (scores.shape.rank - 1))

    def draws(scores, counts=None):
        negative = least + tf.math.softplus(log_odds(scores))
        if counts is not None:
            negative *= tf.stop_gradient(tf.cast(counts, negative.dtype))
        return tf.reduce_sum(negative, axis=1)

    def with_positive(sums, positive):
        return tf.math.softplus(-log_odds(positive)) + tf.reduce_sum(sums, axis=1)

    return DecomposedLoss(draws, with_positive)


def nce_partition(scores: tf.Tensor, *, temperature: Scalar, num_data: int) -> tf.Tensor:
    """Estimate of the partition sum, num_data times the mean of exp(scores / temperature).

    The authors estimate it once, on a run's first batch, positives included, and keep it.

    Args:
        scores: `[batch, 1 + m]`, as for `nce`; of the global batch.
        temperature: > 0.
        num_data: N.

    Returns:
        Scalar > 0 without gradient; float32 (float64 for float64 scores).

    Raises:
        ValueError: as for `nce`.
    """
    scores, _ = _checked(scores)
    dtype = widest(scores)
    temperature = scalar_argument(temperature, "temperature", dtype, above=0.0)
    return tf.stop_gradient(num_data * tf.reduce_mean(tf.exp(tf.cast(scores, dtype) / temperature)))


def _partition(z: Union[Scalar, tf.Tensor]) -> tf.Tensor:
    """Partition sums in float64, checked: a scalar, or those of rows."""
    if not tf.is_tensor(z) or z.shape.rank != 1:
        return scalar_argument(z, "z", tf.float64, above=0.0)
    z = tf.stop_gradient(tf.cast(z, tf.float64))
    good = tf.reduce_all((z > 0) & tf.math.is_finite(z))
    return asserted(z, good, "expected finite z > 0. Received:", z)


def _repeated(values: tf.Tensor, rows: Optional[int]) -> tf.Tensor:
    """`[a]` values for rows that come a at a time; of unknown sizes they are taken to agree."""
    number = values.shape[0]
    if None in (number, rows) or number == rows:
        return values
    if not rows or rows % number:
        raise ValueError(f"expected z of a length that divides {rows} rows. Received: {number}.")
    return tf.tile(values, [rows // number])


def _checked(scores: tf.Tensor):
    """The scores as a tensor, and the number of draws m."""
    scores = tf.convert_to_tensor(scores)
    shape = scores.shape
    if not scores.dtype.is_floating or shape.rank != 2 or shape[1] is None or shape[1] < 2:
        raise ValueError(
            "expected floating scores [batch, 1 + m] with m >= 1. Received: "
            f"scores.shape={shape}, dtype={scores.dtype.name}."
        )
    return scores, shape[1] - 1
