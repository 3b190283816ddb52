"""MIRA's assignment where every replica keeps its own rows and only column sums travel.

MIRA, Lee et al. 2022, arXiv 2211.02284, as its released code distributes it.
"""

from typing import Tuple

import tensorflow as tf

from tfssl.ops.assignment import AssignmentInfo
from tfssl.ops.checks import (
    Scalar,
    at_least_float32,
    check_iterations,
    check_logits,
    scalar_argument,
)
from tfssl.ops.collectives import cross_replica_concat


def mira_assignment_reduced(
    logits: tf.Tensor, *, temperature: Scalar, beta: Scalar, num_iterations: int = 30
) -> Tuple[tf.Tensor, AssignmentInfo]:
    """The rows of one replica of the assignment of the global batch; see `mira_assignment`.

    The alternative, gathering the logits and solving everywhere, receives
    `replicas * batch * clusters` numbers once and repeats the work on every replica. Here each
    iteration exchanges `clusters` numbers a replica: little to send, but num_iterations + 1
    exchanges that wait for each other. The iteration works on logarithms in float64, so it is
    right for any finite logits.

    Args:
        logits: `[batch, clusters]` floating tensor, this replica's rows; the same batch on all.
        temperature: > 0.
        beta: in [0, 1).
        num_iterations: >= 0, a Python integer: TensorFlow cannot exchange inside a graph loop, so
            the loop is unrolled.

    Returns:
        `(targets, info)`: `[batch, clusters]` targets of these rows, float32 (float64 for float64
        logits), without a gradient; `info` is that of the global problem.

    Raises:
        ValueError: an argument that is statically wrong.
        tf.errors.InvalidArgumentError: a tensor for temperature or beta, out of range.
        RuntimeError: called outside the replicas of a strategy with several.
    """
    logits = tf.stop_gradient(tf.convert_to_tensor(logits))
    check_logits(logits, "clusters")
    check_iterations(num_iterations)
    logits = at_least_float32(logits)
    temperature = scalar_argument(temperature, "temperature", logits.dtype, above=0.0)
    beta = scalar_argument(beta, "beta", logits.dtype, low=0.0, below=1.0)
    logs, beta64 = _scaled(logits, temperature, beta)

    previous = log_s = tf.zeros(logits.shape[1:], tf.float64)
    # The first sums are those of the start, one step from the vector of ones.
    for _ in range(num_iterations + 1):
        previous, log_s = log_s, _over_replicas(_own_log_sums(logs, beta64 * log_s))

    targets, own_sums, finite = _own_targets(logs, beta64 * log_s)
    total = tf.reduce_sum(cross_replica_concat(own_sums[tf.newaxis]), axis=0)
    finite = tf.reduce_all(cross_replica_concat(finite[tf.newaxis]) > 0)
    change = log_s - previous
    distance = (1.0 - beta64) * (tf.reduce_max(change) - tf.reduce_min(change))
    info = AssignmentInfo(
        tf.cast(distance, logits.dtype),
        finite,
        tf.constant(num_iterations),
        tf.cast(tf.reduce_max(total) / tf.reduce_sum(total), logits.dtype),
    )
    return tf.stop_gradient(tf.cast(targets, logits.dtype)), info


@tf.function(jit_compile=True, autograph=False)
def _scaled(logits, temperature, beta):
    """log A of these rows, each with maximum 0; and beta, both in float64."""
    logits, temperature, beta = (tf.cast(x, tf.float64) for x in (logits, temperature, beta))
    logs = logits / (temperature * (1.0 - beta))
    return logs - tf.reduce_max(logs, axis=1, keepdims=True), beta


@tf.function(jit_compile=True, autograph=False)
def _own_log_sums(logs, log_weights):
    """Logarithms of these rows' part of A^T (1 / A a)."""
    rows = tf.reduce_logsumexp(logs - log_weights, axis=1, keepdims=True)
    return tf.reduce_logsumexp(logs - rows, axis=0)


def _over_replicas(log_sums):
    """Adds up column sums that are given by their logarithms."""
    return tf.reduce_logsumexp(cross_replica_concat(log_sums[tf.newaxis]), axis=0)


@tf.function(jit_compile=True, autograph=False)
def _own_targets(logs, log_weights):
    """Eq. 5 for these rows, their column sums, and 1.0 if all is finite, else 0.0."""
    targets = tf.nn.softmax(logs - log_weights, axis=1)
    finite = tf.reduce_all(tf.math.is_finite(targets))
    return targets, tf.reduce_sum(targets, axis=0), tf.cast(finite, tf.float32)
