"""Entropies against SciPy, feature gauges against NumPy's singular values and known cases."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tests.random_inputs import fresh_rng
from tfssl import ops


@pytest.fixture
def rng():
    return fresh_rng()


@pytest.fixture
def rows(rng):
    return rng.dirichlet(np.ones(6), size=9)


def test_entropies_agree_with_scipy(rows, rng):
    other = rng.dirichlet(np.ones(6), size=9)
    mean = rows.mean(axis=0)
    mean_entropy = stats.entropy(rows, axis=1).mean()
    assert float(ops.mean_entropy(rows)) == pytest.approx(mean_entropy, abs=1e-7)
    assert float(ops.marginal_entropy(mean)) == pytest.approx(stats.entropy(mean), abs=1e-7)
    information = stats.entropy(mean) - mean_entropy
    assert float(ops.mutual_information(rows)) == pytest.approx(information, abs=1e-7)
    divergence = stats.entropy(rows, other, axis=1).mean()
    assert float(ops.mean_kl(rows, other)) == pytest.approx(divergence, abs=1e-5)


def test_information_with_the_mean_of_more_rows(rows, rng):
    mean = rng.dirichlet(np.ones(6))
    expected = stats.entropy(mean) - stats.entropy(rows, axis=1).mean()
    assert float(ops.mutual_information(rows, mean)) == pytest.approx(expected, abs=1e-7)


def test_hard_assignments_are_finite():
    hard = np.eye(4, dtype=np.float32)
    assert float(ops.mean_entropy(hard)) == pytest.approx(0, abs=1e-6)
    assert float(ops.mutual_information(hard)) == pytest.approx(np.log(4), abs=1e-6)
    assert float(ops.mean_kl(hard, hard[::-1])) == pytest.approx(-np.log(1e-10), rel=1e-6)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_is_computed_in_float32(rows, dtype):
    half = tf.cast(rows, dtype)
    for function in (ops.mean_entropy, ops.mutual_information, ops.feature_std, ops.effective_rank):
        value = function(half)
        assert value.dtype == tf.float32
        assert float(value) == pytest.approx(float(function(tf.cast(half, tf.float64))), rel=1e-4)


def test_feature_std(rng):
    features = rng.normal(size=(4000, 16)) * np.exp(rng.normal(size=(4000, 1)))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    value = float(ops.feature_std(features))
    assert value == pytest.approx(unit.std(axis=0).mean(), rel=1e-10)
    assert value == pytest.approx(1 / 4, rel=0.02)
    assert float(ops.feature_std(np.ones([5, 3], np.float32) * 7.3)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("shape", [(40, 8), (8, 40), (10, 10)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_effective_rank_agrees_with_singular_values(rng, shape, dtype):
    features = (rng.normal(size=shape) * np.logspace(0, -3, shape[1]) + 5).astype(dtype)
    centred = features.astype(np.float64)
    singular = np.linalg.svd(centred - centred.mean(axis=0), compute_uv=False)
    singular = singular[singular > 1e-9]
    expected = np.exp(stats.entropy(singular))
    assert float(ops.effective_rank(features)) == pytest.approx(expected, rel=1e-5)


def test_effective_rank_of_known_cases(rng):
    basis = rng.normal(size=(3, 200))
    low = rng.normal(size=(500, 3)) @ basis
    assert 1 < float(ops.effective_rank(low.astype(np.float32))) < 3.05
    line = np.outer(rng.normal(size=64), rng.normal(size=32))
    assert float(ops.effective_rank(line)) == pytest.approx(1, abs=1e-5)
    corners = np.concatenate([np.eye(6), -np.eye(6)]) + 100.0
    assert float(ops.effective_rank(corners)) == pytest.approx(6, rel=1e-9)
    constant = np.tile(rng.normal(size=(1, 32)), (64, 1)).astype(np.float32)
    assert float(ops.effective_rank(constant)) == pytest.approx(1, abs=1e-6)
