"""Scores of anchors against rows of a bank that each anchor draws for itself."""

from typing import Union

import tensorflow as tf


def bank_scores(
    anchors: tf.Tensor, bank: Union[tf.Tensor, tf.Variable], indices: tf.Tensor
) -> tf.Tensor:
    """Dot products of every anchor with its own rows of a bank, without gathering them all.

    Args:
        anchors: `[batch, dim]` floating.
        bank: `[records, dim]` floating; half precision is computed in float32. No gradient flows
            to it. A variable is read row by row and never copied; the gradient reads it again, so
            it must be taken before the variable is written.
        indices: `[batch, n]` integers in [0, records).

    Returns:
        `[batch, n]` scores, at least float32.

    Notes:
        The rows of one anchor at a time are in memory, `[n, dim]`, in the gradient as well, which
        reads them again; `tf.gather` would hold `[batch, n, dim]`, 2 GB for 256 anchors with
        16,384 rows of 128.
    """
    dtype = tf.float64 if anchors.dtype == tf.float64 else tf.float32

    @tf.custom_gradient
    def scored(anchors):
        def gradient(upstream, variables=None):
            weighted = _by_anchor(
                lambda i, rows: tf.linalg.matvec(rows, upstream[i], transpose_a=True),
                bank,
                indices,
                tf.TensorSpec(bank.shape[1:], dtype),
            )
            # TensorFlow asks for those of a bank that is a variable as well.
            return weighted if variables is None else (weighted, [None] * len(variables))

        scores = _by_anchor(
            lambda i, rows: tf.linalg.matvec(rows, anchors[i]),
            bank,
            indices,
            tf.TensorSpec(indices.shape[1:], dtype),
        )
        return scores, gradient

    return scored(tf.cast(anchors, dtype))


def _by_anchor(function, bank, indices, result):
    """Stacks function(i, rows of anchor i), one anchor after the other."""
    batch = indices.shape[0]

    def step(i, results):
        rows = tf.cast(tf.gather(bank, indices[i]), result.dtype)
        return i + 1, results.write(i, function(i, rows))

    results = tf.TensorArray(result.dtype, batch, element_shape=result.shape)
    _, results = tf.while_loop(
        # Two at a time: one's rows come from memory while the other's are multiplied.
        lambda i, _: i < batch,
        step,
        (tf.constant(0), results),
        parallel_iterations=2,
    )
    return results.stack()
