"""An epoch's start and two steps of DeepCluster against the paper, in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness
from tfssl import ops
from tfssl.training import SGD

NAME = "deepcluster"
IMAGES = np.random.default_rng(7).normal(size=(64, harness.SIZE, harness.SIZE, 3))


pytestmark = pytest.mark.usefixtures("float64")


def extract(network):
    return network(tf.constant(IMAGES), training=False)


def whitened(features, dim):
    """By singular values, where the library has eigenvalues."""
    centred = features - features.mean(axis=0)
    left, _, _ = np.linalg.svd(centred, full_matrices=False)
    rows = left[:, :dim]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_an_epoch_starts_with_clusters_and_a_new_classifier():
    method = harness.build(NAME, pca_dim=6)
    kernels = []
    for epoch in (0, 1, 1):
        method.head.bias.assign(tf.ones_like(method.head.bias))
        method.start_epoch(epoch, extract)
        rows = whitened(extract(method.encoder).numpy(), 6)
        seed = int(ops.fold_key(0, epoch))
        _, expected = ops.kmeans(tf.constant(rows), num_clusters=4, num_iterations=20, seed=seed)
        np.testing.assert_array_equal(method.pseudo_labels, expected)
        np.testing.assert_array_equal(method.head.bias, np.zeros(4))
        kernels.append(method.head.kernel.numpy())
    assert (kernels[0] != kernels[1]).all()
    np.testing.assert_array_equal(kernels[1], kernels[2])
    assert np.std(kernels) == pytest.approx(0.01, rel=0.3)


def test_clusters_stay_between_two_clusterings():
    method = harness.build(NAME, cluster_epochs=3)
    method.start_epoch(0, extract)
    labels, kernel = method.pseudo_labels.numpy(), method.head.kernel.numpy()
    for epoch in (1, 2):
        method.encoder.set_weights([w + 0.1 for w in method.encoder.get_weights()])
        method.start_epoch(epoch, extract)
        np.testing.assert_array_equal(method.pseudo_labels, labels)
        np.testing.assert_array_equal(method.head.kernel, kernel)
    method.start_epoch(3, extract)
    assert (method.head.kernel.numpy() != kernel).all()


@pytest.mark.parametrize("sobel", [True, False])
def test_two_steps(sobel):
    """Cross-entropy of the recorded clusters; the classifier moves without momentum."""
    optimizer = SGD(0.1, momentum=0.9, weight_decay=0.01)
    method = harness.build(NAME, optimizer=optimizer, sobel=sobel, kind="graph")
    method.start_epoch(0, extract)
    labels = method.pseudo_labels.numpy()
    for seed in (1, 2):
        batch = harness.make_batch(NAME, seed=seed)
        before = method.encoder.get_weights()
        features = method.encoder(batch["views"][0], training=True).numpy()
        method.encoder.set_weights(before)
        assert features.min() >= 0  # A ReLU in front of the classifier would change nothing.
        kernel, bias = (w.numpy() for w in method.head.weights)
        e = np.exp(features @ kernel + bias)
        p, y = e / e.sum(axis=1, keepdims=True), labels[batch["index"].numpy()]
        logs = harness.step(method, batch)
        assert logs["loss"] == pytest.approx(-np.log(p[np.arange(8), y]).mean(), rel=1e-6)
        assert logs["accuracy"] == pytest.approx((p.argmax(axis=1) == y).mean(), abs=1e-6)
        error = (p - np.eye(4)[y]) / 8
        kernel -= 0.1 * (features.T @ error + 0.01 * kernel)
        np.testing.assert_allclose(method.head.kernel, kernel, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(method.head.bias, bias - 0.1 * error.sum(axis=0), atol=1e-9)
        np.testing.assert_array_equal(method.pseudo_labels, labels)


def test_an_epoch_visits_clusters_as_often():
    method = harness.build(NAME)
    labels = np.repeat([0, 1, 2], [50, 10, 4])
    method.labels.assign(labels)
    records = np.setdiff1d(np.arange(64), [3, 4, 63])
    orders = [method.record_order(epoch, records) for epoch in range(4)]
    np.testing.assert_array_equal(orders[1], method.record_order(1, records))
    for order in orders:
        assert len(order) == 61 and set(order) <= set(records)
        # 61 // 3 + 1 of each were drawn, and two of all were cut off.
        assert all(19 <= count <= 21 for count in np.bincount(labels[order]))
    assert len({tuple(order) for order in orders}) == 4
    assert harness.build(NAME, uniform=False).record_order(0, records) is None
