"""Times samplers of negatives, online clusters and k-means beside plain ways to the same end.

The functions that end in `rows` are what tools/benchmark.py prints.
"""

import os
import warnings
from typing import Any, Callable, Dict, List

import benchmark_kernels
import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from tfssl import layers, ops
from tfssl.layers.small_clusters import Clustering, replace_small

import tensorflow as tf  # isort: skip  (after tfssl, which selects Keras 2)

Row = Dict[str, Any]

# Updates of online clusters in one program, each of another batch: in training an update is a part
# of a step, so the start of a program is not its cost.
_UPDATES = 64
# Rows and columns of the product that stands for the processor's limit.
_LARGE = 2048


def sampling_rows(
    *,
    records: int = 1_281_167,
    dim: int = 128,
    clusters: int = 10_000,
    negatives: int = 16_384,
    batch: int = 32,
    repeats: int = 5,
) -> List[Row]:
    """Times semi-hard negatives by both ways of --interclr_sampling, subset and exact.

    Args:
        records, dim: size of the bank, float32.
        clusters: of random sizes.
        negatives: K; the subset has 10 K records, or all.
        batch: anchors. The exact pool needs several `[batch, records]`, 164 MB each for 32.
        repeats: timed rounds.

    Returns:
        Rows as `benchmark_kernels.measure` makes them; ratios are to the subset.
    """
    bank = _unit_rows(records, dim, 1)
    labels = _labels(records, clusters)
    anchors, key = _unit_rows(batch, dim, 2), ops.fold_key(4)
    keys = ops.fold_key(key, tf.range(batch, dtype=tf.int64))
    part = bank[: 10 * negatives]
    size = {"num_negatives": negatives}

    @tf.function(autograph=False)
    def subset():
        draws = dict(key=key, keys=keys)
        return ops.subset_negatives(bank, labels, anchors, labels[:batch], **draws, **size)

    @tf.function(autograph=False)
    def exact():
        return ops.pool_negatives(bank, labels, anchors, labels[:batch], keys=keys, **size)

    product = tf.function(lambda rows: tf.matmul(anchors, rows, transpose_b=True), autograph=False)
    problem = f"{records}x{dim}, K={negatives}, {batch} anchors"
    candidates = [
        ("semi-hard, subset", subset, f"subset_negatives, {problem}"),
        ("semi-hard, exact", exact, "pool_negatives, the same problem"),
        ("its similarities, subset", lambda: product(part), "one matrix product"),
        ("its similarities, exact", lambda: product(bank), "one matrix product"),
    ]
    return benchmark_kernels.measure(candidates, repeats)


def cluster_rows(
    *,
    records: int = 1_281_167,
    dim: int = 128,
    clusters: int = 10_000,
    batch: int = 256,
    repeats: int = 15,
) -> List[Row]:
    """Times a step of online clusters, its parts, and full averages of the bank.

    Args:
        records, dim: size of the bank, float32.
        clusters: k.
        batch: rows of a bank's update.
        repeats: timed rounds.

    Returns:
        Rows as `benchmark_kernels.measure` makes them, of the first two the mean of many updates;
        ratios are to the running sums alone.
    """
    bank = layers.FeatureBank(records, dim)
    online = layers.OnlineClusters(records, clusters, dim, min_cluster=2)
    online.recompute(bank.features, tf.range(records) % clusters)
    changes = [_change(bank, clusters, batch, seed) for seed in range(_UPDATES)]
    features = tf.identity(bank.features)
    smaller = _with_a_small_cluster(features, clusters)

    def compiled(function: Callable, *arguments: Any) -> Callable[[], Any]:
        traced = tf.function(function, autograph=False)
        return lambda: traced(*arguments)

    candidates = [
        (
            "running sums",
            compiled(lambda: [online.relabel(*change) for change in changes][-1]),
            f"OnlineClusters.relabel, batch {batch} of {records}x{dim}, k={clusters}",
        ),
        (
            "running sums and labels",
            compiled(lambda: [online.follow(change) for change, _ in changes][-1]),
            "OnlineClusters.follow: the nearest of all centroids as well",
        ),
        ("full average", compiled(online.recompute, features), "OnlineClusters.recompute"),
        (
            "full average, segment sum alone",
            compiled(lambda f: tf.math.unsorted_segment_sum(f, online.labels, clusters), features),
            "tf.math.unsorted_segment_sum of the bank",
        ),
        (
            "small clusters, none",
            compiled(lambda: online.replace_small(bank.features)),
            "OnlineClusters.replace_small: the look at all sizes",
        ),
        (
            "small clusters, one",
            lambda: replace_small(features, smaller, 2),
            "dissolved, and the largest split",
        ),
    ]
    measured = benchmark_kernels.measure(candidates, repeats)
    for row in measured[:2]:
        row["value"] /= _UPDATES
    for row in measured:
        row["ratio"] = row["value"] / measured[0]["value"]
    return measured


def kmeans_rows(
    *,
    records: int = 50_000,
    dim: int = 128,
    clusters: int = 1000,
    num_iterations: int = 5,
    repeats: int = 5,
) -> List[Row]:
    """Times an iteration of k-means.

    Args:
        records, dim: size of the problem, unit rows, float32.
        clusters: k; the start is the first k rows.
        num_iterations: of each run, whose time is divided by them.
        repeats: timed rounds.

    Returns:
        Rows as `benchmark_kernels.measure` makes them, a third for the products that an iteration
        needs, at the speed of a large one; ratios are to the library's.
    """
    features = _unit_rows(records, dim, 1)
    large = _unit_rows(_LARGE, _LARGE, 2)
    product = tf.function(tf.matmul, autograph=False)
    found: Dict[str, tuple] = {}
    candidates = [
        (name, lambda name=name, run=run: found.update({name: run()}), note)
        for name, run, note in kmeans_candidates(features, clusters, num_iterations)
    ]
    candidates += [("limit of the processor", lambda: product(large, large), "")]
    *measured, limit = benchmark_kernels.measure(candidates, repeats)
    for row in measured:
        row["value"] /= num_iterations
        row["note"] += f"; inertia {_inertia(features, *found[row['name']]):.1f}"
    # Both label once more at the end.
    passes = (num_iterations + 1) / num_iterations
    limit["value"] *= passes * records * clusters * dim / _LARGE**3
    limit["ratio"] = limit["value"] / measured[0]["value"]
    limit["note"] = f"2 N k D operations at the speed of a product of {_LARGE}x{_LARGE}"
    return [*measured, limit]


def kmeans_candidates(features: tf.Tensor, clusters: int, num_iterations: int) -> List[tuple]:
    """Both from the first rows; each returns centroids and labels."""
    start = features[:clusters]
    array = features.numpy()

    def own() -> tuple:
        return ops.kmeans(
            features, num_clusters=clusters, num_iterations=num_iterations, initial_centroids=start
        )

    def scikit_learn() -> tuple:
        settings = {"init": start.numpy(), "n_init": 1, "tol": 0, "algorithm": "lloyd"}
        with warnings.catch_warnings():
            # It was told to stop early.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = KMeans(clusters, max_iter=num_iterations, **settings).fit(array)
        return fitted.cluster_centers_, fitted.labels_

    problem = f"{len(array)}x{array.shape[1]}, {clusters} clusters"
    return [
        ("kmeans, an iteration", own, f"{problem}, {num_iterations} iterations and labels"),
        ("scikit-learn, an iteration", scikit_learn, f"KMeans, lloyd, {os.cpu_count()} cores"),
    ]


def _inertia(features: tf.Tensor, centroids: Any, labels: Any) -> float:
    return float(tf.reduce_sum((features - tf.gather(centroids, labels)) ** 2))


def _unit_rows(number: int, dim: int, seed: int) -> tf.Tensor:
    return tf.math.l2_normalize(tf.random.stateless_normal([number, dim], [seed, 0]), axis=1)


def _labels(number: int, clusters: int) -> tf.Tensor:
    return tf.random.stateless_uniform([number], [5, 0], 0, clusters, tf.int32)


def _change(bank: layers.FeatureBank, clusters: int, batch: int, seed: int) -> tuple:
    """An update of the bank at random records, and a label for each of them."""
    records, dim = bank.features.shape
    indices = tf.random.stateless_uniform([batch], [2, seed], 0, records, tf.int64)
    change = bank.update(indices, _unit_rows(batch, dim, seed))
    return change, tf.cast((indices + 1) % clusters, tf.int32)


def _with_a_small_cluster(features: tf.Tensor, clusters: int) -> Clustering:
    """Clusters of equal sizes, but all rows of number 0 save one are in number 1."""
    labels = np.arange(len(features)) % clusters
    labels[np.flatnonzero(labels == 0)[1:]] = 1
    online = layers.OnlineClusters(len(features), clusters, features.shape[1])
    online.recompute(features, labels)
    state = (online.labels, online.sums, online.sizes, online.centroids)
    return Clustering(*map(tf.identity, state))
