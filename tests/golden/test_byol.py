"""BYOL: property 20 of the InterCLR sheet, section 9, and a step in NumPy."""

import math

import numpy as np
import pytest

from tests.contract import harness


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_two_steps():
    """loss = 4 - 2 (cos + cos); the target follows after the optimizer with tau of the step."""
    method, batch = harness.build("byol"), harness.make_batch("byol")
    for step in range(2):
        networks = (method.online, method.predictor, method.target.network)
        weights = [network.get_weights() for network in networks]
        p, z = [], []
        for view in batch["views"]:
            online = method.online(view, training=True)
            p.append(unit(method.predictor(online, training=True).numpy().astype(float)))
            z.append(unit(method.target(view, training=True).numpy().astype(float)))
        for network, values in zip(networks, weights):
            network.set_weights(values)
        cosines = np.sum(p[0] * z[1], axis=1).mean() + np.sum(p[1] * z[0], axis=1).mean()
        before = [v.numpy() for v in method.target.network.trainable_weights]
        logs = harness.step(method, batch)
        assert logs["loss"] == pytest.approx(4 - 2 * cosines, abs=1e-5)

        tau = 1 - (1 - 0.99) * (math.cos(math.pi * step / 40) + 1) / 2
        assert logs["momentum"] == pytest.approx(tau, abs=1e-7)
        after = [v.numpy() for v in method.target.network.trainable_weights]
        online = [v.numpy() for v in method.online.trainable_weights]
        for old, new, follow in zip(before, after, online):
            np.testing.assert_allclose(new, tau * old + (1 - tau) * follow, atol=1e-6)


def test_momentum_ends_at_one():
    method = harness.build("byol")
    assert float(method._momentum()) == pytest.approx(0.99)
    method.global_step.assign(40)
    assert float(method._momentum()) == 1.0


def test_target_starts_equal_and_has_no_predictor():
    method = harness.build("byol")
    for one, two in zip(method.online.weights, method.target.network.weights):
        np.testing.assert_array_equal(one, two)
    assert len(method.target.network.layers) == 2
