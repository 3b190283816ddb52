"""State that every replica keeps a copy of."""

from typing import Callable, Union

import tensorflow as tf

Start = Union[tf.Tensor, Callable[[], tf.Tensor]]


def mirrored_state(start: Start, name: str) -> tf.Variable:
    """A variable that is not trained, and that every replica keeps and writes alike.

    Args:
        start: its first value, or a function that makes it, which saves a copy.
        name: its name.

    Returns:
        The variable. In a step, give every replica the same value, made from gathered tensors:
        nothing is aggregated.
    """
    return tf.Variable(
        start,
        trainable=False,
        name=name,
        synchronization=tf.VariableSynchronization.ON_WRITE,
        aggregation=tf.VariableAggregation.NONE,
    )
