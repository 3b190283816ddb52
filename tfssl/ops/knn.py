"""Weighted nearest-neighbour vote by cosine similarity.

Wu, Xiong, Yu, Lin 2018, arXiv 1805.01978, section 3.4; as DINO evaluates it (Caron et al. 2021,
arXiv 2104.14294).
"""

import tensorflow as tf

from tfssl.ops.checks import asserted, at_least_float32

# Similarities of this many test rows with this many training rows are in memory at a time, 64 MB.
_TEST_ROWS = 1024
_TRAIN_ROWS = 16384
# Neighbours are searched among the groups of this many rows that have the largest maxima.
_GROUP = 32
# exp of more than this overflows float32 when it is summed.
_MAX_EXPONENT = 80.0


def knn_vote(
    train_features: tf.Tensor,
    train_labels: tf.Tensor,
    test_features: tf.Tensor,
    *,
    num_classes: int,
    k: int = 20,
    temperature: float = 0.07,
) -> tf.Tensor:
    """Scores of classes: the sum of exp(cosine / temperature) over a row's k nearest neighbours.

    Rows are L2-normalised here; a row of zeros has similarity 0 with everything. Of training rows
    with equal similarity the ones with the lower index are nearer.

    Args:
        train_features: `[train, dim]` floating tensor or array. Blocks of rows are read one at a
            time, so that an array larger than the memory for tensors will do. Half precision is
            computed in float32.
        train_labels: `[train]` integers in [0, num_classes).
        test_features: `[test, dim]` floating tensor or array.
        num_classes: >= 1.
        k: number of neighbours, 1 to train.
        temperature: >= 0.0125, below which float32 overflows.

    Returns:
        `[test, num_classes]` scores >= 0, float32 (float64 for float64 training features). They
        are not normalised; `argmax` is the prediction.

    Raises:
        ValueError: shapes that do not fit, k > train, or a setting out of range.
        tf.errors.InvalidArgumentError: a label outside [0, num_classes).

    Notes:
        Plain graph code: sorting out the largest values is slower under XLA on CPU. Memory beside
        the arguments: 64 MB of similarities and `[1024, num_classes]` scores at a time.

    Example:
        >>> train = tf.constant([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
        >>> test = tf.constant([[0.0, 2.0]])
        >>> knn_vote(train, [0, 0, 1], test, num_classes=2, k=1, temperature=1.0).numpy()
        array([[0.       , 2.7182817]], dtype=float32)
    """
    train_labels = tf.convert_to_tensor(train_labels)
    _check(train_features, train_labels, test_features, num_classes, k, temperature)
    train_labels = tf.cast(train_labels, tf.int32)
    train_labels = asserted(
        train_labels,
        tf.reduce_all((train_labels >= 0) & (train_labels < num_classes)),
        f"knn_vote: expected labels in [0, {num_classes}). Received:",
        train_labels,
    )
    scores = []
    for begin in range(0, test_features.shape[0], _TEST_ROWS):
        queries = _unit_rows(test_features[begin : begin + _TEST_ROWS])
        similarities, indices = _nearest(train_features, queries, k)
        scores.append(
            _vote(similarities, tf.gather(train_labels, indices), num_classes, temperature)
        )
    return tf.concat(scores, axis=0)


def _nearest(train_features, queries, k):
    """Similarities and indices `[rows, k]` of the nearest training rows, nearest first."""
    similarities = indices = None
    for begin in range(0, train_features.shape[0], _TRAIN_ROWS):
        block = _unit_rows(train_features[begin : begin + _TRAIN_ROWS])
        block_similarities, block_indices = _nearest_in_block(block, queries, k)
        block_indices += begin
        if similarities is None:
            similarities, indices = block_similarities, block_indices
        else:
            # Earlier blocks first: of equal values, top_k takes the first.
            similarities, indices = _merge(
                tf.concat([similarities, block_similarities], axis=1),
                tf.concat([indices, block_indices], axis=1),
                k,
            )
    return similarities, indices


@tf.function(autograph=False, reduce_retracing=True)
def _unit_rows(rows):
    """Rows of length 1, at least in float32; rows of zeros stay."""
    rows = at_least_float32(rows)
    # Not l2_normalize, which shortens rows whose length is below 1e-6.
    return tf.math.divide_no_nan(rows, tf.norm(rows, axis=1, keepdims=True))


@tf.function(autograph=False)
def _nearest_in_block(block, queries, k):
    """The k nearest rows of a block, or all of them where it has fewer.

    The k largest values lie in the k groups with the largest maxima. With group indices in
    ascending order equal values keep the order of their indices: groups above the k-th value are
    all there, and of those that only reach it the first ones are.
    """
    similarities = tf.matmul(tf.cast(queries, block.dtype), block, transpose_b=True)
    size = block.shape[0]
    if size <= 2 * k * _GROUP:
        return tf.math.top_k(similarities, min(k, size))
    # Below any cosine.
    padded = tf.pad(similarities, [[0, 0], [0, -size % _GROUP]], constant_values=-2.0)
    grouped = tf.reshape(padded, [-1, padded.shape[1] // _GROUP, _GROUP])
    groups = tf.sort(tf.math.top_k(tf.reduce_max(grouped, axis=2), k).indices, axis=1)
    candidates = tf.reshape(tf.gather(grouped, groups, batch_dims=1), [-1, k * _GROUP])
    values, places = tf.math.top_k(candidates, k)
    return values, tf.gather(groups, places // _GROUP, batch_dims=1) * _GROUP + places % _GROUP


@tf.function(autograph=False)
def _merge(similarities, indices, k):
    """The k largest of two sorted lists side by side."""
    values, places = tf.math.top_k(similarities, min(k, similarities.shape[1]))
    return values, tf.gather(indices, places, batch_dims=1)


@tf.function(autograph=False)
def _vote(similarities, labels, num_classes, temperature):
    """Adds up the weights by row and class."""
    rows = tf.shape(labels)[0]
    cells = tf.range(rows)[:, tf.newaxis] * num_classes + labels
    weights = tf.exp(similarities / temperature)
    scores = tf.math.unsorted_segment_sum(
        tf.reshape(weights, [-1]), tf.reshape(cells, [-1]), rows * num_classes
    )
    return tf.reshape(scores, [-1, num_classes])


def _check(train_features, train_labels, test_features, num_classes, k, temperature):
    """Raises ValueError for whatever can be seen without reading a feature."""
    shapes = tuple(train_features.shape), tuple(test_features.shape)
    if not all(len(s) == 2 and None not in s and 0 not in s for s in shapes):
        raise ValueError(
            "expected train_features and test_features [rows, dim] of known size, not empty. "
            f"Received: train_features.shape={shapes[0]}, test_features.shape={shapes[1]}."
        )
    if shapes[0][1] != shapes[1][1]:
        raise ValueError(
            "expected features of one dimension. Received: "
            f"train_features.shape={shapes[0]}, test_features.shape={shapes[1]}."
        )
    if train_labels.shape != shapes[0][:1] or not train_labels.dtype.is_integer:
        raise ValueError(
            f"expected {shapes[0][0]} integer labels. Received: "
            f"train_labels.shape={train_labels.shape}, dtype={train_labels.dtype.name}."
        )
    if num_classes < 1:
        raise ValueError(f"expected num_classes >= 1. Received: {num_classes=}.")
    if not 1 <= k <= shapes[0][0]:
        raise ValueError(
            f"expected k from 1 to the number of training rows, {shapes[0][0]}. Received: {k=}."
        )
    if not 1.0 / _MAX_EXPONENT <= temperature < float("inf"):
        raise ValueError(
            f"expected a finite temperature >= {1.0 / _MAX_EXPONENT}. Received: {temperature=}."
        )
