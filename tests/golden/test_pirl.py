"""Two steps of PIRL against the paper's equations and the sheets, written down again in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness
from tests.random_inputs import normal
from tfssl import methods, ops

NAME = "pirl"


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def embeddings(method, batch):
    """f(image) and g(jigsaw), unit rows in training mode, without moving any statistics."""
    before = method.network.get_weights()
    image = unit(method.network(batch["views"][0], training=True).numpy().astype(float))
    encoder = method.network.layers[0]
    rows = len(image)
    patches = tf.reshape(batch["patches"], [9 * rows, harness.PATCH, harness.PATCH, 3])
    features = encoder(patches, training=True).numpy().reshape(rows, 9, -1).astype(float)
    method.network.set_weights(before)
    return image, unit(head(method, features, orders(method, rows)))


def head(method, features, permutations):
    """Section 2.5 of the InfoMin sheet: each patch, its order, one vector, a linear map."""
    *hidden, kernel, bias, last_kernel, last_bias = method.jigsaw_head.get_weights()
    if hidden:
        features = np.maximum(features @ hidden[0] + hidden[1], 0)
    projected = features @ kernel + bias
    shuffled = [image[order] for image, order in zip(projected, permutations)]
    return np.stack(shuffled).reshape(len(features), -1) @ last_kernel + last_bias


def orders(method, rows):
    """The orders of the patches that the next step draws."""
    keys = ops.fold_key(0, method.forwards, 1, tf.range(rows, dtype=tf.int64))
    return np.argsort(ops.keyed_random.keyed_bits(keys, 9).numpy(), axis=1)


def drawn(method, indices):
    """The negatives that the next step draws: K numbers below N - 1, the own one left out."""
    keys = ops.fold_key(0, method.forwards, 0, tf.range(len(indices), dtype=tf.int64))
    numbers = ops.keyed_integers(keys, method.settings.num_negatives, below=63).numpy()
    return numbers + (numbers >= indices[:, None])


def contrast(rows, own, others, loss, temperature=0.07):
    """L(own, rows): Eqs. 3 and 4, with h of each entry as its share of one softmax."""
    terms = []
    for row, positive, negatives in zip(rows, own, others):
        e = np.exp(np.concatenate([[row @ positive], negatives @ row]) / temperature)
        h = e / e.sum()
        rest = -np.log(1 - h[1:]).sum() if loss == "nce" else 0.0
        terms.append(-np.log(h[0]) + rest)
    return np.mean(terms)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["nce", "softmax"])
@pytest.mark.parametrize("kind", ["eager", "graph"])
@pytest.mark.parametrize("hidden_dim", [0, 32])
def test_two_steps(loss, kind, hidden_dim):
    """Losses and bank of two steps (Eq. 5); the bank follows the image alone."""
    method = harness.build(NAME, kind=kind, loss=loss, jigsaw_weight=0.3, hidden_dim=hidden_dim)
    bank = method.bank.features.numpy().astype(float)
    for seed in (1, 2):
        batch = harness.make_batch(NAME, seed=seed)
        indices = batch["index"].numpy()
        image, jigsaw = embeddings(method, batch)
        own, others = bank[indices], bank[drawn(method, indices)]
        by_image, by_jigsaw = (contrast(rows, own, others, loss) for rows in (image, jigsaw))
        logs = harness.step(method, batch)
        assert logs["image"] == pytest.approx(by_image, rel=1e-4)
        assert logs["jigsaw"] == pytest.approx(by_jigsaw, rel=1e-4)
        assert logs["loss"] == pytest.approx(0.7 * by_image + 0.3 * by_jigsaw, rel=1e-4)
        for name, rows in (("", image), ("jigsaw-", jigsaw)):
            positive = np.sum(rows * own, axis=1).mean()
            negative = np.einsum("bnd,bd->bn", others, rows).mean()
            assert logs[f"{name}positive"] == pytest.approx(positive, abs=1e-5)
            assert logs[f"{name}negative"] == pytest.approx(negative, abs=1e-5)
        bank[indices] = unit(0.5 * bank[indices] + 0.5 * image)
        np.testing.assert_allclose(method.bank.features, bank, atol=1e-4)


def test_defaults_are_the_papers():
    settings = methods.get(NAME).Config()
    assert (settings.loss, settings.num_negatives, settings.temperature) == ("nce", 32000, 0.07)
    assert (settings.jigsaw_weight, settings.bank_weight) == (0.5, 0.5)
    assert (settings.projection_dim, settings.hidden_dim) == (128, 0)


def test_orders_of_the_patches_are_drawn_anew():
    """The same patches and weights have another embedding in each pass, and the same in one."""
    method = harness.build(NAME)
    batch = harness.make_batch(NAME)
    rows = []
    for _ in range(3):
        rows.append(method._jigsaw(batch["patches"]).numpy())
        method.forwards.assign_add(1)
    for one, other in zip(rows, rows[1:]):
        assert np.abs(one - other).max(axis=1).min() > 1e-4
    method.forwards.assign(0)
    np.testing.assert_allclose(method._jigsaw(batch["patches"]), rows[0], atol=1e-6)


def test_both_branches_have_the_same_negatives(monkeypatch):
    """With equal embeddings they are equal in everything."""
    method = harness.build(NAME, num_negatives=5)
    batch = harness.make_batch(NAME)
    rows = normal([8, 128])
    monkeypatch.setattr(method, "network", lambda images, training: rows)
    monkeypatch.setattr(method, "_jigsaw", lambda patches: rows)
    _, logs = method.compute(batch)
    for name in ("positive", "negative"):
        assert float(logs[name]) == float(logs[f"jigsaw-{name}"])
    assert float(logs["image"]) == float(logs["jigsaw"])


@pytest.mark.parametrize("loss", ["softmax", "nce"])
def test_shared_negatives_leave_the_own_entry_out(loss):
    method = harness.build(NAME, loss=loss, negatives="shared", num_negatives=200)
    batch = harness.make_batch(NAME)
    indices = batch["index"].numpy()
    image, jigsaw = embeddings(method, batch)
    bank = method.bank.features.numpy().astype(float)
    numbers = ops.keyed_integers(ops.fold_key(0, method.forwards, 0), 200, below=64).numpy()
    others = [bank[numbers[numbers != index]] for index in indices]
    assert min(map(len, others)) < 200
    logs = harness.step(method, batch)
    for name, rows in (("image", image), ("jigsaw", jigsaw)):
        expected = contrast(rows, bank[indices], others, loss)
        assert logs[name] == pytest.approx(expected, rel=1e-4)


def test_the_jigsaw_moves_the_shared_encoder():
    """With the jigsaw alone the encoder learns from patches, and the image's head does not."""
    method = harness.build(NAME, jigsaw_weight=1.0)
    with tf.GradientTape() as tape:
        loss, _ = method.compute(harness.make_batch(NAME))
    encoder, image_head = method.network.layers
    to_encoder, to_head, to_jigsaw = tape.gradient(
        loss,
        [
            encoder.trainable_variables[0],
            image_head.trainable_variables[0],
            method.jigsaw_head.trainable_variables[0],
        ],
    )
    assert np.abs(to_encoder).max() > 0 and np.abs(to_jigsaw).max() > 0
    assert not np.any(to_head)


@pytest.mark.parametrize("name", ["npid", "pirl"])
def test_the_bank_starts_at_random_or_with_the_images(name):
    rows = np.random.default_rng(3).normal(size=[64, 128]).astype(np.float32)
    seen = []

    def extract(network):
        seen.append(network)
        return tf.constant(rows)

    method = harness.build(name)
    before = method.bank.features.numpy()
    method.start_epoch(0, extract)
    assert not seen
    np.testing.assert_array_equal(method.bank.features, before)

    method = harness.build(name, loss="softmax", bank_start="embeddings")
    method.start_epoch(0, extract)
    assert seen == [method.embedding_network]
    np.testing.assert_allclose(method.bank.features, unit(rows), atol=1e-6)
    method.start_epoch(1, None)
