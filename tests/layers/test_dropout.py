"""Keyed dropout: its rate, its mean, and that it is a function of the keys."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import layers
from tfssl.ops import fold_key


@pytest.fixture
def keys():
    """Of 400 rows."""
    return fold_key(int(fresh_rng().integers(2**31)), tf.range(400))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_a_share_is_0_and_the_rest_makes_up_for_it(keys, rate):
    rows = fresh_rng().uniform(1, 2, [400, 250])
    dropped = layers.keyed_dropout(tf.constant(rows), keys, rate=rate).numpy()
    kept = dropped != 0
    np.testing.assert_allclose(dropped[kept], rows[kept] / (1 - rate))
    # Within five standard deviations overall, and six in every column.
    spread = np.sqrt(rate * (1 - rate))
    assert abs(kept.mean() - (1 - rate)) < 5 * spread / np.sqrt(kept.size)
    assert np.abs(kept.mean(axis=0) - (1 - rate)).max() < 6 * spread / np.sqrt(400)


def test_rows_depend_on_their_keys_alone(keys):
    rows = tf.ones([400, 9])
    whole = layers.keyed_dropout(rows, keys, rate=0.5).numpy()
    part = layers.keyed_dropout(rows[:3], keys[7:10], rate=0.5)
    np.testing.assert_array_equal(part, whole[7:10])
    assert len({tuple(row) for row in whole}) > 200


def test_rate_0_changes_nothing_and_gradients_are_the_mask(keys):
    rows = tf.constant(fresh_rng().normal(size=[400, 3]))
    np.testing.assert_array_equal(layers.keyed_dropout(rows, keys, rate=0.0), rows)
    with tf.GradientTape() as tape:
        tape.watch(rows)
        dropped = layers.keyed_dropout(rows, keys, rate=0.75)
    gradient = tape.gradient(dropped, rows).numpy()
    np.testing.assert_allclose(gradient * rows, dropped)
    assert set(np.unique(gradient)) == {0.0, 4.0}


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_wrong_rate_is_refused(keys, rate):
    with pytest.raises(ValueError, match=r"rate in \[0, 1\). Received: "):
        layers.keyed_dropout(tf.ones([400, 3]), keys, rate=rate)
