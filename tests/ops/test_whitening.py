"""PCA whitening against NumPy's singular values and scikit-learn."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.decomposition import PCA

from tests.random_inputs import fresh_rng
from tfssl import ops
from tfssl.ops import whitening


@pytest.mark.parametrize("dim", [1, 4, 9, 50])
@pytest.mark.parametrize("block", [7, 1000])
def test_agrees_with_scikit_learn(dim, block, monkeypatch):
    monkeypatch.setattr(whitening, "_BLOCK_ROWS", block)
    rng = fresh_rng()
    features = rng.normal(size=(60, 9)) @ rng.normal(size=(9, 9)) + 5
    received = ops.pca_whiten(tf.constant(features), dim=dim).numpy()
    expected = PCA(min(dim, 9), whiten=True).fit_transform(features) * np.sqrt(60 / 59)
    signs = np.sign((received * expected).sum(axis=0))
    np.testing.assert_allclose(received * signs, expected, atol=1e-8)


def test_columns_have_mean_0_variance_1_and_no_correlation_in_float32():
    rng = fresh_rng()
    features = (rng.normal(size=(500, 12)) * np.geomspace(1, 1e-3, 12) + 3).astype(np.float32)
    rows = ops.pca_whiten(features, dim=12).numpy()
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(rows.T @ rows / 500, np.eye(12), atol=5e-3)


def test_directions_without_variance_are_0():
    rng = fresh_rng()
    features = np.concatenate([rng.normal(size=(40, 3)), np.full((40, 2), 7.0)], axis=1)
    rows = ops.pca_whiten(features.astype(np.float32), dim=5).numpy()
    assert np.isfinite(rows).all()
    np.testing.assert_array_equal(rows[:, 3:], 0)
    np.testing.assert_array_equal(ops.pca_whiten(tf.ones([4, 2]), dim=2), np.zeros((4, 2)))


@pytest.mark.parametrize("shape, dim", [((4,), 1), ((0, 3), 1), ((4, 3), 0)])
def test_wrong_arguments(shape, dim):
    with pytest.raises(ValueError, match="features.*Received: "):
        ops.pca_whiten(tf.zeros(shape), dim=dim)
