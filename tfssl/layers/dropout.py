"""Dropout whose draws are a pure function of a key of each row."""

import tensorflow as tf

from tfssl.ops import keyed_uniform


def keyed_dropout(rows: tf.Tensor, keys: tf.Tensor, *, rate: float) -> tf.Tensor:
    """Sets numbers to 0, each with a given chance, and makes up for it in the others.

    Srivastava et al. 2014. Keras' layer draws from a generator with state, which is lost when a
    run is continued.

    Args:
        rows: `[batch, dim]` floating.
        keys: `[batch]` int64, see `tfssl.ops.fold_key`.
        rate: the chance, in [0, 1).

    Returns:
        `[batch, dim]`: 0, or the number divided by 1 - rate.

    Raises:
        ValueError: a rate out of range.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"expected a rate in [0, 1). Received: {rate=}.")
    if rate == 0:
        return rows
    kept = keyed_uniform(keys, rows.shape[1]) >= rate
    return rows * (tf.cast(kept, rows.dtype) / (1 - rate))
