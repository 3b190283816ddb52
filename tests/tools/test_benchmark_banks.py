"""The benchmarks of banks and clusters at toy sizes: what they compare computes the same."""

import importlib
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import layers, methods, ops

pytestmark = pytest.mark.slow

TOOLS = pathlib.Path(__file__).parents[2] / "tools"
BANK = {"records": 50, "dim": 4, "negatives": 5, "batch": 3}


@pytest.fixture
def banks(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("benchmark_banks")


@pytest.fixture
def multiview(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("benchmark_multiview")


@pytest.fixture
def clusters(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("benchmark_clusters")


def check(rows, *names):
    assert rows[0]["name"] == names[0] and rows[0]["ratio"] == 1
    assert set(names) <= {row["name"] for row in rows}
    for row in rows:
        assert set(row) == {"name", "value", "unit", "ratio", "note"}
        assert row["value"] > 0 and row["ratio"] > 0 and row["note"]


def test_rows_of_banks(banks):
    rows = banks.rows(**BANK, repeats=2)
    check(rows, "NCE step, own negatives", "NCE step, gather then multiply", "update of 3 rows")
    assert "the time to read" in rows[0]["note"]
    assert ("GB beyond the bank" in rows[0]["note"]) == banks.process_memory.can_weigh()


def test_steps_of_own_negatives_and_of_a_gather_agree(banks):
    bank, other = (layers.FeatureBank(50, 4, seed=7) for _ in range(2))
    drawn = tf.constant(fresh_rng().integers(0, 50, [3, 5]))
    own = banks._steps(bank, drawn)["NCE step, own negatives"]
    gathered = banks._steps(other, drawn)["NCE step, gather then multiply"]
    for _ in range(2):
        for value, expected in zip(own(), gathered()):
            np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(bank.features, other.features, atol=1e-6)


def test_rows_of_two_views(multiview):
    rows = multiview.rows(**BANK, repeats=2)
    check(rows, "CMC step, two views", "CMC step, gather then multiply")
    assert "the time to read" in rows[0]["note"]


def test_steps_of_two_views_and_of_two_gathers_agree(multiview):
    """The library's step is the equations' one, which starts with other banks."""
    plan = methods.Plan(6, steps_per_epoch=1, total_steps=1, num_records=40, seed=5)
    settings = methods.get("cmc").Config(loss="nce", num_negatives=9, projection_dim=8)
    own, (joint,) = multiview.contrast_step(settings, plan)
    gathered, banks = multiview.gather_step(settings, plan)
    for view, bank in enumerate(banks):
        bank.features.assign(joint.features[:, view])
    for _ in range(3):
        for value, expected in zip(own(), gathered()):
            np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)
    for view, bank in enumerate(banks):
        np.testing.assert_allclose(bank.features, joint.features[:, view], atol=1e-6)


def test_rows_of_sampling(clusters):
    rows = clusters.sampling_rows(records=500, dim=4, clusters=9, negatives=20, batch=3, repeats=2)
    check(rows, "semi-hard, subset", "semi-hard, exact")


def test_rows_of_clusters(clusters):
    rows = clusters.cluster_rows(records=300, dim=4, clusters=6, batch=8, repeats=2)
    check(rows, "running sums", "full average", "small clusters, none", "small clusters, one")


def test_a_cluster_is_small(clusters):
    features = tf.constant(fresh_rng().normal(size=[60, 4]).astype(np.float32))
    state = clusters._with_a_small_cluster(features, 6)
    assert state.sizes.numpy().tolist() == [1, 19, 10, 10, 10, 10]
    sums, _ = ops.cluster_totals(features, state.labels, 6)
    np.testing.assert_allclose(state.sums, sums, atol=1e-5)


def test_rows_of_kmeans(clusters):
    rows = clusters.kmeans_rows(records=200, dim=4, clusters=7, num_iterations=2, repeats=2)
    check(rows, "kmeans, an iteration", "scikit-learn, an iteration", "limit of the processor")
    inertias = [float(row["note"].split("inertia ")[1]) for row in rows[:2]]
    assert inertias[0] == pytest.approx(inertias[1], rel=0.01)


def test_both_find_the_same_clusters(clusters):
    features = tf.constant(fresh_rng().normal(size=[300, 4]).astype(np.float32))
    own, other = (run() for _, run, _ in clusters.kmeans_candidates(features, 8, 4))
    np.testing.assert_allclose(own[0], other[0], atol=1e-4)
    assert np.mean(own[1].numpy() == other[1]) > 0.99
