"""SwAV's codes: Sinkhorn-Knopp normalisation of prototype scores.

SwAV, Caron et al. 2020, arXiv 2006.09882, section 3.1; Cuturi 2013, arXiv 1306.0895.
"""

import math

import tensorflow as tf

from tfssl.ops.checks import asserted, at_least_float32, check_iterations, check_logits

# Largest (max - min of the logits) / epsilon for which the exponentials fit float32 with room for
# products: e^60 is 1e26.
_DIRECT_RANGE = 60.0


def sinkhorn_knopp(
    logits: tf.Tensor, *, epsilon: float = 0.05, num_iterations: int = 3
) -> tf.Tensor:
    """Scales exp(logits / epsilon) towards equal shares of all prototypes.

    One iteration divides every prototype's column by its sum times the number of prototypes, then
    every sample's row by its sum times the batch; the result is multiplied by the batch. So rows
    sum to 1 exactly and columns only approximately to batch / prototypes, in the order of the
    authors' code. With 0 iterations the matrix is only divided by its mean row sum. No gradient
    flows through the codes.

    Args:
        logits: `[batch, prototypes]` floating, finite, both >= 1, prototypes known
            statically; the global batch. Half precision is computed and returned in float32.
        epsilon: > 0, strength of the entropy; smaller gives harder codes.
        num_iterations: >= 0.

    Returns:
        `[batch, prototypes]` codes, float32 (float64 for float64 logits).

    Raises:
        ValueError: an argument that is statically wrong.
        tf.errors.InvalidArgumentError: logits that are not finite (not inside an XLA program,
            which drops assertions: NaN there).

    Example:
        >>> logits = tf.constant([[0.9, 0.1], [0.8, 0.3], [0.7, 0.6]])
        >>> sinkhorn_knopp(logits).numpy().round(2)
        array([[1.  , 0.  ],
               [0.93, 0.07],
               [0.  , 1.  ]], dtype=float32)
    """
    logits = tf.stop_gradient(tf.convert_to_tensor(logits))
    check_logits(logits, "prototypes")
    check_iterations(num_iterations)
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise ValueError(f"expected a finite epsilon > 0. Received: {epsilon=}.")
    logits = at_least_float32(logits)
    codes, finite = _solve(logits, tf.constant(epsilon, logits.dtype), tf.constant(num_iterations))
    message = "sinkhorn_knopp: expected finite logits. Received NaN or infinity."
    return asserted(tf.stop_gradient(codes), finite, message)


@tf.function(autograph=False)
def _solve(logits, epsilon, num_iterations):
    """Chooses the form; returns the codes and whether all logits were finite."""
    top = tf.reduce_max(logits)
    spread = top - tf.reduce_min(logits)
    codes = tf.cond(
        # False for NaN, which then is in every code.
        spread / epsilon <= tf.constant(_DIRECT_RANGE, logits.dtype),
        lambda: _direct(logits, top, epsilon, num_iterations),
        lambda: _in_logs(logits, epsilon, num_iterations),
    )
    return codes, tf.math.is_finite(spread) & tf.math.is_finite(tf.reduce_sum(codes))


@tf.function(jit_compile=True, autograph=False)
def _direct(logits, top, epsilon, num_iterations):
    """Codes as rows A columns, A = exp(logits / epsilon): two matrix-vector products a step."""
    matrix = tf.exp((logits - top) / epsilon)
    batch, prototypes = _sizes(logits)

    def step(i, rows, columns):
        del columns
        columns = tf.math.reciprocal(tf.matmul(rows[tf.newaxis], matrix)[0] * prototypes)
        rows = tf.math.reciprocal(tf.linalg.matvec(matrix, columns) * batch)
        return i + 1, rows, columns

    rows = tf.ones_like(logits[:, 0]) / tf.reduce_sum(matrix)
    state = (tf.constant(0), rows, tf.ones_like(logits[0]))
    _, rows, columns = tf.while_loop(lambda i, *_: i < num_iterations, step, state)
    return (matrix * columns) * (rows * batch)[:, tf.newaxis]


@tf.function(jit_compile=True, autograph=False)
def _in_logs(logits, epsilon, num_iterations):
    """The same on logarithms, in float64: their differences can be as large as 1e6."""
    dtype = logits.dtype
    logits = tf.cast(logits, tf.float64) / tf.cast(epsilon, tf.float64)
    batch, prototypes = _sizes(logits)

    def step(i, rows, columns):
        del columns
        columns = -tf.reduce_logsumexp(logits + rows, axis=0) - tf.math.log(prototypes)
        rows = -tf.reduce_logsumexp(logits + columns, axis=1, keepdims=True) - tf.math.log(batch)
        return i + 1, rows, columns

    rows = tf.zeros_like(logits[:, :1]) - tf.reduce_logsumexp(logits)
    state = (tf.constant(0), rows, tf.zeros_like(logits[0]))
    _, rows, columns = tf.while_loop(lambda i, *_: i < num_iterations, step, state)
    return tf.cast(tf.exp(logits + rows + columns + tf.math.log(batch)), dtype)


def _sizes(logits):
    """Batch and number of prototypes as tensors of the logits' type."""
    shape = tf.cast(tf.shape(logits), logits.dtype)
    return shape[0], shape[1]
