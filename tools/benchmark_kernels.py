"""Times the kernels of tfssl.ops against plain ways of computing the same.

`rows()` is what tools/benchmark.py prints. The candidates of one group take turns in one process,
after a round that compiles them, and each gets the median of its times: whatever else slows the
machine down slows all of them.
"""

import itertools
import statistics
import time
from typing import Any, Callable, Dict, List, Tuple

import tfssl  # noqa: F401  (first, it selects Keras 2)

# isort: split
import numpy as np
import tensorflow as tf
from sklearn.neighbors import KNeighborsClassifier

from tfssl import ops

Row = Dict[str, Any]
Candidates = List[Tuple[str, Callable[[], Any], str]]

_TEMPERATURE, _BETA = 0.225, 2 / 3


def rows(
    *,
    batch: int = 4096,
    clusters: int = 3000,
    num_iterations: int = 30,
    train: int = 50_000,
    test: int = 10_000,
    dim: int = 128,
    repeats: int = 21,
) -> List[Row]:
    """Times everything.

    Args:
        batch, clusters, num_iterations: size of the assignment problem.
        train, test, dim: size of the nearest-neighbour problem.
        repeats: timed rounds per group; nearest neighbours get a seventh of them.

    Returns:
        One dict per contender with `name`, `value` (median) and its `unit`, `ratio` (its time over
        that of the group's first contender, the library's own) and `note`.
    """
    rng = np.random.default_rng(0)
    logits = tf.constant(rng.uniform(-0.5, 0.5, (batch, clusters)).astype(np.float32))
    labels = rng.integers(0, 10, train)
    # Clusters, as features have: neighbours of noise would all be equally far.
    centers = rng.normal(size=(10, dim))
    noise = [rng.normal(size=(n, dim)) for n in (train, test)]
    train_features = (centers[labels] + noise[0]).astype(np.float32)
    test_features = (centers[rng.integers(0, 10, test)] + noise[1]).astype(np.float32)
    return [
        *measure(assignment_candidates(logits, num_iterations), repeats),
        *measure(sinkhorn_candidates(logits), repeats),
        *measure(knn_candidates(train_features, labels, test_features), -(-repeats // 7)),
    ]


def measure(candidates: Candidates, repeats: int, *, turn_seconds: float = 0.0) -> List[Row]:
    """Medians of `repeats` rounds in which every candidate has its turn, after one to warm up.

    A turn is one call, or as many as pass `turn_seconds` and then their mean: what short calls take
    one after the other, rather than what one takes while others have emptied the caches.
    """
    times = {name: [] for name, _, _ in candidates}
    for round_ in range(repeats + 1):
        for name, run, _ in candidates:
            seconds = _turn(run, turn_seconds)
            if round_:
                times[name].append(1e3 * seconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    own = medians[candidates[0][0]]
    return [
        {
            "name": name,
            "value": medians[name],
            "unit": "ms",
            "ratio": medians[name] / own,
            "note": note,
        }
        for name, _, note in candidates
    ]


def _turn(run: Callable[[], Any], turn_seconds: float) -> float:
    """Seconds of a call, the mean of those in one turn."""
    begin = time.perf_counter()
    for calls in itertools.count(1):
        run()
        tf.test.experimental.sync_devices()
        elapsed = time.perf_counter() - begin
        if elapsed >= turn_seconds:
            return elapsed / calls


def assignment_candidates(logits: tf.Tensor, num_iterations: int) -> Candidates:
    """MIRA, the two straightforward forms, and the passes over the matrix it cannot do without."""
    passes = num_iterations + 1
    plain = tf.function(broadcast_form, autograph=False)
    compiled = tf.function(broadcast_form, jit_compile=True, autograph=False)
    read = tf.function(tf.reduce_sum, autograph=False)
    matrix = tf.exp((logits - tf.reduce_max(logits)) / (_TEMPERATURE * (1 - _BETA)))
    vector = tf.ones(matrix.shape[1:])
    temperature, beta = tf.constant(_TEMPERATURE), tf.constant(_BETA)
    own = f"{logits.shape[0]}x{logits.shape[1]}, {num_iterations} iterations, float32"
    return [
        (
            "mira_assignment",
            lambda: ops.mira_assignment(
                logits, temperature=temperature, beta=beta, num_iterations=num_iterations
            ),
            own,
        ),
        (
            f"{passes} matvec passes",
            lambda: matvec_passes(matrix, vector, tf.constant(passes)),
            "tf.linalg.matvec in a graph loop: half of the arithmetic",
        ),
        (
            f"{2 * passes} matvec passes",
            lambda: matvec_passes(matrix, vector, tf.constant(2 * passes)),
            "all of the arithmetic, reading the matrix twice per iteration",
        ),
        (
            f"{passes} reads",
            lambda: [read(matrix) for _ in range(passes)],
            "tf.reduce_sum of the matrix: the limit of one pass per iteration",
        ),
        (
            "mira, broadcast form, XLA",
            lambda: compiled(logits, temperature, beta, num_iterations),
            "sums of [batch, clusters] products, jit_compile=True",
        ),
        (
            "mira, broadcast form, graph",
            lambda: plain(logits, temperature, beta, num_iterations),
            "the same, tf.function",
        ),
    ]


def sinkhorn_candidates(logits: tf.Tensor) -> Candidates:
    """SwAV's codes, and the published procedure compiled as it stands."""
    compiled = tf.function(matrix_sinkhorn, jit_compile=True, autograph=False)
    return [
        (
            "sinkhorn_knopp",
            lambda: ops.sinkhorn_knopp(logits),
            f"{logits.shape[0]}x{logits.shape[1]}, 3 iterations, float32",
        ),
        (
            "sinkhorn, matrix form, XLA",
            lambda: compiled(logits),
            "divides the whole matrix by its sums",
        ),
    ]


def knn_candidates(train, labels, test) -> Candidates:
    """The vote, and scikit-learn's brute force with the same weights."""

    def scikit_learn(metric, weights):
        classifier = KNeighborsClassifier(20, algorithm="brute", metric=metric, weights=weights)
        return lambda: classifier.fit(unit_train, labels).predict_proba(unit_test)

    unit_train, unit_test = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (train, test))
    return [
        (
            "knn_vote",
            lambda: ops.knn_vote(train, labels, test, num_classes=10),
            f"{len(test)} rows against {len(train)}x{train.shape[1]}, k=20",
        ),
        (
            "scikit-learn, cosine",
            scikit_learn("cosine", lambda d: np.exp((1 - d) / 0.07)),
            "KNeighborsClassifier, brute force, weights by a callable",
        ),
        (
            "scikit-learn, Euclidean",
            scikit_learn("euclidean", lambda d: np.exp((1 - d * d / 2) / 0.07)),
            "the same neighbours of unit rows by its fused search, which knows no cosine",
        ),
    ]


def broadcast_form(logits, temperature, beta, num_iterations):
    """MIRA, arXiv 2211.02284, Eq. 7 as it is written."""
    g = beta / (1.0 - beta)
    a = tf.nn.softmax(logits / (temperature * (1.0 - beta)))
    u = tf.reduce_mean(a, axis=0) ** (1.0 - beta)
    for _ in range(num_iterations):
        den = tf.reduce_sum(u**-g * a, axis=1, keepdims=True)
        u = tf.reduce_mean(a / den, axis=0) ** (1.0 - beta)
    targets = u**-g * a
    return targets / tf.reduce_sum(targets, axis=1, keepdims=True)


def matrix_sinkhorn(logits):
    """SwAV, arXiv 2006.09882, as its pseudo-code has it, with rows for samples."""
    q = tf.exp((logits - tf.reduce_max(logits)) / 0.05)
    q /= tf.reduce_sum(q)
    for _ in range(3):
        q /= tf.reduce_sum(q, axis=0, keepdims=True) * q.shape[1]
        q /= tf.reduce_sum(q, axis=1, keepdims=True) * q.shape[0]
    return q * q.shape[0]


@tf.function(autograph=False)
def matvec_passes(matrix, vector, passes):
    """Products of one matrix with as many vectors, each depending on the last."""

    def step(i, vector, total):
        product = tf.linalg.matvec(matrix, vector)
        return i + 1, vector * (1.0 + 1e-30 * product[0]), total + product

    state = (tf.constant(0), vector, tf.zeros_like(matrix[:, 0]))
    return tf.while_loop(lambda i, *_: i < passes, step, state)[2]
