"""Batch statistics of groups of images, as several devices without synchronisation have them.

MoCo, He, Fan, Wu, Xie, Girshick 2020, arXiv 1911.05722, section 3.3, "Shuffling BN": a query and
its key must not be normalised beside the same images, or their statistics give the pair away.
"""

from typing import Callable

import tensorflow as tf

from tfssl import ops

# A network with a `training` argument, `[batch, ...]` -> `[batch, dim]`.
Network = Callable[..., tf.Tensor]


def in_groups(network: Network, images: tf.Tensor, num_groups: int) -> tf.Tensor:
    """Runs a network on one group of images after the other, in training mode.

    Args:
        network: with batch normalisation that is not synchronised between replicas.
        images: `[batch, ...]`, this replica's rows; groups are consecutive ones.
        num_groups: groups of this replica; divides the batch.

    Returns:
        `[batch, dim]`.

    Raises:
        ValueError: the groups do not divide the batch.

    Notes:
        The moving averages see every group in turn: they are those of the last ten or so groups,
        as on one of several devices they are those of its last ten or so batches.
    """
    if num_groups < 1 or images.shape[0] % num_groups:
        raise ValueError(
            f"expected a number of groups that divides the {images.shape[0]} images of a replica. "
            f"Received: {num_groups=}."
        )
    groups = tf.split(images, num_groups)
    return tf.concat([network(group, training=True) for group in groups], axis=0)


def in_shuffled_groups(
    network: Network, images: tf.Tensor, num_groups: int, *, key: tf.Tensor
) -> tf.Tensor:
    """As `in_groups`, with groups of images drawn at random from all replicas.

    Args:
        network, images, num_groups: as for `in_groups`.
        key: scalar int64, the same on every replica; another one gives other groups.

    Returns:
        `[batch, dim]`, in the order of the images.

    Raises:
        ValueError: as for `in_groups`.
    """
    batch = images.shape[0]
    everyone = ops.cross_replica_concat(images)
    numbers = tf.range(everyone.shape[0])
    order = tf.argsort(ops.fold_key(key, numbers))
    mixed = ops.local_rows(tf.gather(everyone, order), batch)
    rows = ops.cross_replica_concat(in_groups(network, mixed, num_groups))
    return ops.local_rows(tf.gather(rows, tf.argsort(order)), batch)
