"""MIRA's assignment of a batch to clusters, regularised by mutual information.

MIRA, Lee, Choi, Kim, Chung 2022, arXiv 2211.02284.
"""

import math
from typing import NamedTuple, Optional, Tuple

import tensorflow as tf

from tfssl.ops import fixed_point
from tfssl.ops.checks import (
    Scalar,
    asserted,
    at_least_float32,
    check_iterations,
    check_logits,
    scalar_argument,
)

# The direct form is used up to this (max - min of the logits) / (temperature * (1 - beta)), or
# log(clusters) more.
_DIRECT_RANGE = 60.0


class AssignmentInfo(NamedTuple):
    """How an assignment came out; scalars.

    Attributes:
        distance: Hilbert distance max - min of log(u_n / u_(n-1)) between the last two iterates.
            u_n is within beta / (1 - beta) times this of the solution.
        finite: bool; False where a logit was NaN or infinite, and then the targets are void.
        iterations: int32, how many were done: num_iterations unless the tolerance stopped it.
        max_marginal: the largest column mean of the targets, in [1 / clusters, 1].
    """

    distance: tf.Tensor
    finite: tf.Tensor
    iterations: tf.Tensor
    max_marginal: tf.Tensor


def mira_assignment(
    logits: tf.Tensor,
    *,
    temperature: Scalar,
    beta: Scalar,
    num_iterations: int = 30,
    tolerance: Optional[float] = None,
) -> tf.Tensor:
    """Targets that stay near softmax(logits / temperature) and share information with the batch.

    Minimises, over matrices W whose rows are distributions,

        mean_i KL(w_i || softmax(logits_i / temperature)) - beta * I(W),

    with I(W) the mutual information between rows and clusters (Eqs. 1, 2). The solution is the
    limit of the fixed-point iteration of Eq. 7. It starts, as the released code does, from the
    column means of softmax(logits / (temperature * (1 - beta))) to the power 1 - beta, which is
    one step from the vector of ones. The error falls by a factor of beta per iteration or faster.

    All rows are solved together: give it the global batch, one view at a time. Rows of the result
    sum to 1 after any number of iterations, and no gradient flows through it.

    Args:
        logits: `[batch, clusters]` floating tensor, finite, batch and clusters >= 1; clusters
            known statically. Half precision is computed and returned in float32.
        temperature: > 0, of the softmax that the targets stay near. The paper uses 0.225.
        beta: in [0, 1), weight of the mutual information; 0 returns that softmax. The paper uses
            2/3. Above 0.99 convergence is slow. A float or a scalar tensor, for a schedule: a
            new value of a tensor does not trace anything anew.
        num_iterations: >= 0.
        tolerance: None, or >= 0: stop early once the iterate is certainly within this Hilbert
            distance of the solution. The logarithms of the targets are then within
            beta / (1 - beta) times the tolerance.

    Returns:
        `[batch, clusters]` targets, float32 (float64 for float64 logits).

    Raises:
        ValueError: an argument that is statically wrong.
        tf.errors.InvalidArgumentError: logits that are not finite, or a tensor for temperature or
            beta with a value out of range. Inside an XLA program, which drops assertions, look at
            `AssignmentInfo.finite` instead.

    Notes:
        Two passes of multiply-adds over the matrix per iteration, 4 * batch * clusters flop.
        In units of temperature * (1 - beta), logits with a range up to 60 are solved directly, and
        above 60 + log(clusters) in logarithms, which is right for any finite logits, and slow.

    Example: the third row leans to the first cluster by itself, and to the second among others.
        >>> logits = tf.constant([[0.9, 0.1], [0.8, 0.3], [0.7, 0.6]])
        >>> mira_assignment(logits, temperature=0.225, beta=2 / 3).numpy().round(2)
        array([[1.  , 0.  ],
               [0.99, 0.01],
               [0.28, 0.72]], dtype=float32)
    """
    targets, info = mira_assignment_with_info(
        logits,
        temperature=temperature,
        beta=beta,
        num_iterations=num_iterations,
        tolerance=tolerance,
    )
    message = "mira_assignment: expected finite logits. Received NaN or infinity."
    return asserted(targets, info.finite, message)


def mira_assignment_with_info(
    logits: tf.Tensor,
    *,
    temperature: Scalar,
    beta: Scalar,
    num_iterations: int = 30,
    tolerance: Optional[float] = None,
) -> Tuple[tf.Tensor, AssignmentInfo]:
    """`mira_assignment`, with scalars that tell how it came out.

    Logits that are not finite raise nothing here: they make `finite` False, which also works
    inside XLA. All arguments are those of `mira_assignment`.

    Returns:
        `(targets, info)`.

    Raises:
        ValueError: an argument that is statically wrong.
        tf.errors.InvalidArgumentError: a tensor for temperature or beta, out of range.
    """
    # Before anything else, so that no tape ever records the iteration.
    logits = tf.stop_gradient(tf.convert_to_tensor(logits))
    check_logits(logits, "clusters")
    check_iterations(num_iterations)
    if tolerance is not None and not (math.isfinite(tolerance) and tolerance >= 0):
        raise ValueError(f"expected a finite tolerance >= 0. Received: {tolerance=}.")
    logits = at_least_float32(logits)
    temperature = scalar_argument(temperature, "temperature", logits.dtype, above=0.0)
    beta = scalar_argument(beta, "beta", logits.dtype, low=0.0, below=1.0)
    solution, finite = _solve(
        logits,
        temperature,
        beta,
        tf.constant(num_iterations),
        None if tolerance is None else tf.constant(tolerance, logits.dtype),
    )
    targets = tf.stop_gradient(solution.targets)
    return targets, AssignmentInfo(
        solution.distance, finite, solution.iterations, solution.max_marginal
    )


@tf.function(autograph=False)
def _solve(logits, temperature, beta, num_iterations, tolerance):
    """Chooses the form of the iteration; returns its solution, and whether logits were finite."""
    start = fixed_point.start_direct(logits, temperature, beta)
    limit = _DIRECT_RANGE + math.log(logits.shape[1])
    arguments = (beta, num_iterations, tolerance)
    solution, finite = tf.cond(
        # False for NaN: whatever the second form makes of it is flagged below.
        start.spread <= tf.constant(limit, logits.dtype),
        lambda: (fixed_point.solve_direct(start, *arguments), tf.constant(True)),
        lambda: (
            fixed_point.solve_in_logs(logits, temperature, *arguments),
            tf.reduce_all(tf.math.is_finite(logits)),
        ),
    )
    # An infinity leads to the second form. A NaN, which may not, is in every target.
    finite &= tf.math.is_finite(solution.max_marginal)
    return solution, finite
