"""kmeans against scikit-learn and brute force; property 23 of the InterCLR sheet, section 9."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.cluster import KMeans

from tests.random_inputs import fresh_rng
from tfssl import ops


def inertia(features, centroids, labels):
    return float(np.sum((features - np.asarray(centroids)[np.asarray(labels)]) ** 2))


def nearest(features, centroids):
    return np.argmin(((features[:, None] - np.asarray(centroids)[None]) ** 2).sum(axis=2), axis=1)


@pytest.fixture
def features():
    rows = fresh_rng().normal(size=[700, 6]).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_agrees_with_scikit_learn(features):
    """The same starts and the same number of iterations: an inertia within 1 %."""
    start = features[:20]
    reference = KMeans(20, init=start, n_init=1, max_iter=15, tol=0, algorithm="lloyd")
    reference.fit(features)
    centroids, labels = ops.kmeans(
        features, num_clusters=20, num_iterations=15, initial_centroids=start
    )
    assert inertia(features, centroids, labels) == pytest.approx(reference.inertia_, rel=0.01)


def test_one_iteration_by_hand(features):
    start = features[:9]
    old = nearest(features, start)
    means = np.stack([features[old == c].mean(axis=0) for c in range(9)])
    centroids, labels = ops.kmeans(
        features, num_clusters=9, num_iterations=1, initial_centroids=start
    )
    np.testing.assert_allclose(centroids, means, atol=1e-6)
    np.testing.assert_array_equal(labels, nearest(features, means))


@pytest.mark.parametrize("start", ["random", "k-means++"])
def test_inertia_never_grows(features, start):
    values = []
    for iterations in range(7):
        centroids, labels = ops.kmeans(
            features, num_clusters=30, num_iterations=iterations, seed=3, start=start
        )
        values.append(inertia(features, centroids, labels))
        assert set(labels.numpy()) == set(range(30))
    assert all(later <= earlier * (1 + 1e-6) for earlier, later in zip(values, values[1:]))
    assert values[-1] < values[0]


@pytest.mark.parametrize("rows, clusters", [(1, 1), (5, 5), (64, 3), (65, 64), (4099, 1024)])
def test_blocks_of_any_size(rows, clusters, monkeypatch):
    """Labels are those of a search over everything at once."""
    monkeypatch.setattr("tfssl.ops.lloyd._BLOCK_BYTES", 1)
    features = fresh_rng().normal(size=[rows, 3])
    centroids, labels = ops.kmeans(features, num_clusters=clusters, num_iterations=2)
    assert labels.shape == [rows] and labels.dtype == tf.int32
    found = nearest(features, centroids)
    assert np.mean(found == labels.numpy()) == 1


@pytest.mark.parametrize("start", ["random", "k-means++"])
def test_finds_separated_blobs(start):
    """A single random start may not; the best of several seeds does."""
    rng = fresh_rng()
    centers = np.linalg.qr(rng.normal(size=[8, 8]))[0]
    truth = rng.integers(0, 8, 400)
    features = centers[truth] + 0.01 * rng.normal(size=[400, 8])
    results = [
        ops.kmeans(features, num_clusters=8, num_iterations=10, seed=seed, start=start)
        for seed in range(40)
    ]
    labels = min(results, key=lambda r: inertia(features, *r))[1].numpy()
    pairs = set(zip(labels.tolist(), truth.tolist()))
    assert len(pairs) == 8


def test_k_means_plus_plus_starts_better_than_random(features):
    spread = np.concatenate([features[:650], 30 * features[650:]])
    mean = {}
    for start in ("random", "k-means++"):
        mean[start] = np.mean(
            [
                inertia(
                    spread,
                    *ops.kmeans(spread, num_clusters=20, num_iterations=0, seed=seed, start=start),
                )
                for seed in range(10)
            ]
        )
    assert mean["k-means++"] < mean["random"]


def test_random_starts_are_uniform_over_rows():
    counts = np.zeros(6)
    features = np.arange(6.0)[:, None]
    for seed in range(600):
        centroids, _ = ops.kmeans(features, num_clusters=2, num_iterations=0, seed=seed)
        counts[centroids.numpy()[:, 0].astype(int)] += 1
    # Each row is drawn with chance 1/3: 200 times, give or take 11.5.
    assert np.all(np.abs(counts - 200) < 5 * 11.5)


def test_same_seed_same_result(features):
    one, two, other = (
        ops.kmeans(features, num_clusters=10, num_iterations=3, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])
    assert not np.array_equal(one[0], other[0])


def test_equal_rows_still_fill_every_cluster():
    features = np.ones([12, 2])
    for iterations in (0, 3):
        centroids, labels = ops.kmeans(features, num_clusters=5, num_iterations=iterations)
        assert set(labels.numpy()) == set(range(5))
        np.testing.assert_allclose(centroids, np.ones([5, 2]))


def test_an_empty_cluster_takes_the_farthest_row():
    features = np.array([[0.0], [1.0], [2.0], [50.0]])
    centroids, labels = ops.kmeans(
        features, num_clusters=2, num_iterations=1, initial_centroids=np.array([[1.0], [999.0]])
    )
    np.testing.assert_allclose(centroids, [[1.0], [50.0]])
    np.testing.assert_array_equal(labels, [0, 0, 0, 1])


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float64])
def test_types(features, dtype):
    centroids, labels = ops.kmeans(tf.cast(features, dtype), num_clusters=4, num_iterations=2)
    assert centroids.dtype == (tf.float64 if dtype == tf.float64 else tf.float32)
    np.testing.assert_array_equal(labels, nearest(tf.cast(features, dtype).numpy(), centroids))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"features": np.zeros([3])}, "features"),
        ({"features": np.zeros([0, 3])}, "features"),
        ({"num_clusters": 0}, "num_clusters"),
        ({"num_clusters": 6}, "num_clusters"),
        ({"num_iterations": -1}, "num_iterations"),
        ({"start": "best"}, "start"),
        ({"initial_centroids": np.zeros([3, 3])}, "initial_centroids"),
    ],
)
def test_wrong_arguments(change, message):
    arguments = {"features": np.zeros([5, 3]), "num_clusters": 2}
    with pytest.raises(ValueError, match=f"{message}.*Received: "):
        ops.kmeans(**{**arguments, **change})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite(bad):
    features = np.ones([5, 3])
    features[2, 1] = bad
    with pytest.raises(tf.errors.InvalidArgumentError, match="finite features"):
        ops.kmeans(features, num_clusters=2)
