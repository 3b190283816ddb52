"""Column sums exchanged by replicas give the assignment of the global batch (spec T16)."""

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness
from tests.random_inputs import fresh_rng
from tfssl import ops

PROBLEM = {"temperature": 0.225, "beta": 2 / 3}


def on_replicas(strategy, logits, **options):
    rows = len(logits) // 2
    parts = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(logits[rows * context.replica_id_in_sync_group :][:rows])
    )
    solve = tf.function(
        lambda x: ops.mira_assignment_reduced(x, **PROBLEM, **options), autograph=False
    )
    targets, info = strategy.run(solve, args=(parts,))
    targets = tf.concat(strategy.experimental_local_results(targets), axis=0)
    return targets, [strategy.experimental_local_results(value) for value in info]


@pytest.mark.slow
@pytest.mark.parametrize("scale, num_iterations", [(300.0, 0), (1.0, 1), (300.0, 8), (1.0, 30)])
def test_two_replicas_solve_the_global_problem(two_replicas, scale, num_iterations):
    logits = scale * fresh_rng().uniform(-1, 1, (12, 7))
    targets, info = on_replicas(two_replicas, logits, num_iterations=num_iterations)
    expected, whole = ops.mira_assignment_with_info(
        tf.constant(logits), **PROBLEM, num_iterations=num_iterations
    )
    np.testing.assert_allclose(targets, expected, atol=1e-9)
    for received, value in zip(info, whole):
        for replica in received:
            np.testing.assert_allclose(replica, value, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_one_device_in_any_precision(dtype):
    logits = tf.cast(tf.constant(fresh_rng().uniform(-1, 1, (9, 5))), dtype)
    targets, info = ops.mira_assignment_reduced(logits, **PROBLEM)
    assert targets.dtype == tf.float32 and bool(info.finite)
    np.testing.assert_allclose(targets, ops.mira_assignment(logits, **PROBLEM), atol=1e-6)


def test_a_bad_row_of_one_replica_is_seen_by_both(two_replicas):
    logits = np.zeros((6, 4))
    logits[5, 1] = np.nan
    assert not any(bool(flag) for flag in on_replicas(two_replicas, logits, num_iterations=2)[1][1])


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"temperature": 0.0, "beta": 0.5}, "temperature > 0"),
        ({"temperature": 1.0, "beta": 1.0}, "beta < 1"),
        ({"temperature": 1.0, "beta": 0.5, "num_iterations": -1}, "num_iterations"),
    ],
)
def test_arguments_are_checked(arguments, words):
    with pytest.raises(ValueError, match=words):
        ops.mira_assignment_reduced(tf.zeros([3, 2]), **arguments)


def test_method_steps_are_the_same_either_way():
    batch = harness.make_batch("mira")
    results = []
    for assignment in ("gathered", "reduced"):
        method = harness.build("mira", assignment=assignment)
        results.append((harness.step(method, batch, times=2), harness.state(method)))
    (one, first), (other, second) = results
    for name, value in one.items():
        assert other[name] == pytest.approx(value, rel=1e-4, abs=1e-5), name
    harness.assert_same_state(first, second, 1e-5)
