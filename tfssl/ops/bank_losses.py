"""Losses of anchors against rows of a bank that each anchor draws for itself, in one reading."""

from typing import Callable, Tuple

import tensorflow as tf

Loss = Callable[..., tf.Tensor]


def bank_losses(
    loss: Loss, anchors: tf.Tensor, bank: tf.Tensor, indices: tf.Tensor, *arguments: tf.Tensor
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Each anchor's loss from its scores with its own rows of a bank, which are read once.

    Random rows of a large bank are slow to read, and a gradient needs them again. Here an anchor's
    loss and its gradient are computed while its rows are at hand, so the gradient that is asked for
    later reads nothing: it is also that of the bank as it was, if rows have been written since.

    Args:
        loss: function (scores `[1, n]`, a row `[1, ...]` of each argument) -> scalar, the loss of
            that anchor alone. It may use other tensors, but no gradient flows to them.
        anchors: `[batch, dim]` floating. Or `[batch, a, dim]`, several for the same rows: then
            `loss` has scores `[a, n]` and the entry `[a, ...]` of each argument, and returns
            `[a]`, each from its row alone.
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
        The rows of two anchors at a time are in memory, `[n, dim]` each; `tf.gather` would hold
        `[batch, n, dim]`, 2 GB for 256 anchors with 16,384 rows of 128. Where no gradient is
        needed, `bank_scores` does half of the arithmetic.
    """
    dtype = tf.float64 if anchors.dtype == tf.float64 else tf.float32
    anchors = tf.cast(anchors, dtype)
    inputs = [tf.stop_gradient(t) for t in (anchors, *arguments)]
    if anchors.shape.rank == 3:
        losses, scores, *gradients = _by_record(loss, bank, indices, inputs)
    else:
        inputs = [t[:, tf.newaxis] for t in inputs]
        found = _by_record(lambda *rows: loss(*rows)[tf.newaxis], bank, indices, inputs)
        losses, scores, *gradients = (t[:, 0] for t in found)

    @tf.custom_gradient
    def attached(*_):
        def gradient(upstream):
            rank = upstream.shape.rank
            shapes = [upstream.shape + [1] * (g.shape.rank - rank) for g in gradients]
            return [g * tf.reshape(upstream, s) for g, s in zip(gradients, shapes)]

        return tf.identity(losses), gradient

    return attached(anchors, *arguments), scores


def _by_record(loss, bank, indices, inputs):
    """Losses, scores, and the gradients of the losses to the inputs, one record after the other."""
    batch, number = indices.shape
    dtype, several = inputs[0].dtype, inputs[0].shape[1]

    def step(i, *results):
        rows = tf.reshape(tf.cast(tf.gather(bank, indices[i]), dtype), [number, -1])
        anchors, *others = [t[i] for t in inputs]
        scores = tf.matmul(anchors, rows, transpose_b=True)
        with tf.GradientTape() as tape:
            tape.watch([scores, *others])
            values = loss(scores, *others)
        to_scores, *to_others = tape.gradient(
            values, [scores, *others], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        found = (values, scores, tf.matmul(to_scores, rows), *to_others)
        return (i + 1, *(r.write(i, f) for r, f in zip(results, found)))

    shapes = [[several], [several, number], *(t.shape[1:] for t in inputs)]
    types = [dtype, dtype, *(t.dtype for t in inputs)]
    results = [tf.TensorArray(t, batch, element_shape=s) for t, s in zip(types, shapes)]
    _, *results = tf.while_loop(
        # Two at a time: one's rows come from memory while the other's are multiplied.
        lambda i, *_: i < batch,
        step,
        (tf.constant(0), *results),
        parallel_iterations=2,
    )
    return [r.stack() for r in results]
