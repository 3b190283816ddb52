"""The loss of methods without negatives: BYOL and SimSiam.

Grill et al. 2020, arXiv 2006.07733, Eq. 2; Chen and He 2021, arXiv 2011.10566, Eq. 1 (up to a
factor and a constant).
"""

import tensorflow as tf

from tfssl.losses.checks import matching_rows


def cosine_regression(predictions: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Squared distance of unit rows, 2 - 2 cos(prediction, target), mean over the batch.

    One direction of one pair of views: the caller adds the other. Rows are L2-normalised here.

    Args:
        predictions: `[batch, dim]` floating.
        targets: `[batch, dim]` floating.

    Returns:
        Scalar in [0, 4]; float32 (float64 where an argument is).

    Raises:
        ValueError: shapes that differ or are not matrices, or integer tensors.

    Notes:
        Gradients flow to both arguments: stop them for targets. A row of zeros has cosine 0.

    Example:
        >>> float(cosine_regression(tf.constant([[3.0, 0.0]]), tf.constant([[0.0, 2.0]])))
        2.0
    """
    predictions, targets = matching_rows(predictions=predictions, targets=targets)
    predictions, targets = (tf.math.l2_normalize(t, axis=1) for t in (predictions, targets))
    return tf.reduce_mean(2 - 2 * tf.reduce_sum(predictions * targets, axis=1))
