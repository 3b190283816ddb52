"""The alias method: shares of the draws, its table, and what it refuses."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import ops


def chances(table):
    """What the table gives each number, from its definition."""
    kept, alias = (part.numpy() for part in table)
    found = kept.astype(np.float64)
    np.add.at(found, alias, 1.0 - kept)
    return found / len(kept)


@pytest.mark.parametrize("jit", [False, True])
def test_shares_of_the_draws(jit):
    """CMC, property 11: weights of 0.5, 0.25, 0.25 are reproduced within 1 %."""
    table = ops.alias_table([0.5, 0.25, 0.25])
    draw = tf.function(lambda keys: ops.keyed_weighted_integers(keys, 2000, table), jit_compile=jit)
    keys = ops.fold_key(int(fresh_rng().integers(2**31)), tf.range(400))
    drawn = draw(keys).numpy()
    assert drawn.shape == (400, 2000) and drawn.dtype == np.int32
    shares = np.bincount(drawn.ravel(), minlength=3) / drawn.size
    np.testing.assert_allclose(shares, [0.5, 0.25, 0.25], rtol=0.01)
    np.testing.assert_array_equal(draw(keys), drawn)
    # No key draws what another does.
    assert len(np.unique(drawn, axis=0)) == 400


@pytest.mark.parametrize("number", [1, 2, 17, 1000])
def test_the_table_has_the_weights(number):
    """Also zeros, which are never drawn, and weights that differ by ten orders of magnitude."""
    rng = fresh_rng()
    weights = 10.0 ** rng.uniform(-10, 0, number)
    weights[1::5] = 0
    table = ops.alias_table(weights)
    assert table.kept.dtype == tf.float32 and table.alias.dtype == tf.int32
    np.testing.assert_allclose(chances(table), weights / weights.sum(), atol=1e-7 / number)
    keys = ops.fold_key(3, tf.range(20))
    assert not np.isin(ops.keyed_weighted_integers(keys, 500, table), np.arange(1, number, 5)).any()


def test_equal_weights_are_the_plain_draw():
    table = ops.alias_table(np.full(40, 0.3))
    np.testing.assert_array_equal(table.kept, np.ones(40))
    keys = ops.fold_key(5, tf.range(7))
    expected = ops.keyed_integers(ops.fold_key(keys, 0), 30, below=40)
    np.testing.assert_array_equal(ops.keyed_weighted_integers(keys, 30, table), expected)


@pytest.mark.parametrize("weights", [[], [[1.0]], [0.0, 0.0], [1.0, -0.1], [1.0, np.nan], [np.inf]])
def test_wrong_weights(weights):
    with pytest.raises(ValueError, match=r"expected finite weights \[n\].*Received: shape="):
        ops.alias_table(weights)
