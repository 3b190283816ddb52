"""Positives of a cluster: properties 11 and 15 of the InterCLR sheet, section 9."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import ops

RECORDS, CLUSTERS = 400, 8


@pytest.mark.slow
def test_positives_are_uniform_over_the_cluster():
    """Property 11: of the anchor's label, each member equally likely, anchors independent."""
    rng = fresh_rng()
    others = rng.integers(1, CLUSTERS, RECORDS // 2)
    labels = rng.permutation(np.concatenate([0 * others, others])).astype(np.int32)
    own = np.array([3, 3, 5, 0], np.int32)
    seen = np.zeros([4, RECORDS])
    together = 0

    @tf.function(autograph=False)
    def drawn_with(seed):
        places = tf.constant(labels), tf.constant(own)
        return ops.cluster_members(*places, key=ops.fold_key(seed), num_clusters=CLUSTERS)

    for seed in range(600):
        drawn = drawn_with(tf.constant(seed)).numpy()
        np.testing.assert_array_equal(labels[drawn], own)
        seen[np.arange(4), drawn] += 1
        together += drawn[0] == drawn[1]
    for row, label in zip(seen, own):
        size = (labels == label).sum()
        statistic = ((row[labels == label] - 600 / size) ** 2 / (600 / size)).sum()
        assert abs(statistic - size) < 6 * np.sqrt(2 * size)
    chance = 600 / (labels == 3).sum()
    assert abs(together - chance) < 6 * np.sqrt(chance)


@pytest.mark.slow
def test_positives_without_the_anchor():
    """Property 15: a singleton falls back to itself; otherwise the others are equally likely."""
    labels = tf.constant([0, 1, 1, 1, 2, 1])
    counts = np.zeros(6)

    @tf.function(autograph=False)
    def drawn_with(seed):
        return ops.cluster_members(
            labels,
            tf.constant([0, 1, 1]),
            key=ops.fold_key(seed),
            num_clusters=3,
            exclude=tf.constant([0, 2, 3]),
        )

    for seed in range(300):
        drawn = drawn_with(tf.constant(seed)).numpy()
        assert drawn[0] == 0 and drawn[1] in (1, 3, 5) and drawn[2] in (1, 2, 5)
        counts[drawn[1]] += 1
    assert np.abs(counts[[1, 3, 5]] - 100).max() < 6 * 8.2
