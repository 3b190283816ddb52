"""A step of NPID against the InterCLR sheet, written down again in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness
from tfssl import ops

NAME = "npid"


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def embeddings(method, batch):
    """The network's unit rows for a batch, in training mode, without moving its statistics."""
    before = method.network.get_weights()
    rows = unit(method.network(batch["views"][0], training=True).numpy().astype(float))
    method.network.set_weights(before)
    return rows


def drawn(method, indices):
    """The negatives that the next step draws: K numbers below N - 1, the own one left out."""
    keys = ops.fold_key(0, method.forwards, 0, tf.range(len(indices), dtype=tf.int64))
    numbers = ops.keyed_integers(keys, method.settings.num_negatives, below=63).numpy()
    return numbers + (numbers >= indices[:, None])


@pytest.mark.parametrize("loss", ["softmax", "nce"])
@pytest.mark.parametrize("kind", ["eager", "graph"])
def test_two_steps(loss, kind):
    """The losses of two steps and the bank after each, from the equations."""
    method = harness.build(NAME, kind=kind, loss=loss)
    bank, z = method.bank.features.numpy().astype(float), None
    np.testing.assert_allclose(np.linalg.norm(bank, axis=1), np.ones(64), atol=1e-6)
    for seed in (1, 2):
        batch = harness.make_batch(NAME, seed=seed)
        indices = batch["index"].numpy()
        rows, others = embeddings(method, batch), drawn(method, indices)
        assert (others != indices[:, None]).all() and others.max() < 64
        positive = np.sum(rows * bank[indices], axis=1)
        negative = np.einsum("bnd,bd->bn", bank[others], rows)
        e = np.exp(np.concatenate([positive[:, None], negative], axis=1) / 0.07)
        if loss == "softmax":
            expected = -np.log(e[:, 0] / e.sum(axis=1)).mean()
        else:
            # Z is that of the first batch, for good.
            z = 64 * e.mean() if z is None else z
            p, noise = e / z, 16 / 64
            expected = -np.log(p[:, 0] / (p[:, 0] + noise)).mean()
            expected -= np.log(noise / (p[:, 1:] + noise)).sum(axis=1).mean()
        logs = harness.step(method, batch)
        assert logs["loss"] == pytest.approx(expected, rel=1e-4)
        assert logs["positive"] == pytest.approx(positive.mean(), abs=1e-5)
        bank[indices] = unit(0.5 * bank[indices] + 0.5 * rows)
        np.testing.assert_allclose(method.bank.features, bank, atol=1e-4)


@pytest.mark.parametrize("loss", ["softmax", "nce"])
def test_shared_negatives_leave_the_own_entry_out(loss):
    """One draw for the batch; an image that is among it does not count for itself."""
    method = harness.build(NAME, loss=loss, negatives="shared", num_negatives=200)
    batch = harness.make_batch(NAME)
    indices = batch["index"].numpy()
    rows, bank = embeddings(method, batch), method.bank.features.numpy().astype(float)
    others = ops.keyed_integers(ops.fold_key(0, method.forwards, 0), 200, below=64).numpy()
    counts = others != indices[:, None]
    assert not counts.all()
    positive = np.exp(np.sum(rows * bank[indices], axis=1) / 0.07)
    negative = np.exp(rows @ bank[others].T / 0.07)
    if loss == "softmax":
        expected = -np.log(positive / (positive + (negative * counts).sum(axis=1))).mean()
    else:
        # Z is the mean of everything that was scored.
        z = 64 * np.concatenate([positive[:, None], negative], axis=1).mean()
        noise = 200 / 64
        expected = -np.log(positive / (positive + z * noise)).mean()
        expected -= (counts * np.log(z * noise / (negative + z * noise))).sum(axis=1).mean()
    assert harness.step(method, batch)["loss"] == pytest.approx(expected, rel=1e-4)


def test_a_bank_in_half_precision_trains():
    method = harness.build(NAME, bank_dtype="float16")
    logs = harness.step(method, harness.make_batch(NAME), times=3)
    assert method.bank.features.dtype == tf.float16 and np.isfinite(logs["loss"])
