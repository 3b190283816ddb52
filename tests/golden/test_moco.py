"""MoCo: property 21 of the InterCLR sheet, section 9, and steps in NumPy; 19 is in the contract."""

import numpy as np
import pytest

from tests.contract import harness
from tfssl.settings import SettingsError


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_three_steps():
    """The key encoder moves first; the queue is read before the batch's keys enter it."""
    method = harness.build("moco", momentum=0.9)
    queue = method.queue.rows.numpy().astype(float)
    for step in range(3):
        batch = harness.make_batch("moco", seed=step)
        method.key.update(0.9)
        networks = (method.query, method.key.network)
        weights = [network.get_weights() for network in networks]
        q = unit(method.query(batch["views"][0], training=True).numpy().astype(float))
        k = unit(method.key(batch["views"][1], training=True).numpy().astype(float))
        for network, values in zip(networks, weights):
            network.set_weights(values)
        positive = np.exp(np.sum(q * k, axis=1) / 0.2)
        expected = -np.log(positive / (positive + np.exp(q @ queue.T / 0.2).sum(axis=1))).mean()
        # The step moves the key encoder itself, so it has to start from where it was.
        online = [v.numpy() for v in method.query.trainable_weights]
        for average, now in zip(method.key.network.trainable_weights, online):
            average.assign((average.numpy() - 0.1 * now) / 0.9)
        logs = harness.step(method, batch)
        assert logs["loss"] == pytest.approx(expected, rel=1e-5)
        places = (8 * step + np.arange(8)) % 20
        queue[places] = k
        np.testing.assert_allclose(method.queue.rows, queue, atol=1e-5)
        assert int(method.queue.pointer) == 8 * (step + 1)


def test_version_one_has_a_linear_head():
    sizes = [
        len(harness.build("moco", hidden_dim=width).query.layers[1].trainable_variables)
        for width in (0, 32)
    ]
    assert sizes == [2, 4]


def test_a_queue_smaller_than_the_batch_is_refused():
    with pytest.raises(SettingsError, match="queue_size: expected at least the batch, 8.*: 7"):
        harness.build("moco", queue_size=7)
