"""Negatives: entries of a bank that are of other clusters than an anchor, and their similarity.

InterCLR, Xie et al., arXiv 2008.11702, section 3.3. Every draw is keyed: the same key gives the
same records, on every replica and after a resume.
"""

from typing import NamedTuple, Optional, Union

import tensorflow as tf

from tfssl.ops.bank_scores import bank_scores
from tfssl.ops.checks import at_least_float32
from tfssl.ops.keyed_random import fold_key, keyed_integers, keyed_uniform
from tfssl.ops.largest import largest_mask
from tfssl.ops.rows_by_index import places_of

# Share of the other clusters' records that semi-hard and semi-easy negatives are drawn from.
_POOL = 0.1
SAMPLERS = ("hard", "semi_hard", "random", "semi_easy")

# A variable is read by rows, never as a whole.
Bank = Union[tf.Tensor, tf.Variable]


class Negatives(NamedTuple):
    """Candidates for negatives, and which of them each anchor takes.

    Attributes:
        scores: `[batch, n]` cosines, at least float32, with gradient to the anchors.
        counts: `[batch, n]` or `[batch, 1]` int32, how often each is a negative of an anchor.
        indices: int32 records; `[n]`, shared by all anchors, or `[batch, n]`. None: the whole bank.
    """

    scores: tf.Tensor
    counts: tf.Tensor
    indices: Optional[tf.Tensor]


def sample_negatives(
    sampler: str,
    bank: Bank,
    labels: tf.Tensor,
    anchors: tf.Tensor,
    anchor_labels: tf.Tensor,
    *,
    num_negatives: int,
    key: tf.Tensor,
    keys: tf.Tensor,
    exact: bool = False,
) -> Negatives:
    """K entries of other clusters for every anchor, by the name of a sampler.

    Args:
        sampler: "hard", the K nearest; "semi_hard", K of the nearest tenth; "random", K of all;
            "semi_easy", K of the farthest tenth.
        bank: `[records, dim]` unit rows.
        labels: `[records]` int32, the cluster of every record, below records.
        anchors: `[batch, dim]` unit rows.
        anchor_labels: `[batch]` int32.
        num_negatives: K >= 1.
        key: scalar int64, the same on every replica.
        keys: `[batch]` int64, one for each anchor.
        exact: draw semi-hard and semi-easy negatives from the whole bank. Otherwise a subset is
            looked at, unless the bank has fewer than 10 K entries.

    Returns:
        See `Negatives`. An anchor whose cluster is the whole bank has none.

    Raises:
        ValueError: an unknown sampler.
    """
    arguments = (bank, labels, anchors, anchor_labels)
    if sampler == "random":
        return random_negatives(*arguments, num_negatives=num_negatives, keys=keys)
    if sampler == "hard":
        return pool_negatives(*arguments, num_negatives=num_negatives, keys=keys, share=None)
    if sampler not in SAMPLERS:
        raise ValueError(f"expected a sampler of {', '.join(SAMPLERS)}. Received: {sampler!r}.")
    easy = sampler == "semi_easy"
    if exact or _subset_size(num_negatives) > labels.shape[0]:
        return pool_negatives(*arguments, num_negatives=num_negatives, keys=keys, easy=easy)
    return subset_negatives(*arguments, num_negatives=num_negatives, key=key, keys=keys, easy=easy)


def random_negatives(
    bank: Bank,
    labels: tf.Tensor,
    anchors: tf.Tensor,
    anchor_labels: tf.Tensor,
    *,
    num_negatives: int,
    keys: tf.Tensor,
) -> Negatives:
    """Records of other clusters, drawn uniformly with replacement, for each anchor its own.

    Args:
        bank, labels, anchors, anchor_labels, num_negatives, keys: as for `sample_negatives`.

    Returns:
        Scores and indices `[batch, K]`; counts `[batch, 1]`, 0 for an anchor whose cluster is the
        whole bank.

    Notes:
        The records are sorted by cluster once. Drawing again whatever is of the own cluster would
        be cheaper while clusters are small, and never end where one holds nearly the whole bank.
    """
    records = labels.shape[0]
    # A cluster goes by its first record, so that its number does not matter.
    names = tf.math.unsorted_segment_min(tf.range(records), labels, records)
    named = tf.gather(names, labels)
    order = tf.argsort(named)
    ordered = tf.gather(named, order)
    name = tf.gather(names, anchor_labels)
    first = tf.searchsorted(ordered, name, side="left")
    own = tf.searchsorted(ordered, name, side="right") - first
    others = (records - own)[:, tf.newaxis]
    places = keyed_integers(keys, num_negatives, below=tf.maximum(others, 1))
    # Places from the own cluster's on move behind it.
    places += tf.where(places >= first[:, tf.newaxis], own[:, tf.newaxis], 0)
    indices = tf.gather(order, tf.minimum(places, records - 1))
    counts = tf.cast(others > 0, tf.int32)
    return Negatives(bank_scores(anchors, bank, indices), counts, indices)


def subset_negatives(
    bank: Bank,
    labels: tf.Tensor,
    anchors: tf.Tensor,
    anchor_labels: tf.Tensor,
    *,
    num_negatives: int,
    key: tf.Tensor,
    keys: tf.Tensor,
    easy: bool = False,
) -> Negatives:
    """Semi-hard negatives at the cost of a tenth of the bank: the nearest of a random subset.

    A subset of 10 K records is drawn without replacement, for all anchors of the batch; without
    those of its own cluster, an anchor's K nearest are its negatives. For one anchor that is a
    uniform draw of K records from a pool of the nearest, whose share of the bank is 10 % with a
    standard deviation of sqrt(0.09 / 10K). Of the other clusters' records the pool is a larger
    share where the own cluster is large: 10 % / (1 - its share of the bank).

    Args:
        bank, labels, anchors, anchor_labels: as for `sample_negatives`.
        num_negatives: K; 10 K <= records.
        key, keys: as for `sample_negatives`.
        easy: the farthest instead of the nearest: semi-easy negatives.

    Returns:
        Scores `[batch, 10 K]`; counts likewise, K in sum; indices `[10 K]`. An anchor whose cluster
        is so large that fewer than K records of the subset are of others draws from those with
        replacement; one that meets no other cluster has none.
    """
    indices = _subset(labels.shape[0], _subset_size(num_negatives), key)
    scores = _scores(anchors, tf.gather(bank, indices))
    others = tf.gather(labels, indices) != anchor_labels[:, tf.newaxis]
    available = tf.reduce_sum(tf.cast(others, tf.int32), axis=1)
    chosen = largest_mask(_order(scores, easy), tf.constant(num_negatives), allowed=others)
    return Negatives(scores, _counts(others, available, chosen, num_negatives, keys), indices)


def pool_negatives(
    bank: Bank,
    labels: tf.Tensor,
    anchors: tf.Tensor,
    anchor_labels: tf.Tensor,
    *,
    num_negatives: int,
    keys: tf.Tensor,
    share: Optional[float] = _POOL,
    easy: bool = False,
) -> Negatives:
    """K records drawn from the pool of those nearest to each anchor, by the paper's definition.

    The pool of an anchor is the given share of all records of other clusters, at least one. Where
    it holds K records or more, they are drawn without replacement, else with replacement.

    Args:
        bank, labels, anchors, anchor_labels, num_negatives, keys: as for `sample_negatives`.
        share: of the other clusters' records; None for a pool of the K nearest, which are hard
            negatives.
        easy: the farthest instead of the nearest: semi-easy negatives.

    Returns:
        Scores `[batch, records]`; counts likewise, K in sum, or 0 for an anchor whose cluster is
        the whole bank; indices None.

    Notes:
        Memory: several `[batch, records]` of 4 and 8 bytes; at 1.28 million records 1.3 and 2.6 GB
        each for 256 anchors.
    """
    others = labels != anchor_labels[:, tf.newaxis]
    available = tf.reduce_sum(tf.cast(others, tf.int32), axis=1)
    if share is None:
        wanted = tf.minimum(available, num_negatives)
    else:
        wanted = tf.cast(tf.round(share * tf.cast(available, tf.float32)), tf.int32)
        wanted = tf.minimum(tf.maximum(wanted, 1), available)
    scores = _scores(anchors, tf.convert_to_tensor(bank))
    pool = largest_mask(_order(scores, easy), wanted, allowed=others)
    draws = keyed_uniform(keys, labels.shape[0])
    once = largest_mask(draws, tf.constant(num_negatives), allowed=pool)
    return Negatives(scores, _counts(pool, wanted, once, num_negatives, keys), None)


def _subset(size, number, key):
    """`[number]` distinct records below size, every subset as likely as any other."""
    records = tf.range(size, dtype=tf.int64)
    draws = keyed_uniform(fold_key(key, records), 1)[:, 0]
    mask = largest_mask(draws[tf.newaxis], tf.constant(number))[0]
    return places_of(mask, number)[0]


def _subset_size(num_negatives):
    """How many records a subset has, of which the nearest K are a tenth."""
    return round(num_negatives / _POOL)


def _scores(anchors, rows):
    """`[batch, n]` cosines; no gradient flows to the rows."""
    anchors = at_least_float32(anchors)
    rows = tf.cast(tf.stop_gradient(rows), anchors.dtype)
    return tf.matmul(anchors, rows, transpose_b=True)


def _order(scores, easy):
    """What is largest for the record to take first: float32, without gradient."""
    scores = tf.cast(tf.stop_gradient(scores), tf.float32)
    return -scores if easy else scores


def _counts(pool, sizes, once, num_negatives, keys):
    """How often each candidate counts: once where marked, unless a pool is smaller than K."""
    return tf.cond(
        tf.reduce_all(sizes >= num_negatives),
        lambda: tf.cast(once, tf.int32),
        lambda: _fill_up(pool, sizes, once, num_negatives, keys),
    )


def _fill_up(pool, sizes, once, num_negatives, keys):
    """Counts of K draws with replacement for the rows whose pool is smaller than K."""
    small = (sizes < num_negatives)[:, tf.newaxis]
    batch, _ = pool.shape
    # The draws of rows with a larger pool are not used, but must not fall into the next row.
    below = tf.clip_by_value(sizes, 1, num_negatives)[:, tf.newaxis]
    ranks = keyed_integers(keys, num_negatives, below=below, stream=1)
    cells = tf.range(batch)[:, tf.newaxis] * num_negatives + ranks
    drawn = tf.math.unsorted_segment_sum(
        tf.ones_like(tf.reshape(cells, [-1])), tf.reshape(cells, [-1]), batch * num_negatives
    )
    # The pool's records in order: the first has rank 0.
    rank = tf.minimum(tf.cumsum(tf.cast(pool, tf.int32), axis=1) - 1, num_negatives - 1)
    counts = tf.gather(tf.reshape(drawn, [batch, -1]), tf.maximum(rank, 0), batch_dims=1)
    return tf.where(small, tf.where(pool, counts, 0), tf.cast(once, tf.int32))
