"""k-means on a matrix that is read in blocks: Lloyd's iterations from a seeded start.

Lloyd 1982; start: Arthur and Vassilvitskii 2007 (k-means++), or random rows as in faiss.
"""

from typing import Optional, Tuple

import tensorflow as tf

from tfssl.ops.checks import asserted, at_least_float32, check_iterations
from tfssl.ops.keyed_random import fold_key, keyed_uniform
from tfssl.ops.largest import first_largest

# Distances of a block of rows to all centroids take about this many bytes, and two blocks are in
# work at a time: one's products are made while the other's are compared.
_BLOCK_BYTES = 4 << 20
_STARTS = ("random", "k-means++")


def kmeans(
    features: tf.Tensor,
    *,
    num_clusters: int,
    num_iterations: int = 20,
    seed: int = 0,
    start: str = "random",
    initial_centroids: Optional[tf.Tensor] = None,
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Centroids and labels after Lloyd's iterations.

    An iteration labels every row with its nearest centroid and moves every centroid to the mean
    of its rows. A centroid without rows moves to the row farthest from its own centroid, and takes
    it; so does one that is empty at the end. The inertia never grows.

    Args:
        features: `[rows, dim]` floating, finite. Half precision is computed in float32.
        num_clusters: 1 to rows.
        num_iterations: >= 0; all are made.
        seed: of the start; the same seed gives the same result.
        start: "random", distinct rows drawn uniformly, or "k-means++", each next row drawn with a
            probability in proportion to its squared distance from those already drawn. The latter
            reads the features once per cluster.
        initial_centroids: `[num_clusters, dim]`, in place of a start.

    Returns:
        centroids: `[num_clusters, dim]` float32 (float64 for float64 features).
        labels: `[rows]` int32, the nearest centroid, the lower number of equally near ones. Every
            cluster has a row.

    Raises:
        ValueError: shapes, numbers or a start that do not fit.
        tf.errors.InvalidArgumentError: features that are not finite.

    Notes:
        Memory beside the features: two blocks of distances, 8 MB, and two `[num_clusters, dim]`.
        Time of an iteration: 2 * rows * num_clusters * dim floating-point operations.

    Example:
        >>> points = tf.constant([[0.0], [1.0], [10.0], [11.0]])
        >>> centroids, labels = kmeans(points, num_clusters=2, num_iterations=5, seed=1)
        >>> sorted(centroids.numpy()[:, 0].tolist())
        [0.5, 10.5]
    """
    features = at_least_float32(features)
    _check(features, num_clusters, start, initial_centroids)
    check_iterations(num_iterations)
    finite = tf.math.is_finite(tf.reduce_sum(features))
    message = "kmeans: expected finite features. Received NaN or infinity."
    features = asserted(features, finite, message)
    if initial_centroids is not None:
        centroids = tf.cast(initial_centroids, features.dtype)
    elif start == "random":
        centroids = _random_rows(features, tf.constant(seed, tf.int64), num_clusters)
    else:
        centroids = _plus_plus(features, tf.constant(seed, tf.int64), num_clusters)
    return _lloyd(features, centroids, tf.constant(num_iterations))


def nearest_centroid(features: tf.Tensor, centroids: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    """Labels and squared distances of rows to their nearest centroid, without a check.

    Args:
        features: `[rows, dim]`.
        centroids: `[clusters, dim]` of the same type.

    Returns:
        labels: `[rows]` int32, the lower number of equally near ones.
        distances: `[rows]`, squared, >= 0.
    """
    half = tf.reduce_sum(centroids * centroids, axis=1) / 2
    scores = tf.matmul(features, centroids, transpose_b=True) - half
    labels, best = first_largest(scores)
    distances = tf.reduce_sum(features * features, axis=1) - 2 * best
    return labels, tf.maximum(distances, 0)


def cluster_totals(
    features: tf.Tensor, labels: tf.Tensor, num_clusters: int
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Sum and number of the rows of each cluster, without a check.

    Args:
        features: `[rows, dim]`.
        labels: `[rows]` int32 in [0, num_clusters).
        num_clusters: k.

    Returns:
        sums: `[num_clusters, dim]` of the features' type.
        sizes: `[num_clusters]` int32.
    """
    sums = tf.math.unsorted_segment_sum(features, labels, num_clusters)
    return sums, _sizes(labels, num_clusters)


@tf.function(autograph=False)
def _lloyd(features, centroids, num_iterations):
    """Iterations, then labels for the last centroids."""
    num_clusters = centroids.shape[0]

    def step(i, centroids):
        labels, _ = _label_all(features, centroids)
        return i + 1, _means(features, labels, num_clusters)

    state = (tf.constant(0), centroids)
    _, centroids = tf.while_loop(lambda i, _: i < num_iterations, step, state)
    labels, was_empty = _label_all(features, centroids)
    # A centroid that took a row at the very end stands on it; the others have not moved.
    taken = tf.where(was_empty[:, tf.newaxis], _means(features, labels, num_clusters), centroids)
    return taken, labels


def _label_all(features, centroids):
    """Nearest centroids of all rows, but every centroid has one; and which had none."""
    labels, distances = _nearest(features, centroids)
    num_clusters = centroids.shape[0]
    counts = _sizes(labels, num_clusters)

    def step(labels, distances, counts):
        """Gives the first empty cluster the farthest row of those that are not alone."""
        empty = tf.argmax(counts == 0, output_type=tf.int32)
        alone = tf.gather(counts, labels) == 1
        row = tf.argmax(tf.where(alone, -tf.ones_like(distances), distances), output_type=tf.int32)
        change = tf.one_hot([empty], num_clusters, dtype=tf.int32) - tf.one_hot(
            [tf.gather(labels, row)], num_clusters, dtype=tf.int32
        )
        return (
            tf.tensor_scatter_nd_update(labels, [[row]], [empty]),
            tf.tensor_scatter_nd_update(distances, [[row]], tf.zeros([1], distances.dtype)),
            counts + change[0],
        )

    state = (labels, distances, counts)
    labels, *_ = tf.while_loop(
        lambda *state: tf.reduce_any(state[2] == 0), step, state, maximum_iterations=num_clusters
    )
    return labels, counts == 0


def _means(features, labels, num_clusters):
    """Mean of each cluster's rows; no cluster may be empty."""
    sums, sizes = cluster_totals(features, labels, num_clusters)
    return sums / tf.cast(sizes, sums.dtype)[:, tf.newaxis]


def _sizes(labels, num_clusters):
    """Rows of each cluster, `[num_clusters]` int32."""
    return tf.math.unsorted_segment_sum(tf.ones_like(labels), labels, num_clusters)


def _nearest(features, centroids):
    """`nearest_centroid` of all rows, a block at a time."""
    rows, dim = features.shape
    block = _block_rows(rows, centroids.shape[0], features.dtype.size)
    whole = rows // block * block

    def step(i, labels, distances):
        found = nearest_centroid(features[i * block : (i + 1) * block], centroids)
        return i + 1, labels.write(i, found[0]), distances.write(i, found[1])

    arrays = [
        tf.TensorArray(dtype, rows // block, element_shape=[block])
        for dtype in (tf.int32, features.dtype)
    ]
    _, *arrays = tf.while_loop(
        lambda i, *_: i < rows // block, step, (tf.constant(0), *arrays), parallel_iterations=2
    )
    parts = [array.concat() for array in arrays]
    if whole < rows:
        rest = nearest_centroid(features[whole:], centroids)
        parts = [tf.concat([part, tail], axis=0) for part, tail in zip(parts, rest)]
    return [tf.ensure_shape(part, [rows]) for part in parts]


def _block_rows(rows, num_clusters, size):
    """Rows of a block: at least 64, so that products stay efficient."""
    return min(rows, max(64, _BLOCK_BYTES // (num_clusters * size)))


@tf.function(autograph=False)
def _random_rows(features, seed, num_clusters):
    """Distinct rows, each set of them as likely as any other."""
    draws = keyed_uniform(fold_key(seed, tf.range(features.shape[0], dtype=tf.int64)), 1)[:, 0]
    return tf.gather(features, tf.math.top_k(draws, num_clusters).indices)


@tf.function(autograph=False)
def _plus_plus(features, seed, num_clusters):
    """Rows drawn one after the other, in proportion to squared distance from the nearest so far."""
    lengths = tf.reduce_sum(features * features, axis=1)
    keys = fold_key(seed, tf.range(num_clusters, dtype=tf.int64))
    draws = tf.cast(keyed_uniform(keys, 1)[:, 0], tf.float64)

    def step(i, weights, rows):
        # In float64: the sum of a million float32 numbers has lost the small ones.
        sums = tf.cumsum(tf.cast(weights, tf.float64))
        row = tf.searchsorted(sums, [draws[i] * sums[-1]], side="right")[0]
        row = tf.minimum(row, features.shape[0] - 1)
        products = tf.linalg.matvec(features, tf.gather(features, row))
        distances = tf.maximum(lengths - 2 * products + tf.gather(lengths, row), 0)
        # Before the first row all are equally likely.
        weights = tf.where(i == 0, distances, tf.minimum(weights, distances))
        return i + 1, weights, rows.write(i, row)

    rows = tf.TensorArray(tf.int32, num_clusters, element_shape=[])
    state = (tf.constant(0), tf.ones_like(lengths), rows)
    *_, rows = tf.while_loop(lambda i, *_: i < num_clusters, step, state)
    return tf.gather(features, rows.stack())


def _check(features, num_clusters, start, initial_centroids):
    """Raises ValueError for whatever can be seen without reading a feature."""
    shape = features.shape
    if shape.rank != 2 or None in shape or 0 in shape:
        raise ValueError(
            "expected features [rows, dim] of known size, not empty. Received: "
            f"features.shape={shape}."
        )
    if not isinstance(num_clusters, int) or not 1 <= num_clusters <= shape[0]:
        raise ValueError(
            f"expected an integer num_clusters from 1 to the number of rows, {shape[0]}. "
            f"Received: {num_clusters=}."
        )
    if start not in _STARTS:
        raise ValueError(f"expected start to be one of {_STARTS}. Received: {start=}.")
    given = None if initial_centroids is None else tuple(initial_centroids.shape)
    if given not in (None, (num_clusters, shape[1])):
        raise ValueError(
            f"expected initial_centroids [{num_clusters}, {shape[1]}]. Received: "
            f"initial_centroids.shape={given}."
        )
