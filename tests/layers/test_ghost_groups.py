"""Batch statistics of groups, in order and shuffled, against one group after the other."""

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness
from tests.random_inputs import fresh_rng
from tfssl import layers, ops
from tfssl.settings import SettingsError

ROWS, DIM = 12, 3


def make_network():
    """Batch normalisation alone, so that a row's value tells its group."""
    norm = layers.normalization.batch_norm(synchronized=False, fusable=False)
    norm.build([None, DIM])
    return norm


def normalised(rows):
    return (rows - rows.mean(axis=0)) / np.sqrt(rows.var(axis=0) + 1e-5)


@pytest.fixture
def images():
    return fresh_rng().normal(size=[ROWS, DIM]).astype(np.float32)


@pytest.mark.parametrize("num_groups", [1, 2, 3])
def test_groups_are_consecutive(images, num_groups):
    rows = layers.in_groups(make_network(), tf.constant(images), num_groups)
    expected = [normalised(group) for group in np.split(images, num_groups)]
    np.testing.assert_allclose(rows, np.concatenate(expected), atol=1e-5)


def test_shuffled_groups_mix_the_images_and_keep_their_order(images):
    network, seen = make_network(), []
    for key in (1, 2):
        key = tf.constant(key, tf.int64)
        rows = layers.in_shuffled_groups(network, tf.constant(images), 3, key=key).numpy()
        order = np.argsort(ops.fold_key(key, tf.range(ROWS)).numpy())
        expected = np.empty_like(images)
        for group in np.split(order, 3):
            expected[group] = normalised(images[group])
        np.testing.assert_allclose(rows, expected, atol=1e-5)
        seen.append(tuple(order))
        assert sorted(order) == list(range(ROWS))
    assert seen[0] != seen[1]


def test_partners_change():
    """Over many keys an image meets every other one about equally often."""
    numbered = tf.eye(ROWS, dtype=tf.float64)

    def members(images, training):
        """Each row says which images are in its group."""
        del training
        return tf.zeros_like(images) + tf.reduce_sum(images, axis=0)

    @tf.function(autograph=False)
    def groups(key):
        return layers.in_shuffled_groups(members, numbered, 3, key=key)

    draws = 400
    met = sum(groups(tf.constant(key, tf.int64)).numpy() for key in range(draws))
    share = met[~np.eye(ROWS, dtype=bool)] / draws
    assert share.mean() == pytest.approx(3 / 11, abs=1e-9)
    assert abs(share - 3 / 11).max() < 5 * np.sqrt(3 / 11 * 8 / 11 / draws)


def test_two_replicas_have_the_groups_of_one_device(images, two_replicas):
    key = tf.constant(5, tf.int64)
    alone = layers.in_shuffled_groups(make_network(), tf.constant(images), 4, key=key)
    with two_replicas.scope():
        network = make_network()

    def rows():
        first = tf.distribute.get_replica_context().replica_id_in_sync_group * (ROWS // 2)
        mine = tf.constant(images)[first : first + ROWS // 2]
        return layers.in_shuffled_groups(network, mine, 2, key=key)

    parts = two_replicas.experimental_local_results(
        tf.function(two_replicas.run, autograph=False)(rows)
    )
    np.testing.assert_allclose(np.concatenate(parts), alone, atol=1e-5)


def test_uneven_groups_are_refused(images):
    with pytest.raises(ValueError, match="divides the 12 images.*num_groups=5"):
        layers.in_groups(make_network(), tf.constant(images), 5)
    for groups in (3, 16):
        with pytest.raises(SettingsError, match="bn_groups: expected 1, or two or more"):
            harness.build("moco", bn_groups=groups)


@pytest.mark.slow
def test_moco_in_groups_on_two_replicas_is_moco_in_groups(two_replicas, float64):
    """Losses, weights and queue; moving statistics see groups in another order."""
    whole = harness.make_batch("moco")
    single = harness.build("moco", bn_groups=4, kind="graph")
    expected = harness.step(single, whole, times=2)
    with two_replicas.scope():
        double = harness.build("moco", bn_groups=4, kind="graph")
    received = harness.step(double, harness.spread(two_replicas, whole), times=2)
    assert received["loss"] == pytest.approx(expected["loss"], rel=1e-9)
    for one, two in zip(single.trainable_variables, double.trainable_variables):
        np.testing.assert_allclose(one, two, atol=1e-9)
    np.testing.assert_allclose(single.queue.rows, double.queue.rows, atol=1e-9)


def test_groups_change_the_loss():
    batch = harness.make_batch("moco")
    losses = [harness.step(harness.build("moco", bn_groups=g), batch)["loss"] for g in (1, 2, 4)]
    assert len(set(losses)) == 3
