"""OnlineClusters: properties 7 to 10 of the InterCLR sheet, section 9."""

import statistics
import time

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import layers

RECORDS, CLUSTERS, DIM = 120, 10, 4


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def build(**options):
    """A bank and clusters that agree with it."""
    bank = layers.FeatureBank(RECORDS, DIM)
    clusters = layers.OnlineClusters(RECORDS, CLUSTERS, DIM, **options)
    labels = fresh_rng().permutation(np.arange(RECORDS) % CLUSTERS)
    clusters.recompute(bank.features, tf.constant(labels))
    return bank, clusters


def exact(bank, clusters):
    """Sums and sizes of all rows, in float64."""
    features = np.asarray(bank.features, float)
    labels = np.asarray(clusters.labels)
    sums = np.stack([features[labels == c].sum(axis=0) for c in range(CLUSTERS)])
    return sums, np.bincount(labels, minlength=CLUSTERS)


def random_batch(rng, rows=16):
    return tf.constant(rng.integers(0, RECORDS, rows)), tf.constant(
        rng.normal(size=[rows, DIM]).astype("f")
    )


def one_step(bank, clusters, indices, rows):
    change = bank.update(indices, rows)
    changed = clusters.follow(change)
    clusters.replace_small(bank.features)
    return changed


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["eager", "graph", "xla"])
@pytest.mark.parametrize("min_cluster", [0, 4])
def test_running_sums_are_the_full_sums(kind, min_cluster):
    """Property 7: after any updates, moves and splits, with indices that come twice."""
    rng = fresh_rng()
    bank, clusters = build(min_cluster=min_cluster)

    def step(indices, rows):
        return one_step(bank, clusters, indices, rows)

    if kind != "eager":
        step = tf.function(step, jit_compile=kind == "xla", autograph=False)
    for _ in range(60):
        step(*random_batch(rng))
        sums, sizes = exact(bank, clusters)
        np.testing.assert_array_equal(clusters.sizes, sizes)
        np.testing.assert_allclose(clusters.sums, sums, atol=1e-5)
        assert sizes.sum() == RECORDS and sizes.min() >= 0
        full = sizes > 0
        np.testing.assert_allclose(
            clusters.centroids.numpy()[full], sums[full] / sizes[full, None], atol=1e-5
        )


def test_a_step_is_compiled_once():
    """No value of the state is a constant of the program: the first call alone takes long."""
    bank, clusters = build(min_cluster=4)
    step = tf.function(
        lambda indices, rows: one_step(bank, clusters, indices, rows),
        jit_compile=True,
        autograph=False,
    )
    times, rng = [], fresh_rng()
    for _ in range(4):
        start = time.perf_counter()
        step(*random_batch(rng))
        times.append(time.perf_counter() - start)
    assert statistics.median(times[1:]) < times[0] / 3


def test_counting_a_record_twice_would_show():
    """Property 7: without the care for equal indices the sums are wrong."""
    bank, clusters = build()
    change = bank.update(tf.constant([5, 5, 9]), tf.constant(np.eye(3, 4, dtype="f")))
    assert list(change.counted.numpy()) == [False, True, True]
    clusters.follow(change._replace(counted=tf.constant([True, True, True])))
    sums, sizes = exact(bank, clusters)
    assert not np.allclose(clusters.sums, sums, atol=1e-3) or not np.array_equal(
        clusters.sizes, sizes
    )


@pytest.mark.parametrize("assign", ["l2", "dot"])
def test_labels_by_brute_force(assign):
    """Property 8: the recorded centroid that is best, for the batch alone, and again the same."""
    rng = fresh_rng()
    bank, clusters = build(assign=assign)
    before, centroids = clusters.labels.numpy(), clusters.centroids.numpy()
    indices = tf.constant(rng.permutation(RECORDS)[:16])
    change = bank.update(indices, rng.normal(size=[16, DIM]).astype("f"))
    share = clusters.follow(change)
    rows = change.new.numpy()
    if assign == "l2":
        expected = ((rows[:, None] - centroids) ** 2).sum(axis=2).argmin(axis=1)
    else:
        expected = (rows @ centroids.T).argmax(axis=1)
    np.testing.assert_array_equal(clusters.labels.numpy()[indices], expected)
    others = np.setdiff1d(np.arange(RECORDS), indices)
    np.testing.assert_array_equal(clusters.labels.numpy()[others], before[others])
    assert float(share) == pytest.approx(np.mean(before[indices] != expected))

    clusters.centroids.assign(centroids)
    again = change._replace(old=change.new)
    assert float(clusters.follow(again)) == 0


def test_the_two_assignments_can_differ():
    """Property 8: a long centroid wins the dot product, a near one the distance."""
    results = []
    for assign in ("l2", "dot"):
        clusters = layers.OnlineClusters(2, 2, 2, assign=assign)
        clusters.centroids.assign([[1.0, 0.0], [0.4, 0.0]])
        row = tf.constant([[0.3, 0.954]])
        change = layers.BankUpdate(tf.constant([0]), row, row, tf.constant([True]))
        clusters.follow(change)
        results.append(int(clusters.labels[0]))
    assert results == [1, 0]


def test_labelling_frozen_features_never_adds_inertia():
    """Property 9: Lloyd's descent, a batch at a time."""
    rng = fresh_rng()
    bank, clusters = build()

    def inertia():
        features, labels = np.asarray(bank.features), np.asarray(clusters.labels)
        return ((features - np.asarray(clusters.centroids)[labels]) ** 2).sum()

    values = [inertia()]
    for _ in range(40):
        indices = tf.constant(rng.permutation(RECORDS)[:16])
        rows = tf.gather(bank.features, indices)
        clusters.follow(layers.BankUpdate(indices, rows, rows, tf.ones([16], bool)))
        values.append(inertia())
    assert all(b <= a + 1e-4 for a, b in zip(values, values[1:]))
    assert values[-1] < 0.9 * values[0]


def test_an_empty_cluster_keeps_its_centroid():
    """Property 10."""
    bank, clusters = build()
    clusters.recompute(bank.features, tf.concat([[3], tf.zeros([RECORDS - 1], tf.int32)], 0))
    before = clusters.centroids.numpy()
    clusters.centroids.assign(tf.tensor_scatter_nd_update(before, [[0]], [100 * before[3]]))
    change = bank.update(tf.constant([0]), tf.constant(100 * before[3:4]))
    recorded = clusters.centroids.numpy()[3]
    clusters.labels.assign(tf.concat([[3], tf.zeros([RECORDS - 1], tf.int32)], 0))
    clusters.centroids.assign(tf.tensor_scatter_nd_update(before, [[3]], [-before[3]]))
    clusters.follow(change)
    assert int(clusters.sizes[3]) == 0
    np.testing.assert_array_equal(clusters.sums[3], np.zeros(DIM))
    np.testing.assert_array_equal(clusters.centroids[3], -recorded)
    assert np.all(np.isfinite(clusters.centroids))


def test_centroids_are_published_every_few_updates():
    rng = fresh_rng()
    bank, clusters = build(publish_every=3)
    for update in range(1, 10):
        before = clusters.centroids.numpy()
        clusters.follow(bank.update(*random_batch(rng)))
        sums, sizes = exact(bank, clusters)
        if update % 3:
            np.testing.assert_array_equal(clusters.centroids, before)
        else:
            np.testing.assert_allclose(
                clusters.centroids, sums / np.maximum(sizes, 1)[:, None], atol=1e-5
            )
        np.testing.assert_allclose(clusters.sums, sums, atol=1e-5)


def test_float32_drift_is_small_and_recompute_removes_it():
    rng = fresh_rng()
    bank, clusters = build()
    step = tf.function(lambda i, r: one_step(bank, clusters, i, r), autograph=False)
    for _ in range(500):
        step(*random_batch(rng))
    sums, sizes = exact(bank, clusters)
    np.testing.assert_allclose(clusters.sums, sums, atol=1e-4)
    clusters.recompute(bank.features)
    np.testing.assert_allclose(clusters.sums, sums, atol=2e-6)
    np.testing.assert_array_equal(clusters.sizes, sizes)


def test_two_replicas_keep_equal_clusters(two_replicas):
    """Property 18, and 20 steps: labels, sums, sizes and centroids, to the bit."""
    rng = fresh_rng()
    labels = tf.constant(np.arange(RECORDS) % CLUSTERS)
    with two_replicas.scope():
        pair = (
            layers.FeatureBank(RECORDS, DIM),
            layers.OnlineClusters(RECORDS, CLUSTERS, DIM, min_cluster=4),
        )
    single = (
        layers.FeatureBank(RECORDS, DIM),
        layers.OnlineClusters(RECORDS, CLUSTERS, DIM, min_cluster=4),
    )
    for bank, clusters in (pair, single):
        clusters.recompute(bank.features, labels)

    @tf.function(autograph=False)
    def step(indices, rows):
        two_replicas.run(lambda: one_step(*pair, indices, rows))

    for _ in range(20):
        batch = random_batch(rng)
        step(*batch)
        one_step(*single, *batch)
    for layer, alone in zip(pair, single):
        for variable, expected in zip(layer.weights, alone.weights):
            copies = [c.numpy() for c in two_replicas.experimental_local_results(variable)]
            np.testing.assert_array_equal(copies[0], copies[1])
            np.testing.assert_allclose(copies[0], expected, atol=1e-5)


def test_on_replicas_every_layer_labels_by_its_own_centroids(two_replicas):
    """The second of a process, too, whose centroids are the negatives of the first one's."""
    rng = fresh_rng()
    with two_replicas.scope():
        bank = layers.FeatureBank(RECORDS, DIM, new_weight=1.0)
        pair = [layers.OnlineClusters(RECORDS, CLUSTERS, DIM) for _ in range(2)]
    centroids = 9 * rng.normal(size=[CLUSTERS, DIM]).astype(np.float32)
    indices, rows = random_batch(rng)
    rows = unit(rows.numpy())
    for sign, clusters in zip((1, -1), pair):
        clusters.centroids.assign(sign * centroids)

        @tf.function(autograph=False)
        def step(clusters=clusters):
            two_replicas.run(lambda: clusters.follow(bank.update(indices, rows)))

        step()
        last = dict(zip(np.asarray(indices).tolist(), rows))
        nearest = {i: ((r - sign * centroids) ** 2).sum(1).argmin() for i, r in last.items()}
        for copy in two_replicas.experimental_local_results(clusters.labels):
            labels = copy.numpy()
            assert {i: labels[i] for i in nearest} == nearest


def test_checkpoint(tmp_path):
    """Property 19."""
    bank, clusters = build()
    one_step(bank, clusters, *random_batch(fresh_rng()))
    path = tf.train.Checkpoint(clusters=clusters).write(str(tmp_path / "clusters"))
    _, other = build()
    tf.train.Checkpoint(clusters=other).read(path).assert_existing_objects_matched()
    for one, two in zip(clusters.weights, other.weights):
        np.testing.assert_array_equal(one, two)
    assert len(other.weights) == 5 and not other.trainable_weights


@pytest.mark.parametrize(
    "change",
    [
        {"num_clusters": 0},
        {"num_clusters": 9},
        {"dim": 0},
        {"publish_every": 0},
        {"assign": "l1"},
        {"min_cluster": -1},
        {"min_cluster": 2},
    ],
)
def test_wrong_arguments(change):
    with pytest.raises(ValueError, match="expected .*Received: "):
        layers.OnlineClusters(**{"num_records": 8, "num_clusters": 4, "dim": 2, **change})
