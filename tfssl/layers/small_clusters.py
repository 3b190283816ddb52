"""Small clusters are dissolved, and large ones split in their place.

ODC, Zhan, Xie, Liu, Ong, Loy 2020, arXiv 2006.10645, section 3.3, as InterCLR's code runs it after
every step.
"""

from typing import NamedTuple

import tensorflow as tf

from tfssl import ops

# Iterations of 2-means in a split, and the most rows it looks at.
_ITERATIONS = 20
_MAX_ROWS = 8192


class Clustering(NamedTuple):
    """Labels `[records]`, sums `[k, dim]`, sizes `[k]` and centroids `[k, dim]` of a bank."""

    labels: tf.Tensor
    sums: tf.Tensor
    sizes: tf.Tensor
    centroids: tf.Tensor


@tf.function(autograph=False)
def replace_small(features: tf.Tensor, state: Clustering, min_cluster: int) -> Clustering:
    """Dissolves every cluster with fewer than `min_cluster` rows and splits the largest instead.

    The rows of small clusters join the cluster, among those that are not small, whose centroid has
    the largest dot product with them. Then each number that is free goes to a part of the cluster
    that is largest at that moment, found by 2-means. Centroids of the two parts are exact means;
    those of clusters which only received rows keep until they are next published.

    Args:
        features: `[records, dim]` rows of the bank.
        state: the clustering, with sizes and sums that are right.
        min_cluster: a Python integer >= 1, at most half the mean size: some cluster is large.

    Returns:
        The new clustering; the same where no cluster was small.

    Notes:
        A split reads the whole bank three times. 2-means looks at about 8,192 rows of a larger
        cluster, from all over the bank; all its rows then go to the nearer part. A part may be
        small itself: it is found at the next call.
    """
    small = state.sizes < min_cluster
    order = tf.argsort(tf.cast(~small, tf.int32), stable=True)
    rounds = tf.reduce_sum(tf.cast(small, tf.int32))

    def for_each(change, state):
        def step(i, *state):
            # `order[i]` would do, but XLA takes such an index for a constant and compiles for each.
            return (i + 1, *change(Clustering(*state), tf.gather(order, i)))

        _, *state = tf.while_loop(lambda i, *_: i < rounds, step, (tf.constant(0), *state))
        return Clustering(*state)

    state = for_each(lambda s, number: _dissolve(features, s, number, small, min_cluster), state)
    return for_each(lambda s, number: _split_largest(features, s, number), state)


def _dissolve(features, state, number, small, min_cluster):
    """Moves the rows of one small cluster to clusters that are not."""
    places, valid = ops.places_of(state.labels == number, min_cluster)
    rows = tf.gather(features, places)
    scores = tf.matmul(tf.cast(rows, state.centroids.dtype), state.centroids, transpose_b=True)
    best = tf.argmax(tf.where(small, scores.dtype.min, scores), axis=1, output_type=tf.int32)
    # Places beyond the members repeat the first one, or a record that keeps its label.
    spare = tf.where(valid[0], best[0], tf.gather(state.labels, places[0]))
    best = tf.where(valid, best, spare)
    labels = tf.tensor_scatter_nd_update(state.labels, places[:, tf.newaxis], best)
    weights = tf.cast(valid, tf.int32)
    sums = state.sums + tf.math.unsorted_segment_sum(
        tf.cast(rows, state.sums.dtype) * tf.cast(weights, state.sums.dtype)[:, tf.newaxis],
        best,
        state.sums.shape[0],
    )
    sizes = state.sizes + tf.math.unsorted_segment_sum(weights, best, state.sizes.shape[0])
    return Clustering(
        labels, _with_row(sums, number, 0.0), _with_row(sizes, number, 0), state.centroids
    )


def _split_largest(features, state, number):
    """Gives a free number to a part of the largest cluster."""
    largest = tf.argmax(state.sizes, output_type=tf.int32)
    inside = state.labels == largest
    number_of_row = tf.cumsum(tf.cast(inside, tf.int32)) - 1
    # Every how many rows of the cluster 2-means takes one.
    stride = 1 + (tf.gather(state.sizes, largest) - 1) // _MAX_ROWS
    seen = inside & (number_of_row % stride == 0)
    places, valid = ops.places_of(seen, min(_MAX_ROWS, features.shape[0]))
    rows = tf.cast(tf.gather(features, places), state.centroids.dtype)
    one, two = _two_means(rows, tf.cast(valid, rows.dtype))
    # Nearer to the second centroid: above the plane half way between them.
    features = tf.cast(features, rows.dtype)
    heights = tf.linalg.matvec(features, two - one)
    second = inside & (heights > tf.reduce_sum((two - one) * (two + one)) / 2)
    # Rows that cannot be told apart are dealt out in turn.
    size = tf.reduce_sum(tf.cast(second, tf.int32))
    useless = (size == 0) | (size == tf.gather(state.sizes, largest))
    in_turn = inside & (number_of_row % 2 == 1)
    second = tf.where(useless, in_turn, second)
    labels = tf.where(second, number, state.labels)

    parts = tf.stack([inside & ~second, second])
    sums = tf.matmul(tf.cast(parts, features.dtype), features)
    sizes = tf.reduce_sum(tf.cast(parts, tf.int32), axis=1)
    means = sums / tf.cast(sizes, sums.dtype)[:, tf.newaxis]
    pair = tf.stack([largest, number])[:, tf.newaxis]
    return Clustering(
        labels,
        tf.tensor_scatter_nd_update(state.sums, pair, sums),
        tf.tensor_scatter_nd_update(state.sizes, pair, sizes),
        tf.tensor_scatter_nd_update(state.centroids, pair, means),
    )


def _two_means(rows, weights):
    """Two centroids after Lloyd's iterations, from two rows that are far apart.

    Args:
        rows: `[rows, dim]`.
        weights: `[rows]`, 1 for a row that counts and 0 for one that does not.
    """
    column = weights[:, tf.newaxis]
    middle = tf.reduce_sum(rows * column, axis=0) / tf.maximum(tf.reduce_sum(weights), 1)

    def farthest(point):
        distances = tf.reduce_sum((rows - point) ** 2, axis=1)
        return tf.gather(rows, tf.argmax(tf.where(weights > 0, distances, -1.0)))

    one = farthest(middle)
    two = farthest(one)

    def step(i, one, two):
        near = tf.reduce_sum((rows - one) ** 2, axis=1) <= tf.reduce_sum((rows - two) ** 2, axis=1)
        shares = tf.stack(
            [weights * tf.cast(near, rows.dtype), weights * tf.cast(~near, rows.dtype)]
        )
        counts = tf.reduce_sum(shares, axis=1, keepdims=True)
        means = tf.matmul(shares, rows) / tf.maximum(counts, 1)
        means = tf.where(counts > 0, means, tf.stack([one, two]))
        return i + 1, means[0], means[1]

    state = (tf.constant(0), one, two)
    _, one, two = tf.while_loop(lambda i, *_: i < _ITERATIONS, step, state)
    return one, two


def _with_row(table, number, value):
    """The table with one row set to a value."""
    chosen = tf.range(table.shape[0]) == number
    if table.shape.rank == 2:
        chosen = chosen[:, tf.newaxis]
    return tf.where(chosen, tf.cast(value, table.dtype), table)
