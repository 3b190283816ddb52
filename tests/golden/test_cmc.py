"""Steps of CMC with a bank against its sheet, written down again in NumPy."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness
from tfssl import ops

TEMPERATURE, RECORDS = 0.07, 64


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def build(channels=(1, 2), **options):
    return harness.build("cmc", plan=harness.make_plan(view_channels=channels), **options)


def make_batch(channels=(1, 2), seed=0):
    sizes = [harness.SIZE] * len(channels)
    return harness.make_batch("cmc", sizes=sizes, channels=channels, seed=seed)


def embeddings(method, batch):
    """Unit rows `[batch, views, dim]`, in training mode, without moving the statistics."""
    before = [network.get_weights() for network in method.views.networks]
    rows = method.views.embed(batch["views"]).numpy().astype(float)
    for network, weights in zip(method.views.networks, before):
        network.set_weights(weights)
    return rows


def drawn(method, rows):
    """The records that the next step draws, the anchor's own one among them now and then."""
    keys = ops.fold_key(0, method.forwards, 0, tf.range(rows, dtype=tf.int64))
    return ops.keyed_integers(keys, method.settings.num_negatives, below=RECORDS).numpy()


def bank_of(method):
    return method.contrast.bank.features.numpy().astype(float)


def direction(anchors, bank, indices, others, z=None):
    """The loss of each image in one direction (2.2 and 2.3), and exp(score / tau)."""
    positive = np.sum(anchors * bank[indices], axis=1, keepdims=True)
    negative = np.einsum("bnd,bd->bn", bank[others], anchors)
    e = np.exp(np.concatenate([positive, negative], axis=1) / TEMPERATURE)
    if z is None:
        return -np.log(e[:, 0] / e.sum(axis=1)), e
    p, noise = e / (z or RECORDS * e.mean()), others.shape[1] / RECORDS
    loss = -np.log(p[:, 0] / (p[:, 0] + noise + 1e-7))
    return loss - np.log(noise / (p[:, 1:] + noise + 1e-7)).sum(axis=1), e


@pytest.mark.parametrize("loss", ["softmax", "nce"])
@pytest.mark.parametrize("kind", ["eager", "graph"])
def test_three_steps_of_two_views(loss, kind):
    """Properties 3, 5 and 10: losses, Z and banks over several steps, from the equations."""
    method = build(loss=loss, kind=kind)
    bank = bank_of(method)
    z = {"softmax": [None] * 2, "nce": [0] * 2}[loss]
    for seed in range(3):
        batch = make_batch(seed=seed)
        rows, indices = embeddings(method, batch), batch["index"].numpy()
        others = drawn(method, len(indices))
        found = [direction(rows[:, v], bank[:, 1 - v], indices, others, z[v]) for v in (0, 1)]
        if loss == "nce" and seed == 0:
            # By construction the mean of P is 1 / N on the first batch, and Z stays.
            z = [RECORDS * e.mean() for _, e in found]
        logs = harness.step(method, batch)
        assert logs["loss"] == pytest.approx(sum(e.mean() for e, _ in found), rel=1e-4)
        for v, name in enumerate(("1-2", "2-1")):
            each, e = found[v]
            assert logs[f"loss/{name}"] == pytest.approx(each.mean(), rel=1e-4)
            cosines = TEMPERATURE * np.log(e)
            assert logs[f"positive/{name}"] == pytest.approx(cosines[:, 0].mean(), abs=1e-5)
            assert logs[f"negative/{name}"] == pytest.approx(cosines[:, 1:].mean(), abs=1e-5)
            softmax = -np.log(e[:, 0] / e.sum(axis=1)).mean()
            number = method.settings.num_negatives
            bound = np.log(number + 1) - softmax
            assert logs[f"information/{name}"] == pytest.approx(bound, abs=1e-4)
            bound = np.log(number) - softmax
            assert logs[f"information-log-k/{name}"] == pytest.approx(bound, abs=1e-4)
            if loss == "nce":
                assert logs[f"partition/{name}"] == pytest.approx(z[v] / RECORDS, rel=1e-4)
                share = e[:, 0].mean() / z[v]
                assert logs[f"probability/{name}"] == pytest.approx(share, rel=1e-4)
        bank[indices] = unit(0.5 * bank[indices] + 0.5 * rows)
        np.testing.assert_allclose(bank_of(method), bank, atol=1e-4)


def test_rows_outside_the_batch_keep_their_bits():
    """Property 10."""
    method = build()
    before, batch = method.contrast.bank.features.numpy(), make_batch()
    harness.step(method, batch)
    after = method.contrast.bank.features.numpy()
    changed = (before != after).any(axis=(1, 2))
    assert set(np.flatnonzero(changed)) == set(batch["index"].numpy())
    np.testing.assert_allclose(np.linalg.norm(after[changed], axis=2), 1, atol=1e-6)
    # The rows of a start in +-sqrt(3 / dim) have length 1 on average only.
    lengths = np.linalg.norm(before, axis=2)
    assert lengths.mean() == pytest.approx(1, abs=0.05) and lengths.std() > 0.01


def test_moving_partition_sums():
    """With partition_momentum Z follows every batch, and a batch uses the Z before it."""
    method = build(loss="nce", partition_momentum=0.9)
    bank, z = bank_of(method), [0, 0]
    for seed in range(3):
        batch = make_batch(seed=seed)
        rows, indices = embeddings(method, batch), batch["index"].numpy()
        others = drawn(method, len(indices))
        found = [direction(rows[:, v], bank[:, 1 - v], indices, others, z[v]) for v in (0, 1)]
        own = [RECORDS * e.mean() for _, e in found]
        z = own if seed == 0 else [0.9 * a + 0.1 * b for a, b in zip(z, own)]
        logs = harness.step(method, batch)
        assert logs["loss"] == pytest.approx(sum(e.mean() for e, _ in found), rel=1e-4)
        np.testing.assert_allclose(method.contrast.partition.value, z, rtol=1e-4)
        bank = bank_of(method)


@pytest.mark.parametrize(
    "paradigm, core, pairs",
    [
        ("full", 0, list(itertools.permutations(range(3), 2))),
        ("core", 0, [(0, 1), (0, 2), (1, 0), (2, 0)]),
        ("core", 2, [(2, 0), (2, 1), (0, 2), (1, 2)]),
    ],
)
def test_three_views(paradigm, core, pairs):
    """Property 6: the pairs of Eqs. 7 and 8, and every bank moves once."""
    channels = (1, 1, 1)
    method, batch = build(channels, paradigm=paradigm, core_view=core), make_batch(channels)
    rows, indices, bank = embeddings(method, batch), batch["index"].numpy(), bank_of(method)
    others = drawn(method, len(indices))
    expected = {
        f"{i + 1}-{j + 1}": direction(rows[:, i], bank[:, j], indices, others)[0].mean()
        for i, j in pairs
    }
    logs = harness.step(method, batch)
    named = {n.partition("/")[2]: v for n, v in logs.items() if n.startswith("loss/")}
    assert named == pytest.approx(expected, rel=1e-4)
    assert logs["loss"] == pytest.approx(sum(expected.values()), rel=1e-4)
    bank[indices] = unit(0.5 * bank[indices] + 0.5 * rows)
    np.testing.assert_allclose(bank_of(method), bank, atol=1e-4)


@pytest.mark.parametrize("loss", ["softmax", "nce"])
def test_shared_negatives(loss):
    """One draw serves the batch; nothing takes an image's own entry out of it."""
    method, batch = build(loss=loss, negatives="shared", num_negatives=100), make_batch()
    rows, indices, bank = embeddings(method, batch), batch["index"].numpy(), bank_of(method)
    key = ops.fold_key(0, method.forwards, 0)
    others = ops.keyed_integers(key, 100, below=RECORDS).numpy()
    assert set(others) & set(indices)
    others = np.tile(others, [len(indices), 1])
    z = None if loss == "softmax" else 0
    found = [direction(rows[:, v], bank[:, 1 - v], indices, others, z)[0].mean() for v in (0, 1)]
    assert harness.step(method, batch)["loss"] == pytest.approx(sum(found), rel=1e-4)


@pytest.mark.parametrize("kind", ["own", "shared"])
def test_missing_views(kind):
    """Section 1.11: a term's mean is over the images that have both views; rows of others stay."""
    channels = (1, 1, 1)
    method, batch = build(channels, negatives=kind), make_batch(channels)
    present = np.random.default_rng(3).random([harness.BATCH, 3]) < 0.6
    batch["present"] = tf.constant(present)
    rows, indices, bank = embeddings(method, batch), batch["index"].numpy(), bank_of(method)
    if kind == "own":
        others = drawn(method, len(indices))
    else:
        key = ops.fold_key(0, method.forwards, 0)
        others = ops.keyed_integers(key, method.settings.num_negatives, below=RECORDS).numpy()
        others = np.tile(others, [len(indices), 1])
    expected = 0
    for i, j in itertools.permutations(range(3), 2):
        both = present[:, i] & present[:, j]
        assert 0 < both.sum() < len(both)
        expected += direction(rows[:, i], bank[:, j], indices, others)[0][both].mean()
    assert harness.step(method, batch)["loss"] == pytest.approx(expected, rel=1e-4)
    moved = unit(0.5 * bank[indices] + 0.5 * rows)
    bank[indices] = np.where(present[..., None], moved, bank[indices])
    np.testing.assert_allclose(bank_of(method), bank, atol=1e-4)


def test_each_direction_moves_one_encoder():
    """Property 10: with a bank no gradient crosses over; within a batch it does."""
    for loss, crosses in (("softmax", False), ("in_batch", True)):
        method, batch = build(loss=loss), make_batch()
        first, second = (network.trainable_variables for network in method.views.networks)
        with tf.GradientTape(persistent=True) as tape:
            logs = method.compute(batch)[1]
        for name, own, other in (("1-2", first, second), ("2-1", second, first)):
            gradients = [tape.gradient(logs[f"loss/{name}"], part) for part in (own, other)]
            reached = [any(np.any(g) for g in gradient if g is not None) for gradient in gradients]
            assert reached == [True, crosses]
