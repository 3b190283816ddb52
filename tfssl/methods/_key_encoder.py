"""Queries and keys of two crops: what MoCo does, and CMC where it has a queue."""

from typing import Tuple

import tensorflow as tf

from tfssl import layers
from tfssl.methods._plan import Plan
from tfssl.settings import SettingsError


def check_groups(groups: int, plan: Plan) -> None:
    """Raises SettingsError unless groups divide every part of a batch, and keys can change them."""
    batch, parts = plan.batch_size, plan.micro_batches
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    uneven = batch % groups or groups % (replicas * parts)
    if groups > 1 and (uneven or groups == parts):
        raise SettingsError(
            f"bn_groups: expected 1, or two or more groups in each micro-batch, of which there "
            f"are {parts}, evenly over {replicas} replicas and {batch} images. Received: "
            f"{groups}.",
            "bn_groups",
        )


def check_queue(size: int, plan: Plan, name: str) -> None:
    """Raises SettingsError where a queue does not hold a batch."""
    if plan.batch_size > size:
        raise SettingsError(
            f"{name}: expected at least the batch, {plan.batch_size} images. Received: {size}.",
            name,
        )


def own_groups(rows: tf.Tensor, groups: int, batch_size: int) -> int:
    """The share of a global batch's groups that a part of it, on a replica, has."""
    return rows.shape[0] * groups // batch_size


def queries_and_keys(
    query: tf.keras.Model,
    key: layers.Teacher,
    crops: Tuple[tf.Tensor, tf.Tensor],
    *,
    groups: int,
    batch_size: int,
    shuffle: tf.Tensor,
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Unit rows `[batch, dim]`: queries of the first crop, keys of the second.

    Args:
        query, key: the networks.
        crops: two tensors `[batch, ...]`, this replica's rows of a part of the batch.
        groups: of the global batch of a step, with statistics of their own; 1: none.
        batch_size: of a step, over all replicas and parts.
        shuffle: scalar int64, by which keys are put into groups with other images.
    """
    first, second = crops
    if groups == 1:
        found = query(first, training=True), key(second, training=True)
    else:
        own = own_groups(first, groups, batch_size)
        found = (
            layers.in_groups(query, first, own),
            layers.in_shuffled_groups(key, second, own, key=shuffle),
        )
    queries, keys = (tf.math.l2_normalize(rows, axis=1) for rows in found)
    return queries, keys
