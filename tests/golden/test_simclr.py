"""A step of SimCLR against Algorithm 1, written down again in NumPy."""

import numpy as np
import pytest

from tests.contract import harness


def test_a_step():
    method, batch = harness.build("simclr"), harness.make_batch("simclr")
    before = method.network.get_weights()
    z = [method.network(view, training=True).numpy().astype(float) for view in batch["views"]]
    method.network.set_weights(before)
    z = np.concatenate(z)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    scores = np.exp(z @ z.T / 0.1)
    np.fill_diagonal(scores, 0)
    rows = np.arange(16)
    expected = -np.log(scores[rows, (rows + 8) % 16] / scores.sum(axis=1)).mean()
    logs = harness.step(method, batch)
    assert logs["loss"] == pytest.approx(expected, rel=1e-4)
    nearest = scores[:8, 8:].argmax(axis=1)
    assert logs["accuracy"] == pytest.approx(np.mean(nearest == np.arange(8)))


def test_the_head_ends_in_a_batch_normalisation_without_biases_before_it():
    method = harness.build("simclr")
    names = [v.name for v in method.network.layers[1].trainable_variables]
    assert not any("linear" in name and "bias" in name for name in names)
    z = method.network(harness.make_batch("simclr")["views"][0], training=True).numpy()
    np.testing.assert_allclose(z.mean(axis=0), np.zeros(128), atol=1e-5)
