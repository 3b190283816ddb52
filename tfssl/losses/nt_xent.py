"""SimCLR's loss: each view finds its partner among all other views of the batch.

Chen, Kornblith, Norouzi, Hinton 2020, arXiv 2002.05709, Eq. 1 and Algorithm 1.
"""

import tensorflow as tf

from tfssl.losses.checks import matching_rows
from tfssl.ops.checks import Scalar, scalar_argument


def nt_xent(z1: tf.Tensor, z2: tf.Tensor, *, temperature: Scalar) -> tf.Tensor:
    """Cross-entropy of the partner among the 2 * batch - 1 other rows, mean over 2 * batch anchors.

    Rows are L2-normalised here. A row is never compared with itself.

    Args:
        z1: `[batch, dim]` floating, projections of one view; the global batch.
        z2: `[batch, dim]` floating, projections of the other view, row by row.
        temperature: > 0.

    Returns:
        Scalar in nats, >= 0; float32 (float64 where an argument is). With all rows equal it is
        ln(2 * batch - 1).

    Raises:
        ValueError: shapes that differ or are not matrices, integer tensors, or a temperature out
            of range.

    Notes:
        Symmetric in its arguments; gradients flow to both. Memory: `[2 * batch, 2 * batch]`.

    Example: equal partners, orthogonal to all others.
        >>> z = tf.eye(2)
        >>> round(float(nt_xent(z, z, temperature=1.0)), 4)
        0.5514
    """
    z1, z2 = matching_rows(z1=z1, z2=z2)
    temperature = scalar_argument(temperature, "temperature", z1.dtype, above=0.0)
    z = tf.math.l2_normalize(tf.concat([z1, z2], axis=0), axis=1)
    logits = tf.matmul(z, z, transpose_b=True) / temperature
    # Row i's partner is row i + batch, or i - batch.
    partner = tf.reduce_sum(z * tf.roll(z, tf.shape(z1)[0], axis=0), axis=1) / temperature
    itself = tf.fill([tf.shape(z)[0]], tf.constant(-1e30, z.dtype))
    others = tf.linalg.set_diag(logits, itself)
    return tf.reduce_mean(tf.reduce_logsumexp(others, axis=1) - partner)
