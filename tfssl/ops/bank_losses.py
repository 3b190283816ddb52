"""Losses of anchors against rows of a bank that each anchor draws for itself, in one reading."""

from typing import Callable, Tuple

import tensorflow as tf

Loss = Callable[..., tf.Tensor]
# Bytes of the bank's rows that are read at once; what stays in the cache of a core.
_BLOCK = 2**20


def bank_losses(
    loss: Loss, anchors: tf.Tensor, bank: tf.Tensor, indices: tf.Tensor, *arguments: tf.Tensor
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Each anchor's loss from its scores with its own rows of a bank, which are read once.

    Random rows of a large bank are slow to read, and a gradient needs them again. Here an anchor's
    loss and its gradient are computed while its rows are at hand, so the gradient that is asked for
    later reads nothing: it is also that of the bank as it was, if rows have been written since.

    Args:
        loss: function (scores `[rows, n]`, `[rows, ...]` of each argument) -> `[rows]`, the loss of
            each anchor from its row alone. It is called for some rows at a time. It may use other
            tensors, but no gradient flows to them.
        anchors: `[batch, dim]` floating. Or `[batch, a, dim]`, several for the same rows of the
            bank; they are rows of their own for `loss`.
        bank: `[records, ...]` floating, dim numbers a record, a tensor or a variable; half
            precision is computed in float32. No gradient flows to it. A variable is read by rows,
            never as a whole.
        indices: `[batch, n]` integers in [0, records).
        *arguments: `[batch, ...]` floating of the computed type, such as the positives' scores; of
            several anchors `[batch, a, ...]`.

    Returns:
        losses: `[batch]` or `[batch, a]`, at least float32; gradients flow to anchors and
            arguments.
        scores: `[batch, n]` or `[batch, a, n]` dot products, without gradient.

    Notes:
        Two blocks of rows at a time are in memory, each of one anchor, or of several where theirs
        are no more than a megabyte. `tf.gather` would hold `[batch, n, dim]`, 2 GB for 256 anchors
        with 16,384 rows of 128. Where no gradient is needed, `bank_scores` does half of the
        arithmetic.
    """
    dtype = tf.float64 if anchors.dtype == tf.float64 else tf.float32
    anchors = tf.cast(anchors, dtype)
    inputs = [tf.stop_gradient(t) for t in (anchors, *arguments)]
    one_each = anchors.shape.rank == 2
    if one_each:
        inputs = [t[:, tf.newaxis] for t in inputs]
    found = _in_blocks(loss, bank, indices, inputs)
    losses, scores, *gradients = [t[:, 0] for t in found] if one_each else found

    @tf.custom_gradient
    def attached(*_):
        def gradient(upstream):
            rank = upstream.shape.rank
            shapes = [upstream.shape + [1] * (g.shape.rank - rank) for g in gradients]
            return [g * tf.reshape(upstream, s) for g, s in zip(gradients, shapes)]

        return tf.identity(losses), gradient

    return attached(anchors, *arguments), scores


def _in_blocks(loss, bank, indices, inputs):
    """Losses, scores, and the gradients of the losses to the inputs, one block after the other."""
    batch, number = indices.shape
    _, several, dim = inputs[0].shape
    dtype = inputs[0].dtype
    size = _block_size(batch, number * dim * dtype.size)
    blocks, rows = batch // size, size * several
    inputs = [tf.reshape(t, [blocks, rows, *t.shape[2:]]) for t in inputs]
    indices = tf.reshape(indices, [blocks, size * number])
    # A product of matrices without a batch is the faster one.
    lead = [] if size == 1 else [size]

    def block(i):
        entries = tf.cast(tf.gather(bank, indices[i]), dtype)
        entries = tf.reshape(entries, [*lead, number, dim])
        anchors, *others = [t[i] for t in inputs]
        anchors = tf.reshape(anchors, [*lead, several, dim])
        scores = tf.reshape(tf.matmul(anchors, entries, transpose_b=True), [rows, number])
        with tf.GradientTape() as tape:
            tape.watch([scores, *others])
            values = loss(scores, *others)
        to_scores, *to_others = tape.gradient(
            values, [scores, *others], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        to_anchors = tf.matmul(tf.reshape(to_scores, [*lead, several, number]), entries)
        return values, scores, tf.reshape(to_anchors, [rows, dim]), *to_others

    if blocks == 1:
        results = [r[tf.newaxis] for r in block(0)]
    else:
        shapes = [[rows], [rows, number], *(t.shape[1:] for t in inputs)]
        types = [dtype, dtype, *(t.dtype for t in inputs)]
        results = _for_each(block, blocks, shapes, types)
    return [tf.reshape(r, [batch, several, *r.shape[2:]]) for r in results]


def _block_size(batch: int, record_bytes: int) -> int:
    """How many records' rows are read at once: a divisor of the batch."""
    fitting = [n for n in range(1, batch + 1) if batch % n == 0 and n * record_bytes <= _BLOCK]
    return max(fitting, default=1)


def _for_each(function, number, shapes, types):
    """The stacked results of a function of 0, 1, ..., number - 1."""
    results = [tf.TensorArray(t, number, element_shape=s) for t, s in zip(types, shapes)]
    _, *results = tf.while_loop(
        lambda i, *_: i < number,
        lambda i, *kept: (i + 1, *(r.write(i, f) for r, f in zip(kept, function(i)))),
        (tf.constant(0), *results),
        # Two at a time: one's rows come from memory while the other's are multiplied.
        parallel_iterations=2,
    )
    return [r.stack() for r in results]
