"""A step of SimSiam against its equation, and where its gradient stops."""

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness


def test_a_step():
    method, batch = harness.build("simsiam"), harness.make_batch("simsiam")
    weights = [network.get_weights() for network in (method.network, method.predictor)]
    z = [method.network(view, training=True) for view in batch["views"]]
    p = [method.predictor(rows, training=True).numpy().astype(float) for rows in z]
    for network, values in zip((method.network, method.predictor), weights):
        network.set_weights(values)

    def cosine(a, b):
        return np.mean(
            np.sum(a * b, axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        )

    expected = -(cosine(p[0], z[1].numpy()) + cosine(p[1], z[0].numpy())) / 2
    logs = harness.step(method, batch)
    assert logs["loss"] == pytest.approx(expected, abs=1e-5)
    assert logs["cosine"] == pytest.approx(-expected, abs=1e-5)


def test_the_gradient_is_that_of_the_predicting_side():
    """With targets as constants the gradient is the same: none flows through them."""
    method, batch = harness.build("simsiam"), harness.make_batch("simsiam")
    variables = method.trainable_variables
    with tf.GradientTape() as tape:
        loss, _ = method.compute(batch)
    received = tape.gradient(loss, variables)
    fixed = [
        tf.math.l2_normalize(method.network(v, training=True), axis=1).numpy()
        for v in batch["views"]
    ]
    with tf.GradientTape() as tape:
        p = [
            method.predictor(method.network(v, training=True), training=True)
            for v in batch["views"]
        ]
        p = [tf.math.l2_normalize(rows, axis=1) for rows in p]
        total = -tf.reduce_sum(p[0] * fixed[1] + p[1] * fixed[0]) / (2 * len(fixed[0]))
    for one, two in zip(received, tape.gradient(total, variables)):
        np.testing.assert_allclose(one, two, atol=1e-5)
