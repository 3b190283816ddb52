"""InterCLR from epoch to epoch, where its clusters start, and on replicas: property 18."""

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness
from tests.golden.test_interclr import CLUSTERS, RECORDS, build, means, unit
from tfssl import ops


@pytest.mark.parametrize("base", ["npid", "moco", "byol"])
def test_clusters_start_from_the_untrained_network(base):
    """Section 2: the bank is filled with embeddings, normalised, and clustered as a whole."""
    method = build(base, num_clusters=CLUSTERS)
    rows = np.random.default_rng(1).normal(size=[RECORDS, method.base.embedding_dim])
    seen = []

    def extract(network):
        seen.append(network)
        return tf.constant(rows, tf.float32)

    method.start_epoch(0, extract)
    assert seen == [method.base.embedding_network]
    np.testing.assert_allclose(method.bank.features, unit(rows), atol=1e-6)
    labels = method.clusters.labels.numpy()
    assert sorted(set(labels)) == list(range(CLUSTERS))
    expected = means(unit(rows), labels, np.zeros([CLUSTERS, rows.shape[1]]))
    np.testing.assert_allclose(method.clusters.centroids, expected, atol=1e-5)


def test_offline_labels_wait_for_their_epochs():
    """Section 3.5: frozen between clusterings of embeddings that do not enter the bank."""
    method = build("moco", labels="offline", offline_epochs=2, min_cluster=3)
    rng = np.random.default_rng(2)
    rows = rng.normal(size=[RECORDS, 128]).astype(np.float32)
    method.start_epoch(0, lambda network: tf.constant(rows))
    start = method.clusters.labels.numpy()
    harness.step(method, harness.make_batch("moco"), times=3)
    np.testing.assert_array_equal(method.clusters.labels, start)
    bank = method.bank.features.numpy()
    assert not np.allclose(bank, unit(rows))
    method.start_epoch(1, lambda network: tf.constant(-rows))
    np.testing.assert_array_equal(method.clusters.labels, start)
    other = rng.normal(size=[RECORDS, 128]).astype(np.float32)
    method.start_epoch(2, lambda network: tf.constant(other))
    assert (method.clusters.labels.numpy() != start).any()
    np.testing.assert_array_equal(method.bank.features, bank)


@pytest.mark.parametrize("labels", ["online", "offline"])
def test_a_warm_start_is_the_base_alone_and_ends_with_a_clustering(labels):
    plan = harness.make_plan(steps_per_epoch=2)
    settings = dict(plan=plan, labels=labels, warm_start_epochs=2, min_cluster=0)
    method = build("npid", kind="graph", **settings)
    alone = harness.build("npid", kind="graph", plan=plan, loss="softmax", bank_start="embeddings")
    rows = np.random.default_rng(3).normal(size=[RECORDS, 128]).astype(np.float32)
    for each in (method, alone):
        each.start_epoch(0, lambda network: tf.constant(rows))
    for step in range(4):
        if step == 2:
            method.start_epoch(1, None)
        batch = harness.make_batch("npid", seed=step)
        logs = harness.step(method, batch)
        assert logs["loss"] == logs["intra"] == harness.step(alone, batch)["loss"]
        assert logs["inter"] == 0
    np.testing.assert_array_equal(method.bank.features, alone.bank.features)
    method.start_epoch(2, lambda network: tf.constant(rows[::-1].copy()))
    clustered = {"online": method.bank.features.numpy(), "offline": unit(rows[::-1])}[labels]
    key = int(ops.fold_key(0, 2))
    number = method.settings.num_clusters
    _, expected = ops.kmeans(
        tf.constant(clustered), num_clusters=number, num_iterations=20, seed=key
    )
    np.testing.assert_array_equal(method.clusters.labels, expected)
    logs = harness.step(method, harness.make_batch("npid", seed=4))
    assert logs["inter"] > 0
    assert logs["loss"] == pytest.approx(0.75 * logs["intra"] + 0.25 * logs["inter"], rel=1e-5)


def test_two_replicas_stay_equal_over_twenty_steps(two_replicas):
    """Property 18: bank, queue, labels, sums, sizes and centroids, to the bit."""
    with two_replicas.scope():
        method = build("moco", kind="graph", num_clusters=8, min_cluster=4)
    rows = np.random.default_rng(3).normal(size=[RECORDS, 128]).astype(np.float32)
    method.start_epoch(0, lambda network: tf.constant(rows))
    batches = [harness.make_batch("moco", seed=s) for s in range(20)]
    advance = method.make_train_function(force=True)
    for batch in batches:
        advance(iter([harness.spread(two_replicas, batch)]))
    assert int(method.global_step.numpy()) == 20
    state = [method.bank.features, method.base.queue.ring, method.base.queue.pointer]
    clusters = method.clusters
    state += [clusters.labels, clusters.sums, clusters.sizes, clusters.centroids]
    for variable in state:
        one, two = (v.numpy() for v in two_replicas.experimental_local_results(variable))
        np.testing.assert_array_equal(one, two)
    assert int(method.base.queue.pointer.numpy()) == 160


@pytest.mark.slow
@pytest.mark.parametrize("base, settings", [("npid", {"sampler": "random"}), ("byol", {})])
def test_other_bases_on_two_replicas_equal_one_device(base, settings, float64, two_replicas):
    """Property 18, with draws for every anchor and with two anchors an image."""
    single = build(base, **settings)
    with two_replicas.scope():
        double = build(base, kind="graph", **settings)
    rows = tf.constant(np.random.default_rng(3).normal(size=[RECORDS, single.base.embedding_dim]))
    for method in (single, double):
        method.start_epoch(0, lambda network: rows)
        advance = method.make_train_function(force=True)
        for seed in range(3):
            batch = harness.make_batch(base, seed=seed)
            advance(iter([batch if method is single else harness.spread(two_replicas, batch)]))
    harness.assert_same_state(harness.state(single), harness.state(double), 1e-8)
