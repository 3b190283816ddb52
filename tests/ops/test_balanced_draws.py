"""Balanced draws: what the sampler of DeepCluster's code promises."""

import numpy as np
import pytest

from tests.random_inputs import fresh_rng
from tfssl import ops


def draws(labels, key=5):
    return ops.balanced_draws(np.asarray(labels), key=ops.fold_key(key))


def test_labels_come_as_often_and_large_clusters_without_repetition():
    rng = fresh_rng()
    # Labels need not be dense; 11 does not occur.
    labels = rng.permutation(np.repeat([3, 7, 12, 40], [1, 9, 200, 790]))
    drawn = draws(labels)
    assert drawn.shape == (1000,) and drawn.dtype == np.int64
    each = 1000 // 4 + 1
    counts = {label: int((labels[drawn] == label).sum()) for label in (3, 7, 12, 40)}
    # 4 * 251 draws, of which the last 4 of a shuffle are cut off.
    assert all(each - 4 <= count <= each for count in counts.values())
    large = drawn[labels[drawn] == 40]
    assert len(set(large)) == len(large)
    # 200 places have to be repeated: about 200 (1 - 1/200)^251 are never drawn.
    small = drawn[labels[drawn] == 12]
    assert 100 < len(set(small)) < 170


def test_a_cluster_of_just_the_size_is_drawn_whole():
    labels = np.repeat([0, 1], [3, 2])
    drawn = draws(labels)
    # Three of each are drawn, five are kept.
    assert len(set(drawn[labels[drawn] == 0])) == (labels[drawn] == 0).sum() >= 2


def test_places_are_shuffled_and_keyed():
    labels = fresh_rng().integers(0, 5, 600)
    one, again, other = draws(labels), draws(labels), draws(labels, key=6)
    np.testing.assert_array_equal(one, again)
    assert (one != other).mean() > 0.9
    assert abs(np.corrcoef(labels[one][1:], labels[one][:-1])[0, 1]) < 0.2
    assert abs(np.corrcoef(one, np.arange(600))[0, 1]) < 0.2


@pytest.mark.slow
def test_every_member_is_as_likely():
    """Chi-square over 300 keys, with and without replacement."""
    labels = np.repeat([0, 1], [4, 8])
    counts = np.zeros(12)
    for key in range(300):
        counts += np.bincount(draws(labels, key), minlength=12)
    for members in (counts[:4], counts[4:]):
        mean = members.mean()
        assert ((members - mean) ** 2 / mean).sum() < 35


def test_one_cluster_and_one_record():
    assert set(draws(np.zeros(50, int))) <= set(range(50))
    np.testing.assert_array_equal(draws([3]), [0])
