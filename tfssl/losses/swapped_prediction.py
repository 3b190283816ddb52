"""Cross-entropy of assignments against predictions from another view.

SwAV, Caron et al. 2020, arXiv 2006.09882, Eq. 2; MIRA, Lee et al. 2022, arXiv 2211.02284, Eq. 8.
"""

import tensorflow as tf

from tfssl.losses.checks import matching_rows
from tfssl.ops.checks import Scalar, scalar_argument


def swapped_prediction(logits: tf.Tensor, targets: tf.Tensor, *, temperature: Scalar) -> tf.Tensor:
    """Cross-entropy of `targets` against softmax(logits / temperature), mean over the batch.

    One ordered pair of views: the caller averages or sums over pairs. Where target rows sum to 1
    the gradient of a logit is (softmax - target) / (temperature * batch). Targets get none.

    Args:
        logits: `[batch, clusters]` floating, student logits of one view.
        targets: `[batch, clusters]` floating; rows are distributions, from another view.
        temperature: > 0.

    Returns:
        Scalar in nats, >= 0; float32 (float64 where logits or targets are).

    Raises:
        ValueError: shapes that differ or are not matrices, integer tensors, or a temperature that
            is not a positive finite number.

    Example: ln 4 for a student that has learned nothing.
        >>> uniform = tf.fill([2, 4], 0.25)
        >>> round(float(swapped_prediction(tf.zeros([2, 4]), uniform, temperature=0.1)), 4)
        1.3863
    """
    logits, targets = matching_rows("clusters", logits=logits, targets=targets)
    temperature = scalar_argument(temperature, "temperature", logits.dtype, above=0.0)
    logits, targets = logits / temperature, tf.stop_gradient(targets)
    # Not the fused cross-entropy: its gradient takes for granted that target rows sum to 1.
    return -tf.reduce_mean(tf.reduce_sum(targets * tf.nn.log_softmax(logits), axis=1))
