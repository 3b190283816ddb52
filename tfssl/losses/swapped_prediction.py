"""Cross-entropy of assignments against predictions from another view.

SwAV, Caron et al. 2020, arXiv 2006.09882, Eq. 2; MIRA, Lee et al. 2022, arXiv 2211.02284, Eq. 8.
"""

from typing import Union

import tensorflow as tf


def swapped_prediction(
    logits: tf.Tensor, targets: tf.Tensor, *, temperature: Union[float, tf.Tensor]
) -> tf.Tensor:
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
    logits, targets = tf.convert_to_tensor(logits), tf.convert_to_tensor(targets)
    if not (logits.dtype.is_floating and targets.dtype.is_floating):
        raise ValueError(
            "expected floating logits and targets. Received: "
            f"logits.dtype={logits.dtype.name}, targets.dtype={targets.dtype.name}."
        )
    if logits.shape.rank != 2 or not logits.shape.is_compatible_with(targets.shape):
        raise ValueError(
            "expected logits and targets of one shape [batch, clusters]. Received: "
            f"logits.shape={logits.shape}, targets.shape={targets.shape}."
        )
    if not tf.is_tensor(temperature) and not 0 < temperature < float("inf"):
        raise ValueError(f"expected a finite temperature > 0. Received: {temperature=}.")
    # Logarithms of small probabilities need float32 whatever the policy.
    dtype = tf.float64 if tf.float64 in (logits.dtype, targets.dtype) else tf.float32
    if not tf.is_tensor(temperature):
        temperature = tf.constant(temperature, dtype)
    logits = tf.cast(logits, dtype) / tf.cast(temperature, dtype)
    targets = tf.stop_gradient(tf.cast(targets, dtype))
    # Not the fused cross-entropy: its gradient takes for granted that target rows sum to 1.
    return -tf.reduce_mean(tf.reduce_sum(targets * tf.nn.log_softmax(logits), axis=1))
