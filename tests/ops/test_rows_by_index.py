"""Rows that carry an index, against loops."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import ops


@pytest.mark.parametrize("batch", [1, 2, 50])
def test_agree_with_loops(batch):
    rng = fresh_rng()
    indices, rows = rng.integers(0, 20, batch), rng.normal(size=[batch, 3])
    last = [max(j for j in range(batch) if indices[j] == i) for i in indices]
    np.testing.assert_array_equal(ops.last_of_equals(tf.constant(indices)), last)
    sums = [rows[indices == i].sum(axis=0) for i in indices]
    received = ops.sums_of_equals(tf.constant(indices), tf.constant(rows), 20).numpy()
    np.testing.assert_allclose(received, sums, atol=1e-12)
    for i in indices:
        assert len({row.tobytes() for row in received[indices == i]}) == 1


def test_inside_an_xla_program():
    program = tf.function(ops.sums_of_equals, jit_compile=True, autograph=False)
    sums = program(tf.constant([4, 9, 4]), tf.constant([1.0, 2.0, 3.0]), 10)
    np.testing.assert_array_equal(sums, [4.0, 2.0, 4.0])
    last = tf.function(ops.last_of_equals, jit_compile=True, autograph=False)
    np.testing.assert_array_equal(last(tf.constant([4, 9, 4])), [2, 1, 2])


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("capacity", [1, 4, 9])
def test_places_agree_with_where(capacity, jit):
    rng = fresh_rng()
    for share in (0.0, 0.3, 1.0):
        mask = rng.uniform(size=9) < share
        program = tf.function(
            lambda m: ops.places_of(m, capacity), jit_compile=jit, autograph=False
        )
        places, valid = program(tf.constant(mask))
        expected = np.flatnonzero(mask)[:capacity]
        np.testing.assert_array_equal(places.numpy()[: len(expected)], expected)
        np.testing.assert_array_equal(valid, np.arange(capacity) < len(expected))
        first = expected[0] if len(expected) else 0
        assert (places.numpy()[len(expected) :] == first).all()
