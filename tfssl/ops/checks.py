"""Argument checks that several kernels share."""

import math
from typing import Any, Union

import tensorflow as tf

Scalar = Union[float, tf.Tensor]


def check_logits(logits: tf.Tensor, columns: str) -> None:
    """Raises ValueError unless logits are a floating matrix with at least one row and column.

    Args:
        logits: what was given.
        columns: what the columns are called in the message.
    """
    if not logits.dtype.is_floating:
        raise ValueError(f"expected floating logits. Received: logits.dtype={logits.dtype.name}.")
    shape = logits.shape
    if shape.rank != 2 or shape[0] == 0 or not shape[1]:
        raise ValueError(
            f"expected logits of shape [batch, {columns}], neither of them 0 and {columns} known "
            f"statically. Received: logits.shape={shape}."
        )


def check_iterations(num_iterations: int) -> None:
    """Raises ValueError unless num_iterations is an integer >= 0."""
    if not isinstance(num_iterations, int) or num_iterations < 0:
        raise ValueError(f"expected an integer num_iterations >= 0. Received: {num_iterations=}.")


def at_least_float32(tensor: Any) -> tf.Tensor:
    """float64 as it is, everything else in float32."""
    tensor = tf.convert_to_tensor(tensor)
    return tensor if tensor.dtype == tf.float64 else tf.cast(tensor, tf.float32)


def asserted(tensor: tf.Tensor, condition: tf.Tensor, *message: Any) -> tf.Tensor:
    """The tensor, after an assertion on what other tensors contain.

    Args:
        tensor: what to return.
        condition: scalar bool. Where it is False, InvalidArgumentError; XLA programs drop this.
        *message: strings and tensors for the message.
    """
    check = tf.debugging.Assert(condition, list(message))
    # In eager code there is no operation to wait for.
    with tf.control_dependencies([] if check is None else [check]):
        return tf.identity(tensor)


def scalar_argument(
    value: Scalar,
    name: str,
    dtype: tf.DType,
    *,
    low: float = -math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> tf.Tensor:
    """A scalar tensor of a number or a scalar tensor, checked against its range and finite."""
    limits = f"{name} > {above:g}" if above > -math.inf else f"{low:g} <= {name} < {below:g}"
    if not tf.is_tensor(value) and not isinstance(value, tf.Variable):
        number = float(value)
        if not (math.isfinite(number) and number >= low and number > above and number < below):
            raise ValueError(f"expected a finite {limits}. Received: {name}={value}.")
        return tf.constant(number, dtype)
    tensor = tf.convert_to_tensor(value)
    if tensor.shape.rank != 0 or not tensor.dtype.is_floating:
        raise ValueError(f"expected a floating scalar {name}. Received: {name}={value}.")
    tensor = tf.stop_gradient(tf.cast(tensor, dtype))
    inside = (tensor >= low) & (tensor > above) & (tensor < below) & tf.math.is_finite(tensor)
    return asserted(tensor, inside, f"expected a finite {limits}. Received:", tensor)
