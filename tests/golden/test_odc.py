"""Steps of ODC against the paper and the InterCLR sheet, in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness
from tests.golden.test_npid import unit
from tests.random_inputs import fresh_rng
from tfssl import ops
from tfssl.training import SGD

NAME = "odc"
SETTINGS = {"min_cluster": 0, "projection_dim": 24}
BN = 1e-5  # Epsilon of the batch normalisation.


def features_of(method, batch):
    """What the classifier sees: linear, normalisation, ReLU, dropout, linear, ReLU."""
    before = method.encoder.get_weights()
    x = method.encoder(batch["views"][0], training=True).numpy().astype(float)
    method.encoder.set_weights(before)
    kernel, bias = (v.numpy() for v in method.hidden.trainable_variables)
    x = x @ kernel + bias
    x = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + BN)
    keys = ops.fold_key(0, method.forwards, 0, tf.range(len(x), dtype=tf.int64))
    x = np.maximum(x, 0) * (ops.keyed_uniform(keys, x.shape[1]).numpy() >= 0.5) * 2
    kernel, bias = (v.numpy() for v in method.projection.trainable_variables)
    return np.maximum(x @ kernel + bias, 0)


def means(bank, labels, centroids):
    """Plain means of the members; an empty cluster keeps its centroid."""
    sizes = np.bincount(labels, minlength=len(centroids))
    return np.stack(
        [bank[labels == c].mean(axis=0) if sizes[c] else centroids[c] for c in range(len(sizes))]
    )


@pytest.mark.parametrize("kind, reweight", [("eager", True), ("graph", True), ("graph", False)])
def test_twelve_steps(kind, reweight, float64):
    """Losses, classifier, bank, labels, and centroids that follow in the tenth step."""
    optimizer = SGD(0.1, momentum=0.9)
    method = harness.build(NAME, kind=kind, optimizer=optimizer, reweight=reweight, **SETTINGS)
    labels = fresh_rng().choice(4, 64, p=[0.5, 0.3, 0.1, 0.1])
    method.clusters.recompute(method.bank.features, labels)
    bank = method.bank.features.numpy()
    recorded = method.clusters.centroids.numpy()
    assert method.hidden.count_params() == 16 * 32 + 32 + 2 * 32  # No gamma, no beta.
    advance = method.make_train_function()
    for step in range(12):
        batch = harness.make_batch(NAME, seed=step)
        indices = batch["index"].numpy()
        features = features_of(method, batch)
        kernel, bias = (v.numpy() for v in method.head.weights)
        e = np.exp(features @ kernel + bias)
        p, y = e / e.sum(axis=1, keepdims=True), labels[indices]
        weight = np.bincount(labels, minlength=4).clip(1) ** -0.5 if reweight else np.ones(4)
        weight = (weight / weight.sum())[y]
        expected = -(weight * np.log(p[np.arange(8), y])).sum() / weight.sum()

        bank[indices] = unit(0.5 * bank[indices] + 0.5 * unit(features + 1e-30))
        renewed = (bank[indices] @ recorded.T).argmax(axis=1)
        changed = (renewed != y).mean()
        labels[indices] = renewed
        if step == 9:
            recorded = means(bank, labels, recorded)
        method.reset_metrics()
        logs = {name: float(value) for name, value in advance(iter([batch])).items()}
        assert logs["loss"] == pytest.approx(expected, rel=1e-6)
        assert logs["accuracy"] == pytest.approx((p.argmax(axis=1) == y).mean())
        assert logs["changed-labels"] == pytest.approx(changed)
        sizes = np.bincount(labels, minlength=4)
        assert (logs["smallest-cluster"], logs["largest-cluster"]) == (sizes.min(), sizes.max())
        error = weight[:, None] / weight.sum() * (p - np.eye(4)[y])
        moved = kernel - 0.1 * features.T @ error
        np.testing.assert_allclose(method.head.kernel, moved, atol=1e-9)
        np.testing.assert_allclose(method.bank.features, bank, atol=1e-9)
        np.testing.assert_array_equal(method.pseudo_labels, labels)
        np.testing.assert_allclose(method.clusters.centroids, recorded, atol=1e-9)


def test_small_clusters_are_replaced_after_a_step():
    method = harness.build(NAME)
    labels = np.array([0] * 31 + [1] * 31 + [2, 3])
    method.clusters.recompute(method.bank.features, labels)
    logs = harness.step(method, harness.make_batch(NAME), times=3)
    assert logs["smallest-cluster"] >= 3
    sizes = np.bincount(method.pseudo_labels, minlength=4)
    np.testing.assert_array_equal(method.clusters.sizes, sizes)


def test_a_run_starts_with_a_clustering_of_the_networks_features():
    method = harness.build(NAME)
    images = fresh_rng().normal(size=[64, 16, 16, 3]).astype(np.float32)
    method.start_epoch(0, lambda network: network(images, training=False))
    x = method.encoder(images, training=False)
    x = np.maximum(method.projection(tf.nn.relu(method.hidden(x, training=False))), 0)
    bank = unit(x + 1e-30)
    np.testing.assert_allclose(method.bank.features, bank, atol=1e-5)
    _, labels = ops.kmeans(tf.convert_to_tensor(method.bank.features), num_clusters=4, seed=0)
    np.testing.assert_array_equal(method.pseudo_labels, labels)
    np.testing.assert_allclose(
        method.clusters.centroids, means(bank, labels.numpy(), np.zeros([4, 128])), atol=1e-5
    )
    weights = [w.numpy() for w in method.weights]
    method.start_epoch(1, None)
    for before, after in zip(weights, method.weights):
        np.testing.assert_allclose(before, after, atol=1e-5)


def test_an_epoch_draws_records_with_replacement():
    method = harness.build(NAME)
    records = np.arange(5, 10005)
    one, again, other = (method.record_order(epoch, records) for epoch in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert len(one) == 10000 and set(one) <= set(records) and (one != other).mean() > 0.99
    # 1 - 1/e of them come at all.
    assert len(set(one)) == pytest.approx(6321, abs=200)
    assert harness.build(NAME, replacement=False).record_order(0, records) is None
