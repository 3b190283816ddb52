"""Whitening by principal components of a matrix that is read in blocks."""

import tensorflow as tf

from tfssl.ops.checks import at_least_float32

# Rows that are in memory in float64, and with their mean taken off, at a time.
_BLOCK_ROWS = 1 << 15
# Directions with a smaller share of the largest variance are rounding errors of float32.
_FLAT = 1e-12


def pca_whiten(features: tf.Tensor, *, dim: int) -> tf.Tensor:
    """Rows in their directions of largest variance, each scaled to variance 1.

    As faiss' PCAMatrix with eigen_power -0.5, which DeepCluster uses (Caron et al. 2018, arXiv
    1807.05520). A direction without variance is 0.

    Args:
        features: `[rows, width]` floating, finite; eager.
        dim: >= 1, directions that are kept; all where the width is less.

    Returns:
        `[rows, min(dim, width)]` float32 (float64 for float64 features), of mean 0, in order of
        falling variance. The signs of the columns have no meaning.

    Raises:
        ValueError: not a matrix, or dim < 1.

    Notes:
        Time: 2 * rows * width^2 floating-point operations in float64. Memory beside features and
        result: blocks of 32,768 rows, and two `[width, width]`.
    """
    features = at_least_float32(features)
    if features.shape.rank != 2 or 0 in features.shape or dim < 1:
        raise ValueError(
            "expected features [rows, width], not empty, and dim >= 1. Received: "
            f"features.shape={features.shape}, {dim=}."
        )
    rows, width = features.shape
    blocks = [slice(i, i + _BLOCK_ROWS) for i in range(0, rows, _BLOCK_ROWS)]
    wide = (tf.cast(features[block], tf.float64) for block in blocks)
    mean = tf.add_n([tf.reduce_sum(block, axis=0) for block in wide]) / rows
    covariance = tf.zeros([width, width], tf.float64)
    for block in blocks:
        centred = tf.cast(features[block], tf.float64) - mean
        covariance += tf.matmul(centred, centred, transpose_a=True) / rows
    variances, directions = tf.linalg.eigh(covariance)
    flat = variances <= _FLAT * variances[-1]
    scales = tf.where(flat, 0.0, tf.math.rsqrt(tf.where(flat, 1.0, variances)))
    projection = tf.cast((directions * scales)[:, ::-1][:, :dim], features.dtype)
    mean = tf.cast(mean, features.dtype)
    return tf.concat([tf.matmul(features[block] - mean, projection) for block in blocks], axis=0)
