"""The fixed point of MIRA's assignment: compiled kernels on tensors, without any checks.

MIRA, Lee et al. 2022, arXiv 2211.02284, Eq. 7, for A = exp(logits / T) and T = temperature *
(1 - beta):

    a = u^(-beta / (1 - beta)),  den = A a,  s = A^T (1 / den),  u = (s / batch)^(1 - beta).

Only ratios of u matter to the targets, and a = s^(-beta) up to a factor, so the state carried here
is s. The work is two products of A with a vector per iteration, bound by the memory's bandwidth.
`solve_direct` reads A once per iteration where that helps; `solve_in_logs` is for logits whose
range would leave float32.
"""

import functools
from typing import List, NamedTuple, Optional, Tuple

import tensorflow as tf

# Matrices above this many bytes do not stay in a processor's caches and are read in blocks.
_LARGE = 8 * 2**20
# A block is read by both products of an iteration and should still be in a cache for the second.
_BLOCK = 3 * 2**19
# Shards run side by side; two of them come close to the bandwidth of the memory.
_SHARDS = 2
_MAX_BLOCKS = 32
# So many rows of any length end at a multiple of 64 bytes.
_ALIGNED = 16
# Sweeps per turn of the graph's loop, an even number. Turns cost time for every block.
_SWEEPS = 6


class Solution(NamedTuple):
    """Targets, and what the iteration looked like when it ended."""

    targets: tf.Tensor
    distance: tf.Tensor
    iterations: tf.Tensor
    max_marginal: tf.Tensor


class Start(NamedTuple):
    """What the direct form begins with.

    Attributes:
        matrix: `[batch, clusters]`, A up to a factor.
        totals: parts of its column sums with a = 1; their sum is s.
        spread: log(max A / min A), or up to log(clusters) more. NaN or infinite where A has left
            the range of its type.
    """

    matrix: tf.Tensor
    totals: List[tf.Tensor]
    spread: tf.Tensor


def plan_shards(rows: Optional[int], columns: int, itemsize: int) -> List[List[Tuple]]:
    """Cuts a matrix into shards, and each of those into blocks of whole rows.

    Args:
        rows: number of rows, or None where the graph does not know it.
        columns: number of columns.
        itemsize: bytes of an entry.

    Returns:
        One list per shard of `(begin, end)` row ranges, in order and covering all rows.
    """
    large = rows is not None and rows * columns * itemsize > _LARGE
    if not large or any(d.device_type != "CPU" for d in tf.config.list_logical_devices()):
        return [[(0, rows)]]
    per_shard = _round_up(-(-rows // _SHARDS))
    count = min(_MAX_BLOCKS, -(-per_shard * columns * itemsize // _BLOCK))
    height = _round_up(-(-per_shard // count))
    return [
        [(r, min(r + height, end)) for r in range(begin, end, height)]
        for begin, end in ((b, min(b + per_shard, rows)) for b in range(0, rows, per_shard))
    ]


def start_direct(logits: tf.Tensor, temperature: tf.Tensor, beta: tf.Tensor) -> Start:
    """A, its first sweep, and by how much its entries differ, which decides what it is good for.

    Any factor of A does; its first entry is 1 here. Row sums bound the largest entry, which saves
    a pass over A.
    """
    matrix = _exponentials(logits, 1.0 / (temperature * (1.0 - beta)))
    shards = _cut(matrix)
    ones = [tf.ones(logits.shape[1:], logits.dtype)] * len(shards)
    # From the last block to the first: the next sweep begins with that.
    totals, row_sums = zip(*(_sweep_and_row_sums(ones, beta, *blocks[::-1]) for blocks in shards))
    highest = tf.reduce_max(tf.concat(row_sums, axis=0))
    spread = tf.math.log(highest) - tf.math.log(tf.reduce_min(matrix))
    return Start(matrix, list(totals), spread)


def solve_direct(
    start: Start, beta: tf.Tensor, num_iterations: tf.Tensor, tolerance: Optional[tf.Tensor]
) -> Solution:
    """Iterates with A itself; right while the spread of A stays below 60 + log(clusters).

    Then so does log(max A / min A), and, as the iteration keeps max a = 1, the logarithm of an
    entry over its row's den: no intermediate result leaves float32.

    One XLA program runs matrix-vector products on one core on some versions of TensorFlow, and on
    others it runs all first products before the second ones, so that a block has left the cache
    when it is needed again. Here each shard of rows is a program of its own, the graph runs the
    shards side by side, and inside a shard a block's two products follow each other. Sweeps
    alternate between the first block and the last: what one read last, the next finds in the
    cache. Compiled as part of a larger XLA program all of this is one program.
    """
    matrix = start.matrix
    shards = _cut(matrix)

    def forward(totals):
        return [_sweep(totals, beta, *blocks) for blocks in shards]

    def backward(totals):
        return [_sweep(totals, beta, *blocks[::-1]) for blocks in shards]

    def hilbert(totals, before):
        """Hilbert distance of two successive s."""
        return _spread(tf.math.log(tf.add_n(totals)) - tf.math.log(tf.add_n(before)))

    # a = 1 gives the column sums of the official start, u = (mean of softmax)^(1 - beta).
    ones = [tf.ones_like(start.totals[0])] * len(shards)
    done, previous, totals = _repeat(
        [forward, backward] * (_SWEEPS // 2 if tolerance is None else 1),
        lambda totals, before: beta * hilbert(totals, before),
        (ones, start.totals),
        num_iterations,
        tolerance,
    )
    sums, denominators = zip(*(_sweep_and_row_sums(totals, beta, *blocks) for blocks in shards))
    a = _weights(tf.add_n(totals), beta)
    batch = tf.cast(tf.shape(matrix)[0], matrix.dtype)
    distance = (1.0 - beta) * hilbert(totals, previous)
    targets = _targets(matrix, a, tf.concat(denominators, axis=0))
    return Solution(targets, distance, done, tf.reduce_max(a * tf.add_n(sums)) / batch)


@tf.function(jit_compile=True, autograph=False)
def solve_in_logs(
    logits: tf.Tensor,
    temperature: tf.Tensor,
    beta: tf.Tensor,
    num_iterations: tf.Tensor,
    tolerance: Optional[tf.Tensor],
) -> Solution:
    """The same iteration on log s; any finite logits.

    In float64: differences of logarithms as large as 1e5 decide the targets of a starved cluster,
    and float32 would be wrong in their second digit.
    """
    dtype = logits.dtype
    logits, temperature, beta = (tf.cast(x, tf.float64) for x in (logits, temperature, beta))
    logs = logits / (temperature * (1.0 - beta))
    logs -= tf.reduce_max(logs, axis=1, keepdims=True)
    batch = tf.cast(tf.shape(logits)[0], tf.float64)

    def normalised(log_s):
        """Logarithms of the targets that belong to the column sums s."""
        return tf.nn.log_softmax(logs - beta * log_s, axis=1)

    def step(log_s):
        # A / den, without the weights: one logarithm of row sums, then one of column sums.
        row = tf.reduce_logsumexp(logs - beta * log_s, axis=1, keepdims=True)
        return tf.reduce_logsumexp(logs - row, axis=0)

    if tolerance is not None:
        tolerance = tf.cast(tolerance, tf.float64)
    zeros = tf.zeros(logits.shape[1:], tf.float64)
    done, previous, log_s = _repeat(
        [step],
        lambda s, before: beta * _spread(s - before),
        (zeros, step(zeros)),
        num_iterations,
        tolerance,
    )
    targets = tf.exp(normalised(log_s))
    marginal = tf.reduce_max(tf.reduce_sum(targets, axis=0)) / batch
    distance = (1.0 - beta) * _spread(log_s - previous)
    return Solution(
        tf.cast(targets, dtype), tf.cast(distance, dtype), done, tf.cast(marginal, dtype)
    )


def _repeat(steps, bound, start, num_iterations, tolerance):
    """Applies the steps in turn until num_iterations are done, or fewer where the bound allows it.

    Args:
        steps: functions of a state, which all compute the same.
        bound: function of two successive states, compared with the tolerance between rounds.
        start: two successive states.
        num_iterations: scalar int32.
        tolerance: scalar, or None.

    Returns:
        How many iterations were done, the last state but one, and the last.
    """

    def unfinished(i, previous, state, round_):
        room = i + len(round_) <= num_iterations
        if tolerance is None:
            return room
        return room & ((i == 0) | (bound(state, previous) > tolerance))

    def advance(i, previous, state, round_):
        for step in round_:
            previous, state = state, step(state)
        return i + len(round_), previous, state

    state = (tf.constant(0), *start)
    # Whole rounds first, then what is left.
    for round_ in [steps, steps[:1]] if len(steps) > 1 else [steps]:
        state = tf.while_loop(
            functools.partial(unfinished, round_=round_),
            functools.partial(advance, round_=round_),
            state,
        )
    return state


def _round_up(rows: int) -> int:
    return -(-rows // _ALIGNED) * _ALIGNED


def _spread(x: tf.Tensor) -> tf.Tensor:
    """max - min; of a difference of logarithms it is Hilbert's projective metric."""
    return tf.reduce_max(x) - tf.reduce_min(x)


def _weights(total: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    """a = s^(-beta), up to the factor that makes the largest one 1."""
    return tf.exp(-beta * tf.math.log(total / tf.reduce_min(total)))


def _cut(matrix: tf.Tensor) -> List[List[tf.Tensor]]:
    """The blocks of `plan_shards`, one list per shard.

    Pieces of a flat tensor are no copies where they begin at multiples of 64 bytes. They are cut
    here because XLA copies a slice before it multiplies with it.
    """
    rows, columns = matrix.shape
    plan = plan_shards(rows, columns, matrix.dtype.size)
    if plan == [[(0, rows)]]:
        return [[matrix]]
    flat = tf.reshape(matrix, [-1])
    return [
        [tf.reshape(flat[b * columns : e * columns], [e - b, columns]) for b, e in blocks]
        for blocks in plan
    ]


@tf.function(jit_compile=True, autograph=False)
def _exponentials(logits, scale):
    return tf.exp((logits - logits[0, 0]) * scale)


@tf.function(jit_compile=True, autograph=False)
def _sweep(totals, beta, *blocks):
    """One shard's part of the next s; the parts of this one are `totals`."""
    return _products(totals, beta, blocks)[0]


@tf.function(jit_compile=True, autograph=False)
def _sweep_and_row_sums(totals, beta, *blocks):
    sums, denominators = _products(totals, beta, blocks)
    return sums, tf.concat(denominators, axis=0)


def _products(totals, beta, blocks):
    """A^T (1 / A a) and, block by block, A a of one shard, with a = (sum of totals)^(-beta)."""
    a = _weights(tf.add_n(totals), beta)
    sums, denominators = None, []
    for block in blocks:
        # Adds zero, since sums are positive, which XLA cannot know: it keeps the scheduler from
        # touching the next block while this one is in the cache.
        weights = a if sums is None else a + tf.minimum(sums, 0.0)
        den = tf.linalg.matvec(block, weights)
        part = tf.matmul(tf.math.reciprocal(den)[tf.newaxis], block)[0]
        sums = part if sums is None else sums + part
        denominators.append(den)
    return sums, denominators


def _targets(matrix, a, denominators):
    """Eq. 5. TensorFlow's own products overwrite A, which is needed no more; new memory is slow.

    In this order no product falls below the range of float32 unless the target does.
    """
    return matrix * tf.math.reciprocal(denominators)[:, tf.newaxis] * a
