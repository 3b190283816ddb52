"""Small clusters are replaced: properties 10 and 23 of the InterCLR sheet, section 9."""

import numpy as np
import tensorflow as tf

from tests.layers.test_online_clusters import DIM, RECORDS, build, exact
from tests.random_inputs import fresh_rng
from tfssl import layers
from tfssl.layers import small_clusters


def test_small_clusters_are_replaced():
    """Property 10: no empty number, no record lost, exact centroids of the two parts."""
    bank, clusters = build(min_cluster=5)
    labels = np.repeat([0, 1, 2], [100, 18, 2])
    clusters.recompute(bank.features, tf.constant(labels))
    clusters.replace_small(bank.features)
    sums, sizes = exact(bank, clusters)
    assert sizes.sum() == RECORDS and sizes.min() >= 1
    np.testing.assert_array_equal(clusters.sizes, sizes)
    np.testing.assert_allclose(clusters.sums, sums, atol=1e-5)
    np.testing.assert_allclose(clusters.centroids, sums / sizes[:, None], atol=1e-5)


def test_rows_of_small_clusters_join_the_largest_dot_product():
    """All of them are moved by the recorded centroids, before any cluster is split."""
    one, two, three = np.eye(DIM)[:3]
    medium = 0.6 * one + 0.8 * three
    # Cluster 0 has two far parts, and a mean of half their length.
    rows = np.stack([one] * 30 + [two] * 30 + [medium] * 40 + [three] * 2 + [one] * 2)
    bank = layers.FeatureBank(len(rows), DIM)
    bank.fill(rows + 0.01 * fresh_rng().normal(size=rows.shape))
    clusters = layers.OnlineClusters(len(rows), 4, DIM, min_cluster=5)
    clusters.recompute(bank.features, tf.constant(np.repeat([0, 1, 2, 3], [60, 40, 2, 2])))
    clusters.replace_small(bank.features)
    labels = clusters.labels.numpy()
    # Rows like `one` are at 0.5 to the mean of cluster 0, and at 0.6 to cluster 1. Had cluster 0
    # been split before they moved, its first part would have been at 1.
    assert len({*labels[:30]}) == len({*labels[30:60]}) == 1 and labels[0] != labels[30]
    assert not {*labels[:60]} & {*labels[60:]}
    # Cluster 1, the largest one by then, was split for the second free number.
    assert len({*labels[60:]}) == 2


def test_a_split_looks_at_rows_from_all_over_the_bank(monkeypatch):
    """2-means of the first rows alone would not find the second blob."""
    monkeypatch.setattr(small_clusters, "_MAX_ROWS", 30)
    bank = layers.FeatureBank(RECORDS, DIM)
    bank.fill(np.eye(DIM)[[0] * 60 + [1] * 60] + 0.01 * fresh_rng().normal(size=[RECORDS, DIM]))
    clusters = layers.OnlineClusters(RECORDS, 2, DIM, min_cluster=1)
    clusters.recompute(bank.features, tf.zeros([RECORDS], tf.int32))
    clusters.replace_small(bank.features)
    labels = clusters.labels.numpy()
    assert len({*labels[:60]}) == len({*labels[60:]}) == 1 and labels[0] != labels[60]


def test_a_split_finds_two_blobs():
    """Property 23: the largest cluster falls into its two natural parts."""
    rng = fresh_rng()
    bank = layers.FeatureBank(RECORDS, DIM)
    centers = np.eye(DIM)[[0] * 70 + [1] * 40 + [2] * 10]
    bank.fill(centers + 0.01 * rng.normal(size=[RECORDS, DIM]))
    clusters = layers.OnlineClusters(RECORDS, 3, DIM, min_cluster=2)
    clusters.recompute(bank.features, tf.constant(np.repeat([0, 1], [110, 10])))
    clusters.replace_small(bank.features)
    labels = clusters.labels.numpy()
    assert sorted(np.bincount(labels, minlength=3)) == [10, 40, 70]
    assert len(set(labels[:70])) == len(set(labels[70:110])) == len(set(labels[110:])) == 1
    parts = [np.asarray(bank.features)[labels == c].mean(axis=0) for c in range(3)]
    np.testing.assert_allclose(clusters.centroids, parts, atol=1e-5)


def test_rows_that_are_equal_are_split_in_halves():
    bank = layers.FeatureBank(8, DIM)
    bank.fill(tf.ones([8, DIM]))
    clusters = layers.OnlineClusters(8, 2, DIM, min_cluster=1)
    clusters.recompute(bank.features, tf.zeros([8], tf.int32))
    clusters.replace_small(bank.features)
    np.testing.assert_array_equal(clusters.sizes, [4, 4])
