"""Pooling of a map of any size to a map of a given size, with PyTorch's overlapping bins."""

from typing import Callable

import tensorflow as tf

from tfssl.ops.checks import at_least_float32


def adaptive_max_pool(maps: tf.Tensor, side: int) -> tf.Tensor:
    """Maximum of each of `side` x `side` overlapping bins of a map.

    Bin i of o along an axis of n cells goes from floor(i n / o) to ceil((i + 1) n / o), the end not
    included.

    Args:
        maps: `[batch, height, width, channels]` floating; height and width are static.
        side: height and width of the result, at least 1; larger ones than the map's repeat cells.

    Returns:
        `[batch, side, side, channels]` float32 (float64 for float64 maps).

    Raises:
        ValueError: maps of another rank or of unknown size, or a side below 1.

    Reference:
        Tian et al. 2019, arXiv 1906.05849, and its code: the linear classifiers on AlexNet.
    """
    return _pool(maps, side, tf.reduce_max)


def adaptive_average_pool(maps: tf.Tensor, side: int) -> tf.Tensor:
    """Mean of each of `side` x `side` overlapping bins of a map; see `adaptive_max_pool`.

    Args:
        maps: `[batch, height, width, channels]` floating; height and width are static.
        side: height and width of the result, at least 1; larger ones than the map's repeat cells.

    Returns:
        `[batch, side, side, channels]` float32 (float64 for float64 maps).

    Raises:
        ValueError: maps of another rank or of unknown size, or a side below 1.

    Reference:
        Tian et al. 2019, arXiv 1906.05849, and its code: the linear classifiers on ResNets.
    """
    return _pool(maps, side, tf.reduce_mean)


def _pool(maps: tf.Tensor, side: int, reduce: Callable[..., tf.Tensor]) -> tf.Tensor:
    maps = tf.convert_to_tensor(maps)
    if maps.shape.rank != 4 or None in maps.shape[1:3].as_list():
        raise ValueError(
            "expected maps [batch, height, width, channels] with known height and width. "
            f"Received: shape={maps.shape}."
        )
    if isinstance(side, bool) or side != int(side) or side < 1:
        raise ValueError(f"side: expected a whole number >= 1. Received: side={side!r}.")
    maps = at_least_float32(maps)
    height, width = maps.shape[1:3]
    # A bin is a rectangle, so the mean of its rows' means, or the maximum of their maxima, is its
    # own.
    rows = [reduce(maps[:, a:b], axis=1) for a, b in _bins(height, int(side))]
    maps = tf.stack(rows, axis=1)
    columns = [reduce(maps[:, :, a:b], axis=2) for a, b in _bins(width, int(side))]
    return tf.stack(columns, axis=2)


def _bins(length: int, count: int) -> list[tuple[int, int]]:
    """First cell and end of each of `count` bins over `length` cells."""
    return [(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]
