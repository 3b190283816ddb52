"""Draws of some numbers more often than of others, at the cost of equally likely ones.

Walker 1977, "An efficient method for generating discrete random variables with general
distributions"; in the code of CMC, Tian, Krishnan, Isola, arXiv 1906.05849, where all weights are
equal and `keyed_integers` draws the same way.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfssl.ops.keyed_random import fold_key, keyed_integers, keyed_uniform


class AliasTable(NamedTuple):
    """What `keyed_weighted_integers` draws from.

    Attributes:
        kept: `[n]` float32 in [0, 1], the chance that a number which was drawn is kept.
        alias: `[n]` int32, the number that takes its place otherwise.
    """

    kept: tf.Tensor
    alias: tf.Tensor


def alias_table(weights: Any) -> AliasTable:
    """Divides weights into pairs of a number and its alias that are all equally likely.

    Args:
        weights: `[n]` numbers >= 0 whose sum is above 0; they need not sum to 1. n in 1..2**31.

    Raises:
        ValueError: other weights.

    Notes:
        Made once, in Python: about a second for a million weights.
    """
    weights = np.asarray(weights, np.float64)
    total = weights.sum()
    if weights.ndim != 1 or not (total > 0 and np.all(weights >= 0) and np.isfinite(total)):
        raise ValueError(
            "expected finite weights [n], all >= 0 and not all 0. Received: "
            f"shape={weights.shape}, sum={total:g}."
        )
    kept = len(weights) * weights / total
    alias = np.arange(len(weights))
    small, large = list(np.flatnonzero(kept < 1)), list(np.flatnonzero(kept >= 1))
    while small and large:
        less, more = small.pop(), large.pop()
        alias[less] = more
        kept[more] -= 1 - kept[less]
        (small if kept[more] < 1 else large).append(more)
    # What is left should be 1 and has been rounded.
    kept[small + large] = 1
    return AliasTable(tf.constant(kept, tf.float32), tf.constant(alias, tf.int32))


def keyed_weighted_integers(keys: tf.Tensor, num_draws: int, table: AliasTable) -> tf.Tensor:
    """Draws numbers as often as their weights say, with replacement.

    Args:
        keys: integer keys `[...]`, usually `[batch]` from `fold_key`.
        num_draws: draws for each key, a Python int >= 0.
        table: of `alias_table`.

    Returns:
        `[..., num_draws]` int32 in [0, n). Chances are right to about 2**-24 / n.

    Raises:
        ValueError: num_draws is negative.
    """
    drawn = keyed_integers(fold_key(keys, 0), num_draws, below=table.kept.shape[0])
    kept = keyed_uniform(fold_key(keys, 1), num_draws) < tf.gather(table.kept, drawn)
    return tf.where(kept, drawn, tf.gather(table.alias, drawn))
