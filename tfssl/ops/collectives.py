"""Rows of all replicas, and back: what methods use to see the global batch."""

import tensorflow as tf


def cross_replica_concat(tensor: tf.Tensor) -> tf.Tensor:
    """Concatenates the rows of all replicas, in the order of replicas, on every replica.

    With one replica, or outside a strategy, it is the identity. The gradient of a replica's own
    rows is the sum over replicas of the gradients that arrive for those rows: summed over
    replicas, the losses see each row once.

    Args:
        tensor: `[batch, ...]` numbers or booleans, rank >= 1; the same batch on all replicas.

    Returns:
        `[replicas * batch, ...]`.

    Raises:
        ValueError: a scalar.
        RuntimeError: called outside the replicas of a strategy with several.

    Notes:
        Call it outside `jit_compile=True` functions and graph loops: TensorFlow cannot gather
        there.
    """
    tensor = tf.convert_to_tensor(tensor)
    if tensor.shape.rank == 0:
        raise ValueError("expected a tensor of rank >= 1. Received: a scalar.")
    context = _replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return tf.identity(tensor)
    if tensor.dtype == tf.bool:
        # TensorFlow gathers numbers only.
        return tf.cast(cross_replica_concat(tf.cast(tensor, tf.int32)), tf.bool)

    @tf.custom_gradient
    def gather(local):
        def gradient(upstream):
            total = context.all_reduce(tf.distribute.ReduceOp.SUM, upstream)
            return local_rows(total, tf.shape(local)[0])

        return context.all_gather(local, axis=0), gradient

    # A tensor of this replica alone: TensorFlow takes one object seen by all replicas for one
    # value and returns its rows once.
    gathered = gather(tf.identity(tensor))
    if tensor.shape.rank is not None and tensor.shape[0] is not None:
        rows = tensor.shape[0] * context.num_replicas_in_sync
        gathered = tf.ensure_shape(gathered, [rows, *tensor.shape[1:]])
    return gathered


def local_rows(global_tensor: tf.Tensor, local_batch) -> tf.Tensor:
    """The rows of a `cross_replica_concat` that came from this replica.

    Args:
        global_tensor: `[replicas * local_batch, ...]`.
        local_batch: rows per replica; an integer or a scalar integer tensor.

    Returns:
        `[local_batch, ...]`; with one replica the tensor itself.

    Raises:
        RuntimeError: called outside the replicas of a strategy with several.
    """
    context = _replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return global_tensor
    begin = row_offset(local_batch)
    return global_tensor[begin : begin + local_batch]


def row_offset(local_batch):
    """Where this replica's rows begin in a `cross_replica_concat`; 0 with one replica.

    Args:
        local_batch: rows per replica; an integer or a scalar integer tensor.

    Returns:
        replica number * local_batch: an int32 tensor, or the integer 0.

    Raises:
        RuntimeError: called outside the replicas of a strategy with several.
    """
    context = _replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return 0
    return tf.cast(context.replica_id_in_sync_group, tf.int32) * local_batch


def _replica_context():
    """The replica this code runs for; None where a strategy has one and needs none.

    Raises:
        RuntimeError: called outside the replicas of a strategy with several.
    """
    context = tf.distribute.get_replica_context()
    if context is None and tf.distribute.get_strategy().num_replicas_in_sync > 1:
        raise RuntimeError(
            "expected to run inside strategy.run, where a replica has rows of its own. Received: "
            "a call in the scope of a strategy with several replicas."
        )
    return context
