"""tools/benchmark_kernels.py at toy sizes: what it compares computes the same."""

import importlib.util
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import ops

PATH = pathlib.Path(__file__).parents[2] / "tools" / "benchmark_kernels.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_kernels", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_rows(benchmark):
    rows = benchmark.rows(
        batch=16, clusters=9, num_iterations=2, train=60, test=7, dim=4, repeats=2
    )
    assert {"mira_assignment", "sinkhorn_knopp", "knn_vote"} <= {row["name"] for row in rows}
    for row in rows:
        assert set(row) == {"name", "value", "unit", "ratio", "note"}
        assert row["value"] > 0 and row["ratio"] > 0


def test_straightforward_forms_agree_with_the_kernels(benchmark):
    logits = tf.constant(fresh_rng().uniform(-1, 1, (16, 9)))
    beta = tf.constant(2 / 3, tf.float64)
    np.testing.assert_allclose(
        benchmark.broadcast_form(logits, tf.constant(0.225, tf.float64), beta, 5),
        ops.mira_assignment(logits, temperature=0.225, beta=2 / 3, num_iterations=5),
        atol=1e-6,
    )
    np.testing.assert_allclose(
        benchmark.matrix_sinkhorn(logits), ops.sinkhorn_knopp(logits), atol=1e-9
    )


def test_vote_and_scikit_learn_agree(benchmark):
    rng = fresh_rng()
    train, test = rng.normal(size=(200, 8)), rng.normal(size=(9, 8))
    scores, *others = (
        np.asarray(run())
        for _, run, _ in benchmark.knn_candidates(train, rng.integers(0, 10, 200), test)
    )
    shares = scores / scores.sum(axis=1, keepdims=True)
    for other in others:
        np.testing.assert_allclose(shares, other, atol=1e-9)


def test_a_turn_of_short_calls_is_their_mean(benchmark, monkeypatch):
    """Of calls of a second each, turns of 2.5 seconds are 3; a call alone is one by default."""
    now, calls = [0.0], []

    def run():
        now[0] += 1.0
        calls.append(now[0])

    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: now[0])
    (row,) = benchmark.measure([("own", run, "")], 2, turn_seconds=2.5)
    assert (row["value"], len(calls)) == (1e3, 9)
    benchmark.measure([("own", run, "")], 2)
    assert len(calls) == 12
