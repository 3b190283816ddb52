"""Numbers that tell whether a run is healthy: entropies of assignments, spread of features."""

from typing import Optional

import tensorflow as tf

from tfssl.ops.checks import at_least_float32

# Inside logarithms, as in the released code of MIRA (Lee et al. 2022, arXiv 2211.02284).
_EPSILON = 1e-10


def mean_entropy(probabilities: tf.Tensor) -> tf.Tensor:
    """Mean over rows of -sum p log(p + 1e-10), in nats.

    Args:
        probabilities: `[batch, clusters]` float; rows are distributions.

    Returns:
        Scalar in [0, log clusters].
    """
    return tf.reduce_mean(_entropy(at_least_float32(probabilities)))


def marginal_entropy(mean_probabilities: tf.Tensor) -> tf.Tensor:
    """Entropy of the mean distribution, in nats.

    Args:
        mean_probabilities: `[clusters]` float, the mean of the rows over the global batch.

    Returns:
        Scalar in [0, log clusters]; near 0 when all rows share one cluster.
    """
    return _entropy(at_least_float32(mean_probabilities))


def mutual_information(
    probabilities: tf.Tensor, mean_probabilities: Optional[tf.Tensor] = None
) -> tf.Tensor:
    """Marginal entropy less mean entropy, in nats (MIRA, arXiv 2211.02284, Eq. 2).

    Args:
        probabilities: `[batch, clusters]` float; rows are distributions.
        mean_probabilities: `[clusters]`, where the mean is over more rows than these, for example
            those of all replicas; by default the mean of these.

    Returns:
        Scalar, at most the logarithm of the smaller of rows and clusters.
    """
    probabilities = at_least_float32(probabilities)
    if mean_probabilities is None:
        mean_probabilities = tf.reduce_mean(probabilities, axis=0)
    return marginal_entropy(mean_probabilities) - mean_entropy(probabilities)


def mean_kl(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Mean over rows of KL(a || b) = sum a (log(a + 1e-10) - log(b + 1e-10)), in nats.

    Args:
        a: `[batch, clusters]` float; rows are distributions and carry the weights.
        b: `[batch, clusters]` float; rows are distributions.

    Returns:
        Scalar, >= 0 but for rounding.
    """
    a, b = at_least_float32(a), at_least_float32(b)
    terms = a * (tf.math.log(a + _EPSILON) - tf.math.log(b + _EPSILON))
    return tf.reduce_mean(tf.reduce_sum(terms, axis=-1))


def feature_std(features: tf.Tensor) -> tf.Tensor:
    """Mean over dimensions of the standard deviation of L2-normalised features.

    1 / sqrt(dim) where directions are spread evenly, 0 where all features are the same (SimSiam,
    Chen and He 2021, arXiv 2011.10566, section 4.1).

    Args:
        features: `[batch, dim]` float, not normalised.

    Returns:
        Scalar in [0, 1 / sqrt(dim)].
    """
    unit = tf.math.l2_normalize(at_least_float32(features), axis=1)
    return tf.reduce_mean(tf.math.reduce_std(unit, axis=0))


def effective_rank(features: tf.Tensor) -> tf.Tensor:
    """exp of the entropy of the singular values of the centred features, taken as a distribution.

    Roy and Vetterli 2007, "The effective rank: a measure of effective dimensionality", Eqs. 2, 3.
    The singular values come from the smaller of the two Gram matrices, in float64: a square root
    doubles the relative size of rounding errors near 0, and there are many small singular values.

    Args:
        features: `[batch, dim]` float.

    Returns:
        Scalar in [1, min(batch, dim)], 1 also where all features are the same; of the features'
        type, at least float32. Cost: cube of min(batch, dim).
    """
    features = at_least_float32(features)
    rows = tf.cast(features, tf.float64)
    mean = tf.reduce_mean(rows, axis=0, keepdims=True)
    # Rounding in the mean leaves this much of features that do not vary.
    noise = 1e-12 * tf.reduce_max(tf.abs(rows))
    rows = rows - mean
    wide = rows.shape[0] is not None and rows.shape[1] is not None and rows.shape[0] < rows.shape[1]
    gram = tf.matmul(rows, rows, transpose_a=not wide, transpose_b=wide)
    eigenvalues = tf.linalg.eigvalsh(gram)
    floor = tf.maximum(1e-14 * tf.reduce_max(eigenvalues), noise**2)
    singular = tf.sqrt(tf.where(eigenvalues > floor, eigenvalues, tf.zeros_like(eigenvalues)))
    shares = tf.math.divide_no_nan(singular, tf.reduce_sum(singular))
    entropy = -tf.reduce_sum(tf.math.xlogy(shares, shares))
    return tf.cast(tf.exp(entropy), features.dtype)


def _entropy(p: tf.Tensor) -> tf.Tensor:
    """-sum p log(p + 1e-10) over the last axis."""
    return -tf.reduce_sum(p * tf.math.log(p + _EPSILON), axis=-1)
