"""Losses of anchors against rows of a bank that each anchor draws for itself, in one reading."""

from typing import Callable, List, NamedTuple, Tuple, Union

import tensorflow as tf

# Bytes of the bank's rows that are read at once; what stays in the cache of a core.
_BLOCK = 2**20


class DecomposedLoss(NamedTuple):
    """A loss of rows of scores that is computed from parts of each row, such as a sum over it.

    Attributes:
        part: function (scores `[rows, k]`, options by name) -> `[rows]`, from some of the columns.
        whole: function (`[rows, parts]` of these, `[rows, ...]` of each argument, of the scores'
            type) -> `[rows]`, the losses. They are the same for any division of the columns.

    Called with scores `[rows, n]`, arguments and the part's options it is the loss itself.
    """

    part: Callable[..., tf.Tensor]
    whole: Callable[..., tf.Tensor]

    def __call__(self, scores: tf.Tensor, *arguments: tf.Tensor, **options) -> tf.Tensor:
        """The losses `[rows]`, all columns in one part."""
        return self.whole(self.part(scores, **options)[:, tf.newaxis], *arguments)


RowLoss = Union[DecomposedLoss, Callable[..., tf.Tensor]]


def bank_losses(
    loss: RowLoss, anchors: tf.Tensor, bank: tf.Tensor, indices: tf.Tensor, *arguments: tf.Tensor
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Each anchor's loss from its scores with its own rows of a bank, which are read once.

    Random rows of a large bank are slow to read, and a gradient needs them again. Here an anchor's
    loss and its gradient are computed while its rows are at hand, so the gradient that is asked for
    later reads nothing: it is also that of the bank as it was, if rows have been written since.

    Args:
        loss: function (scores `[rows, n]`, `[rows, ...]` of each argument) -> `[rows]`, the loss of
            each anchor from its row alone. It is called for some rows at a time. It may use other
            tensors, but no gradient flows to them. A `DecomposedLoss` is also called for some
            columns at a time, and is the faster one.
        anchors: `[batch, dim]` floating. Or `[batch, a, dim]`, several for the same rows of the
            bank; they are rows of their own for `loss`.
        bank: `[records, ...]` floating, dim numbers a record, a tensor or a variable; half
            precision is computed in float32. No gradient flows to it. A variable is read by rows,
            never as a whole.
        indices: `[batch, n]` integers in [0, records), n >= 1.
        *arguments: `[batch, ...]` floating of the computed type, such as the positives' scores; of
            several anchors `[batch, a, ...]`.

    Returns:
        losses: `[batch]` or `[batch, a]`, at least float32; gradients flow to anchors and
            arguments.
        scores: `[batch, n]` or `[batch, a, n]` dot products, without gradient.

    Notes:
        Two blocks of rows at a time are in memory: those of one anchor each, or of several where
        theirs are no more than a megabyte. For a `DecomposedLoss` each megabyte is read, multiplied
        with anchors and gradients and dropped, while it is in the cache of a core. `tf.gather`
        would hold `[batch, n, dim]`, 2 GB for 256 anchors with 16,384 rows of 128. Where no
        gradient is needed, `bank_scores` does half of the arithmetic.
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
    indices = tf.reshape(indices, [blocks, size, number])

    def block(i):
        anchors, *others = [t[i] for t in inputs]
        if isinstance(loss, DecomposedLoss):
            columns = _columns(number, size * dim * dtype.size)
            parts = (_read(bank, part, dtype) for part in tf.split(indices[i], columns, axis=1))
            return _by_parts(loss, anchors, parts, others)
        return _as_a_whole(loss, anchors, _read(bank, indices[i], dtype), others)

    if blocks == 1:
        results = [r[tf.newaxis] for r in block(0)]
    else:
        shapes = [[rows], [rows, number], *(t.shape[1:] for t in inputs)]
        types = [dtype, dtype, *(t.dtype for t in inputs)]
        results = _for_each(block, blocks, shapes, types)
    return [tf.reshape(r, [batch, several, *r.shape[2:]]) for r in results]


def _as_a_whole(loss, anchors, entries, others):
    """Losses, scores and gradients of a block whose rows wait until all scores are there."""
    scores = _products(anchors, entries)
    values, (to_scores, *to_others) = _with_gradients(loss, scores, *others)
    return values, scores, _weighted(to_scores, entries), *to_others


def _by_parts(loss, anchors, parts, others):
    """The same; each part's rows are multiplied twice and then no longer needed."""
    scores, sums, to_anchors = [], [], []
    for entries in parts:
        scores.append(_products(anchors, entries))
        values, (to_scores,) = _with_gradients(loss.part, scores[-1])
        sums.append(values)
        to_anchors.append(_weighted(to_scores, entries))
    values, (to_sums, *to_others) = _with_gradients(loss.whole, tf.stack(sums, axis=1), *others)
    # r: rows, p: parts, d: dim.
    to_anchors = tf.einsum("rp,prd->rd", to_sums, tf.stack(to_anchors))
    return values, tf.concat(scores, axis=1), to_anchors, *to_others


def _with_gradients(function, *inputs):
    """`[rows]` values of a function of rows, and their gradients to its inputs."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        values = function(*inputs)
    return values, tape.gradient(values, inputs, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def _read(bank, indices, dtype):
    """Entries `[size, n, dim]` for indices `[size, n]`; `[n, dim]` for one."""
    size, number = indices.shape
    entries = tf.cast(tf.gather(bank, tf.reshape(indices, [-1])), dtype)
    # A product of matrices without a batch is the faster one.
    return tf.reshape(entries, [number, -1] if size == 1 else [size, number, -1])


def _products(anchors, entries):
    """Scores `[rows, n]` of anchors `[rows, dim]`, as many for every record of the block."""
    anchors = tf.reshape(anchors, [*entries.shape[:-2], -1, entries.shape[-1]])
    products = tf.matmul(anchors, entries, transpose_b=True)
    return tf.reshape(products, [-1, entries.shape[-2]])


def _weighted(weights, entries):
    """Sums `[rows, dim]` of entries by weights `[rows, n]`."""
    weights = tf.reshape(weights, [*entries.shape[:-2], -1, entries.shape[-2]])
    return tf.reshape(tf.matmul(weights, entries), [-1, entries.shape[-1]])


def _columns(number: int, row_bytes: int) -> List[int]:
    """How many columns each part has: those of a block's size."""
    most = max(1, _BLOCK // row_bytes)
    return [min(most, number - start) for start in range(0, number, most)]


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
