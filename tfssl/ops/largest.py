"""The largest of each row, one or k, without a sort."""

from typing import Optional, Tuple

import tensorflow as tf

# As an integer, below every float32.
_LOWEST = int(tf.int32.min)
# Scores that `first_largest` compares as one group, at most and at least.
_GROUP, _SMALLEST_GROUP = 64, 16


def first_largest(scores: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    """Where the largest score of every row is, of equal ones the first, and its value.

    Args:
        scores: `[batch, n]` floating, finite, n >= 1 known statically.

    Returns:
        columns: `[batch]` int32.
        values: `[batch]` of the scores' type.

    Notes:
        The largest of each group of columns is found first, then the group, then the column in it:
        one pass over the scores that compares many at a time. `tf.argmax` takes about three times
        as long for a thousand columns.
    """
    number = scores.shape[1]
    widths = (w for w in range(_GROUP, _SMALLEST_GROUP - 1, -1) if number % w == 0)
    width = next(widths, None)
    if width is None:
        width = min(number, _GROUP)
        spare = [[0, 0], [0, -number % width]]
        scores = tf.pad(scores, spare, constant_values=scores.dtype.min)
    groups = tf.reshape(scores, [-1, scores.shape[1] // width, width])
    group = tf.argmax(tf.reduce_max(groups, axis=2), axis=1, output_type=tf.int32)
    members = tf.gather(groups, group, batch_dims=1)
    place = tf.argmax(members, axis=1, output_type=tf.int32)
    return group * width + place, tf.reduce_max(members, axis=1)


def largest_mask(
    scores: tf.Tensor, k: tf.Tensor, *, allowed: Optional[tf.Tensor] = None
) -> tf.Tensor:
    """Marks the k largest allowed scores of every row; of equal ones those that come first.

    Args:
        scores: `[batch, n]` float32, finite.
        k: scalar or `[batch]` int32 >= 0, how many in a row. Where fewer are allowed, all of them.
        allowed: `[batch, n]` bool, which scores may be marked; None for all.

    Returns:
        `[batch, n]` bool.

    Notes:
        Bisects the bits of the dividing value, for all rows at once: at most 32 passes over the
        scores, usually as many as n has binary digits, and no memory beside the mask and one copy.
        `top_k` sorts, which costs more from a few hundred values on.
    """
    ordered = _ordered(scores)
    if allowed is not None:
        ordered = tf.where(allowed, ordered, _LOWEST)
    k = tf.broadcast_to(tf.cast(k, tf.int32), tf.shape(scores)[:1])
    bound, above = _divide(ordered, k)
    missing = k - above
    marked = ordered > bound[:, tf.newaxis]

    def with_equals():
        """Fills up with the first of those that are equal to the bound."""
        equal = (ordered == bound[:, tf.newaxis]) & (ordered > _LOWEST)
        place = tf.cumsum(tf.cast(equal, tf.int32), axis=1)
        return marked | (equal & (place <= missing[:, tf.newaxis]))

    return tf.cond(tf.reduce_any(missing > 0), with_equals, lambda: marked)


@tf.function(jit_compile=True, autograph=False)
def _ordered(scores):
    """Integers in the order of the floats; 0.0 and -0.0 are one."""
    bits = tf.where(scores == 0, 0, tf.bitcast(scores, tf.int32))
    return tf.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


@tf.function(jit_compile=True, autograph=False)
def _divide(ordered, k):
    """The least bound that at most k values of a row exceed, and how many do, `[batch]` each."""
    low = tf.fill(tf.shape(k), tf.constant(_LOWEST - 1, tf.int64))
    high = tf.cast(tf.reduce_max(ordered, axis=1), tf.int64)

    def searching(low, high, above):
        return (high - low > 1) & (above != k)

    def step(low, high, above):
        middle = (low + high) // 2
        exceeds = ordered > tf.cast(middle, tf.int32)[:, tf.newaxis]
        count = tf.reduce_sum(tf.cast(exceeds, tf.int32), axis=1)
        # A row that has its bound keeps it.
        search = searching(low, high, above)
        lower, raise_ = search & (count <= k), search & (count > k)
        return (
            tf.where(raise_, middle, low),
            tf.where(lower, middle, high),
            tf.where(lower, count, above),
        )

    _, high, above = tf.while_loop(
        lambda *state: tf.reduce_any(searching(*state)), step, (low, high, tf.zeros_like(k))
    )
    return tf.cast(high, tf.int32), above
