"""Argument checks that several losses share, and logits that count more or less than once."""

from typing import Tuple

import tensorflow as tf


def matching_rows(columns: str = "dim", **tensors: tf.Tensor) -> Tuple[tf.Tensor, ...]:
    """Floating matrices of one shape, in one type: float64 where one of them is, else float32.

    Args:
        columns: what the columns are called in a message.
        **tensors: `[batch, columns]` under the names that a message should use.

    Raises:
        ValueError: a tensor that is not floating, not a matrix, or shapes that differ.
    """
    converted = {name: tf.convert_to_tensor(tensor) for name, tensor in tensors.items()}
    names = " and ".join(converted)
    if not all(tensor.dtype.is_floating for tensor in converted.values()):
        received = ", ".join(f"{name}.dtype={t.dtype.name}" for name, t in converted.items())
        raise ValueError(f"expected floating {names}. Received: {received}.")
    first, *rest = converted.values()
    if first.shape.rank != 2 or not all(first.shape.is_compatible_with(t.shape) for t in rest):
        received = ", ".join(f"{name}.shape={t.shape}" for name, t in converted.items())
        raise ValueError(f"expected {names} of one shape [batch, {columns}]. Received: {received}.")
    dtype = widest(*converted.values())
    return tuple(tf.cast(tensor, dtype) for tensor in converted.values())


def widest(*tensors: tf.Tensor) -> tf.DType:
    """float64 where one of the tensors is, else float32: half precision is not enough for exp."""
    return tf.float64 if tf.float64 in [tensor.dtype for tensor in tensors] else tf.float32


def checked_counts(counts: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
    """The counts in the scores' type; raises ValueError where their shape is another."""
    counts = tf.convert_to_tensor(counts)
    batch = negative.shape[0]
    if not any(counts.shape.is_compatible_with(s) for s in (negative.shape, [batch, 1])):
        raise ValueError(
            f"expected counts {negative.shape} or ({batch}, 1). Received: "
            f"counts.shape={counts.shape}."
        )
    return tf.stop_gradient(tf.cast(counts, negative.dtype))


def counted_logits(logits: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """Logits whose exponentials are those of `logits` times `counts`, finite where that is 0."""
    # Finite, so that a row without negatives has a gradient of 0 and not of NaN.
    return tf.where(counts > 0, logits + tf.math.log(tf.maximum(counts, 1e-30)), -1e30)


def reduced(losses: tf.Tensor, reduction: str) -> tf.Tensor:
    """Losses of rows `[batch]` as they are ("none"), or their mean ("mean")."""
    if reduction not in ("mean", "none"):
        raise ValueError(f"expected reduction 'mean' or 'none'. Received: {reduction=}.")
    return tf.reduce_mean(losses) if reduction == "mean" else losses
