"""Rows that carry an index, where an index may come more than once: what banks need for scatters.

A scatter of unequal rows to one place leaves the winner open, and a sum of them depends on their
order. Here equal indices get equal rows first, so every order of writing gives the same bits.
Shapes are static throughout: no sorting out of unique values, which XLA cannot compile.
"""

from typing import Tuple

import tensorflow as tf


def last_of_equals(indices: tf.Tensor) -> tf.Tensor:
    """Position of the last entry that equals each entry.

    Args:
        indices: `[batch]` integers.

    Returns:
        `[batch]` int32 positions p >= i with indices[p] = indices[i].

    Notes:
        Compares all pairs: `[batch, batch]` booleans.

    Example:
        >>> last_of_equals(tf.constant([7, 3, 7])).numpy()
        array([2, 1, 2], dtype=int32)
    """
    places = tf.range(tf.shape(indices)[0])
    return tf.reduce_max(tf.where(indices[:, tf.newaxis] == indices, places, -1), axis=1)


def sums_of_equals(indices: tf.Tensor, rows: tf.Tensor, below: int) -> tf.Tensor:
    """For each entry, the sum of the rows of all entries with its index.

    Args:
        indices: `[batch]` integers in [0, below).
        rows: `[batch, ...]` numbers.
        below: a table of so many int32 is made: cheaper than comparing all pairs of a batch where
            indices are not from millions.

    Returns:
        The shape and type of `rows`; equal indices have equal rows, to the bit.
    """
    number = indices.shape[0]
    table = tf.math.unsorted_segment_min(tf.range(number), indices, below)
    first = tf.gather(table, indices)
    return tf.gather(tf.math.unsorted_segment_sum(rows, first, number), first)


def places_of(mask: tf.Tensor, capacity: int) -> Tuple[tf.Tensor, tf.Tensor]:
    """Places of the first True entries: `tf.where` in a fixed number of slots.

    Args:
        mask: `[n]` bool, n known statically.
        capacity: slots; further True entries are left out.

    Returns:
        places: `[capacity]` int32, ascending; slots that are not needed repeat the first place (0
            where there is none).
        valid: `[capacity]` bool, which slots are needed.
    """
    order = tf.cumsum(tf.cast(mask, tf.int32)) - 1
    slots = tf.where(mask & (order < capacity), order, capacity)
    # Every slot but the spare one has one entry, so the maximum is that entry.
    places = tf.math.unsorted_segment_max(tf.range(mask.shape[0]), slots, capacity + 1)[:capacity]
    valid = tf.range(capacity) <= order[-1]
    return tf.where(valid, places, tf.maximum(places[0], 0)), valid
