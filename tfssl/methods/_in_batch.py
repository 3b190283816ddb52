"""The batch itself as the memory of keys: the negatives of an image are the other images."""

from typing import Tuple

import tensorflow as tf

from tfssl import ops
from tfssl.methods._plan import Plan
from tfssl.settings import SettingsError


def other_images(keys: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    """Keys of the global batch, and which of them belong to other images.

    Args:
        keys: `[batch, ...]`, those of this replica's images.

    Returns:
        `[n, ...]` with gradient to all replicas, and `[batch, n]` bool, False for the own key.
    """
    batch = keys.shape[0]
    rows = ops.cross_replica_concat(keys)
    own = tf.range(batch) + ops.row_offset(batch)
    return rows, tf.range(rows.shape[0]) != own[:, tf.newaxis]


def check_other_images(choice: str, plan: Plan) -> None:
    """Raises SettingsError unless a batch comes whole and has other images as negatives."""
    if plan.micro_batches > 1:
        raise SettingsError(
            f"--accumulation: expected 1 with {choice}, whose negatives are the whole batch. "
            f"Received: {plan.micro_batches}."
        )
    if plan.batch_size < 2:
        raise SettingsError(
            f"--batch_size: expected at least 2 with {choice}, whose negatives are the other "
            f"images of the batch. Received: {plan.batch_size}."
        )
