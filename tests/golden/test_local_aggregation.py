"""The aggregation of two steps against the paper, in NumPy; the warm start is NPID."""

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness
from tests.golden.test_npid import embeddings, unit
from tests.random_inputs import fresh_rng
from tfssl import ops

NAME = "local_aggregation"


def expected_step(method, batch, bank, labels, neighbors):
    """Loss, statistics and the bank after a step, by loops over sets of records."""
    rows, indices = embeddings(method, batch), batch["index"].numpy()
    losses, sizes, negatives = [], [], []
    for v, i in zip(rows, indices):
        cosines = bank @ v
        background = set(np.argsort(-cosines)[:neighbors])
        close = {j for j in range(64) if any(run[j] == run[i] for run in labels)}
        assert i in close
        if not close & background:
            background.add(i)
        e = np.exp(cosines / 0.07)
        both = sorted(close & background)
        losses.append(-np.log(e[both].sum() / e[sorted(background)].sum()))
        sizes.append(len(both))
        others = cosines[sorted(background - close)]
        negatives.append(others.mean() if len(others) else 0.0)
    bank = bank.copy()
    bank[indices] = unit(0.5 * bank[indices] + 0.5 * rows)
    return np.mean(losses), np.mean(sizes), np.mean(negatives), bank


@pytest.mark.parametrize("neighbors", [1, 16, 100])
@pytest.mark.parametrize("kind", ["eager", "graph"])
def test_two_steps(kind, neighbors):
    """With one neighbour, most images have no close one among it but themselves."""
    method = harness.build(NAME, kind=kind, num_neighbors=neighbors)
    labels = fresh_rng().integers(0, 20, [3, 64])
    method.labels.assign(labels)
    bank = method.bank.features.numpy().astype(float)
    for seed in (1, 2):
        batch = harness.make_batch(NAME, seed=seed)
        loss, size, negative, bank = expected_step(method, batch, bank, labels, neighbors)
        logs = harness.step(method, batch)
        assert logs["loss"] == pytest.approx(loss, rel=1e-4, abs=1e-5)
        assert logs["close-neighbors"] == pytest.approx(size)
        assert logs["negative"] == pytest.approx(negative, abs=1e-5)
        np.testing.assert_allclose(method.bank.features, bank, atol=1e-4)
    np.testing.assert_array_equal(method.pseudo_labels, labels[0])


@pytest.mark.parametrize("kind", ["eager", "graph"])
def test_the_warm_start_is_npid_to_the_bit_and_ends(kind):
    plan = harness.make_plan(steps_per_epoch=2)
    method = harness.build(NAME, kind=kind, plan=plan, warm_start_epochs=1)
    base = harness.build("npid", kind=kind, plan=plan)
    method.start_epoch(0, None)
    before = method.labels.numpy()
    batches = [harness.make_batch(NAME, seed=seed) for seed in range(3)]
    for batch in batches[:2]:
        received, expected = harness.step(method, batch), harness.step(base, batch)
        assert received.pop("close-neighbors") == 0 and received == expected
    np.testing.assert_array_equal(method.bank.features, base.bank.features)
    np.testing.assert_array_equal(method.labels, before)
    method.start_epoch(1, None)
    bank, labels = method.bank.features.numpy().astype(float), method.labels.numpy()
    loss, *_ = expected_step(method, batches[2], bank, labels, 32)
    assert harness.step(method, batches[2])["loss"] == pytest.approx(loss, rel=1e-4)


def test_an_epoch_starts_with_clusterings_of_the_bank():
    method = harness.build(NAME)
    method.start_epoch(2, None)
    for run in range(3):
        _, expected = ops.kmeans(
            tf.convert_to_tensor(method.bank.features),
            num_clusters=4,
            seed=int(ops.fold_key(0, 2, run)),
        )
        np.testing.assert_array_equal(method.labels[run], expected)
    assert (method.labels.numpy()[0] != method.labels.numpy()[1]).any()


def test_without_a_warm_start_the_bank_begins_with_the_untrained_embeddings():
    method = harness.build(NAME)
    images = tf.constant(fresh_rng().normal(size=[64, 16, 16, 3]), tf.float32)
    method.start_epoch(0, lambda network: network(images, training=False))
    rows = unit(method.network(images, training=False).numpy())
    np.testing.assert_allclose(method.bank.features, rows, atol=1e-5)
    bank = tf.convert_to_tensor(method.bank.features)
    _, expected = ops.kmeans(bank, num_clusters=4, seed=int(ops.fold_key(0, 0, 1)))
    np.testing.assert_array_equal(method.labels[1], expected)
