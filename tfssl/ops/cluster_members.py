"""Positives: for every anchor another record of its cluster.

InterCLR, Xie et al., arXiv 2008.11702, section 3.1.
"""

from typing import Optional

import tensorflow as tf

from tfssl.ops.keyed_random import fold_key, keyed_bits

# Bits of a record's number beside its random key in one int64.
_INDEX_BITS = 31


def cluster_members(
    labels: tf.Tensor,
    anchor_labels: tf.Tensor,
    *,
    key: tf.Tensor,
    num_clusters: int,
    exclude: Optional[tf.Tensor] = None,
) -> tf.Tensor:
    """For every anchor, a record drawn uniformly from its cluster, independent of other anchors.

    Args:
        labels: `[records]` int32.
        anchor_labels: `[batch]` int32; the clusters have at least one record.
        key: scalar int64.
        num_clusters: k.
        exclude: `[batch]` int32 records that are not drawn where their cluster has another one:
            the anchors themselves.

    Returns:
        `[batch]` int32 records.

    Notes:
        Every record gets a random number, and a cluster's largest wins: one pass over the labels
        serves one anchor of every cluster. There are as many passes as anchors of the cluster
        that has most of them.
    """
    records = tf.range(labels.shape[0], dtype=tf.int64)
    equal = anchor_labels[:, tf.newaxis] == anchor_labels
    # How many anchors of the same cluster come before.
    turn = tf.reduce_sum(tf.cast(tf.linalg.band_part(equal, -1, 0), tf.int32), axis=1) - 1

    def step(now, drawn):
        ranked = _ranked(fold_key(key, now, records), records)
        if exclude is not None:
            marked = _marked(exclude, turn == now, labels.shape[0])
            ranked = tf.where(marked, tf.constant(-1, ranked.dtype), ranked)
        best = tf.gather(tf.math.unsorted_segment_max(ranked, labels, num_clusters), anchor_labels)
        member = tf.cast(best % 2**_INDEX_BITS, tf.int32)
        if exclude is not None:
            member = tf.where(best < 0, exclude, member)
        return now + 1, tf.where(turn == now, member, drawn)

    state = (tf.constant(0), tf.zeros_like(anchor_labels))
    last = tf.reduce_max(turn)
    _, drawn = tf.while_loop(lambda now, _: now <= last, step, state)
    return drawn


def _ranked(keys, records):
    """Random numbers that carry their record's number in the low bits, >= 0."""
    bits = tf.bitcast(keyed_bits(keys, 1)[:, 0], tf.uint64)
    high = tf.bitcast(tf.bitwise.right_shift(bits, tf.constant(32, tf.uint64)), tf.int64)
    return high * 2**_INDEX_BITS + records


def _marked(indices, which, size):
    """`[size]` bool, True at those of the indices."""
    places = tf.where(which, indices, size)
    marks = tf.math.unsorted_segment_max(tf.ones_like(places), places, size + 1)
    return marks[:size] > 0
