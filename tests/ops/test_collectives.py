"""cross_replica_concat on two logical CPU devices: rows, loss and gradient."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import ops

BATCH, DIM = 3, 4


@pytest.fixture
def rows():
    return fresh_rng().normal(size=(2 * BATCH, DIM))


def per_replica(strategy, values):
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(values[BATCH * context.replica_id_in_sync_group :][:BATCH])
    )


def run(strategy, function, values):
    results = strategy.run(
        tf.function(function, autograph=False), args=(per_replica(strategy, values),)
    )
    return [strategy.experimental_local_results(r) for r in tf.nest.flatten(results)]


def nonlinear(own, everything, begin):
    """A loss of own rows that looks at all rows, and at each row in another way."""
    weights = tf.range(1.0, 1.0 + everything.shape[0])
    similarities = tf.matmul(own, everything, transpose_b=True)
    scale = tf.cast(begin + 1, tf.float64)
    return scale * tf.reduce_sum(tf.sin(similarities) * tf.cast(weights, tf.float64))


def test_every_replica_sees_all_rows_in_order(two_replicas, rows):
    def step(x):
        everything = ops.cross_replica_concat(x)
        assert everything.shape == (2 * BATCH, DIM)
        return everything, ops.local_rows(everything, BATCH), ops.row_offset(BATCH)

    everything, own, begin = run(two_replicas, step, rows)
    for replica in range(2):
        np.testing.assert_array_equal(everything[replica], rows)
        np.testing.assert_array_equal(own[replica], rows[BATCH * replica :][:BATCH])
        assert int(begin[replica]) == BATCH * replica


def test_booleans_are_gathered_too(two_replicas, rows):
    def step(x):
        return ops.cross_replica_concat(x > 0)

    (everything,) = run(two_replicas, step, rows)
    for replica in range(2):
        np.testing.assert_array_equal(everything[replica], rows > 0)


def test_gradient_is_the_sum_over_replicas(two_replicas, rows):
    """Each replica's gradient equals that of the sum of both losses on one device."""

    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            everything = ops.cross_replica_concat(x)
            loss = nonlinear(x, everything, ops.row_offset(BATCH))
        return loss, tape.gradient(loss, x)

    loss, gradient = run(two_replicas, step, rows)
    x = tf.constant(rows)
    with tf.GradientTape() as tape:
        tape.watch(x)
        parts = [nonlinear(x[b : b + BATCH], x, b) for b in (0, BATCH)]
        total = tf.add_n(parts)
    np.testing.assert_allclose([float(v) for v in loss], [float(v) for v in parts], rtol=1e-12)
    np.testing.assert_allclose(np.concatenate(gradient), tape.gradient(total, x), rtol=1e-10)


def test_rows_shared_by_both_replicas_are_gathered_twice(two_replicas, rows):
    shared = tf.constant(rows[:BATCH])
    gathered = two_replicas.run(lambda: ops.cross_replica_concat(shared))
    for value in two_replicas.experimental_local_results(gathered):
        np.testing.assert_array_equal(value, np.concatenate([rows[:BATCH]] * 2))


@pytest.mark.parametrize("dtype", [tf.float16, tf.int64])
def test_other_types(two_replicas, rows, dtype):
    values = tf.cast(100 * rows, dtype).numpy()
    (gathered,) = run(two_replicas, ops.cross_replica_concat, values)
    np.testing.assert_array_equal(gathered[0], values)


@pytest.mark.parametrize("strategy", [None, "CPU:0"], ids=["no strategy", "one replica"])
def test_one_replica_is_the_identity(rows, strategy):
    x = tf.Variable(rows)

    def step():
        with tf.GradientTape() as tape:
            everything = ops.cross_replica_concat(x)
            own = ops.local_rows(everything, 2 * BATCH)
            loss = tf.reduce_sum(everything * own)
        return everything, own, tape.gradient(loss, x)

    if strategy:
        mirrored = tf.distribute.MirroredStrategy([strategy])
        with mirrored.scope():
            x = tf.Variable(rows)
        results = mirrored.run(step)
    else:
        results = step()
    everything, own, gradient = results
    np.testing.assert_array_equal(everything, rows)
    np.testing.assert_array_equal(own, rows)
    np.testing.assert_allclose(gradient, 2 * rows)
    assert ops.row_offset(BATCH) == 0


def test_outside_the_replicas_it_is_an_error(two_replicas, rows):
    with two_replicas.scope(), pytest.raises(RuntimeError, match="inside strategy.run"):
        ops.cross_replica_concat(tf.constant(rows))


def test_scalars_are_an_error():
    with pytest.raises(ValueError, match="rank >= 1. Received: a scalar"):
        ops.cross_replica_concat(tf.constant(1.0))
