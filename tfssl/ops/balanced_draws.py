"""Draws that take every cluster as often, whatever its size."""

import numpy as np
import tensorflow as tf

from tfssl.ops.keyed_random import fold_key, keyed_integers


def balanced_draws(labels: np.ndarray, *, key: tf.Tensor) -> np.ndarray:
    """As many places of a list of labels as it has, every label that occurs as often as any other.

    Of each of the c labels that occur, n / c + 1 places are drawn, without replacement where it has
    so many, else with replacement; all of them are shuffled and cut to n. This is the sampler of
    DeepCluster's code (Caron et al. 2018, arXiv 1807.05520, section 3.3).

    Args:
        labels: `[n]` integers, n >= 1.
        key: scalar int64, see `fold_key`; the same key gives the same draws.

    Returns:
        `[n]` int64 places in the list.
    """
    _, labels, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    count, each = len(labels), len(labels) // len(sizes) + 1
    # The places of one label after those of another, in random order.
    members = np.lexsort((_bits(key, 0, count), labels))
    first = np.cumsum(sizes) - sizes
    numbers = tf.range(len(sizes), dtype=tf.int64)
    again = keyed_integers(fold_key(key, 1, numbers), each, below=tf.constant(sizes[:, np.newaxis]))
    ranks = np.where(sizes[:, np.newaxis] >= each, np.arange(each), again)
    drawn = members[first[:, np.newaxis] + ranks].ravel()
    return drawn[np.argsort(_bits(key, 2, len(drawn)), kind="stable")][:count]


def _bits(key: tf.Tensor, stream: int, number: int) -> np.ndarray:
    """`[number]` random integers."""
    return fold_key(key, stream, tf.range(number, dtype=tf.int64)).numpy()
