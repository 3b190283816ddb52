"""Local aggregation: close neighbours against background neighbours.

Zhuang, Zhai, Yamins, "Local Aggregation for Unsupervised Learning of Visual Embeddings", ICCV
2019, arXiv 1903.12355, Eqs. 3 to 5.
"""

import tensorflow as tf

from tfssl.losses.checks import widest
from tfssl.ops.checks import Scalar, scalar_argument

# Finite, so that a row without any such neighbour has a gradient of 0 and not of NaN.
_NEVER = -1e30


def local_aggregation(
    scores: tf.Tensor, close: tf.Tensor, background: tf.Tensor, *, temperature: Scalar
) -> tf.Tensor:
    """-log of the close neighbours' share of the softmax over the background, batch mean.

    Close neighbours are those that are both close and in the background.

    Args:
        scores: `[batch, n]` floating cosines with the entries of a bank.
        close: `[batch, n]` bool, C_i: the entries that should be near.
        background: `[batch, n]` bool, B_i: the entries that are near. Each row has one that is
            close as well; where it has none, the row has loss 0.
        temperature: > 0.

    Returns:
        Scalar in nats, >= 0; float32 (float64 for float64 scores). The constant ln Z, which both
        probabilities of the paper have, cancels.

    Raises:
        ValueError: shapes that differ, types that do not fit, or a temperature out of range.

    Notes:
        Memory: about six `[batch, n]` in float32 with those of the gradient.

    Example: two of four background neighbours are close, and all are as near.
        >>> near = tf.constant([[True, True, True, True, False]])
        >>> close = tf.constant([[True, True, False, False, True]])
        >>> round(float(local_aggregation(tf.zeros([1, 5]), close, near, temperature=0.07)), 4)
        0.6931
    """
    scores, close, background = map(tf.convert_to_tensor, (scores, close, background))
    _check(scores, close, background)
    dtype = widest(scores)
    temperature = scalar_argument(temperature, "temperature", dtype, above=0.0)
    logits = tf.cast(scores, dtype) / temperature
    both = close & background
    inside = tf.reduce_logsumexp(tf.where(both, logits, _NEVER), axis=1)
    others = tf.reduce_logsumexp(tf.where(background & ~close, logits, _NEVER), axis=1)
    # softplus keeps the digits of a small loss; a difference of two sums would lose them.
    losses = tf.math.softplus(others - inside)
    return tf.reduce_mean(tf.where(tf.reduce_any(both, axis=1), losses, 0.0))


def _check(scores, close, background) -> None:
    """Raises ValueError unless there are a matrix and two masks of its shape."""
    fits = scores.shape.rank == 2 and scores.dtype.is_floating
    for mask in (close, background):
        fits = fits and mask.dtype == tf.bool and mask.shape.is_compatible_with(scores.shape)
    if not fits:
        received = ", ".join(
            f"{name} {tensor.shape} {tensor.dtype.name}"
            for name, tensor in (("scores", scores), ("close", close), ("background", background))
        )
        raise ValueError(
            "expected floating scores [batch, n], and close and background bool of the same "
            f"shape. Received: {received}."
        )
