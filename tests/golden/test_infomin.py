"""Steps of InfoMin against sections 2.5 to 2.7 of its sheet, written down again in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness
from tfssl import ops
from tfssl.settings import SettingsError

NAME = "infomin"
TAU = 0.15


def unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


def cross_entropy(queries, keys, queue):
    """Label 0 on [q.k, q.Q] / tau; and how often the own key is the nearest."""
    logits = np.concatenate([np.sum(queries * keys, 1, keepdims=True), queries @ queue.T], 1) / TAU
    exponentials = np.exp(logits)
    loss = -np.log(exponentials[:, 0] / exponentials.sum(1)).mean()
    return loss, np.mean(logits.argmax(1) == 0)


def jigsaw(method, batch, rows):
    """fc1 of each patch, its order, concatenation, fc2; no ReLU between the two."""
    encoder = method.evaluated_encoder
    patches = tf.reshape(batch["patches"], [9 * rows, harness.PATCH, harness.PATCH, 3])
    features = encoder(patches, training=True).numpy().reshape(rows, 9, -1).astype(float)
    kernel, bias, kernel_1, bias_1, kernel_2, bias_2 = method.jigsaw_head.get_weights()
    projected = np.maximum(features @ kernel + bias, 0) @ kernel_1 + bias_1
    keys = ops.fold_key(0, method.forwards, 1, tf.range(rows, dtype=tf.int64))
    orders = np.argsort(ops.keyed_random.keyed_bits(keys, 9).numpy(), axis=1)
    shuffled = np.stack([image[order] for image, order in zip(projected, orders)])
    return unit(shuffled.reshape(rows, -1) @ kernel_2 + bias_2)


def test_three_steps():
    """Losses, the queue before and after, and a key encoder that follows the updated weights."""
    method = harness.build(NAME, momentum=0.9, jigsaw_weight=0.3)
    queue = method.queue.rows.numpy().astype(float)
    for step in range(3):
        batch = harness.make_batch(NAME, seed=step)
        networks = (method.query, method.key.network, method.jigsaw_head)
        weights = [network.get_weights() for network in networks]
        q = unit(method.query(batch["views"][0], training=True).numpy().astype(float))
        k = unit(method.key(batch["views"][1], training=True).numpy().astype(float))
        q_jigsaw = jigsaw(method, batch, len(q))
        for network, values in zip(networks, weights):
            network.set_weights(values)
        before = [v.numpy() for v in method.key.network.trainable_weights]

        logs = harness.step(method, batch)
        (image, hits), (shuffled, more) = (cross_entropy(x, k, queue) for x in (q, q_jigsaw))
        assert logs["image"] == pytest.approx(image, rel=1e-5)
        assert logs["jigsaw"] == pytest.approx(shuffled, rel=1e-5)
        assert logs["loss"] == pytest.approx(0.7 * image + 0.3 * shuffled, rel=1e-5)
        # k candidates: the positive and K negatives (section 1.4).
        k_total = len(queue) + 1
        assert logs["information"] == pytest.approx(np.log(k_total) - image, abs=1e-5)
        assert logs["jigsaw-information"] == pytest.approx(np.log(k_total) - shuffled, abs=1e-5)
        assert (logs["accuracy"], logs["jigsaw-accuracy"]) == pytest.approx((hits, more))

        # The queue takes the keys of images alone, in the order of the batch (property 5).
        queue[(8 * step + np.arange(8)) % 20] = k
        np.testing.assert_allclose(method.queue.rows, queue, atol=1e-5)
        after = [v.numpy() for v in method.query.trainable_weights]
        for average, old, new in zip(method.key.network.trainable_weights, before, after):
            np.testing.assert_allclose(average, 0.9 * old + 0.1 * new, atol=1e-6)


def test_no_gradient_reaches_keys_and_queue():
    """Property 3; and the jigsaw's gradient reaches the encoder."""
    method, batch = harness.build(NAME), harness.make_batch(NAME)
    state = [*method.key.network.trainable_weights, method.queue.rows]
    with tf.GradientTape() as tape:
        tape.watch(state)
        loss, _ = method.compute(batch)
    assert tape.gradient(loss, state) == [None] * len(state)
    with tf.GradientTape() as tape:
        jigsaw_loss = method.compute(batch)[1]["jigsaw"]
    reached = tape.gradient(jigsaw_loss, method.evaluated_encoder.trainable_variables)
    assert all(float(tf.reduce_max(tf.abs(g))) > 0 for g in reached)


def test_patches_move_the_batch_statistics_last():
    """Sections 2.7 and 2.9: images first, patches second."""
    method, batch = harness.build(NAME), harness.make_batch(NAME)
    encoder = method.evaluated_encoder
    before = encoder.get_weights()
    encoder(batch["views"][0], training=True)
    encoder(tf.reshape(batch["patches"], [-1, harness.PATCH, harness.PATCH, 3]), training=True)
    expected = [w.numpy() for w in encoder.non_trainable_weights]
    encoder.set_weights(before)
    method.compute(batch)
    for received, value in zip(encoder.non_trainable_weights, expected):
        np.testing.assert_allclose(received, value, atol=1e-6)


def test_groups_have_statistics_of_their_own():
    """A group's query, jigsaw and key do not depend on the images of other groups (2.9)."""
    first, second = harness.make_batch(NAME, seed=1), harness.make_batch(NAME, seed=2)
    mixed = {
        name: tf.nest.map_structure(lambda a, b: tf.concat([a[:4], b[4:]], 0), first[name], values)
        for name, values in second.items()
    }
    for groups, equal in ((2, True), (1, False)):
        method = harness.build(NAME, bn_groups=groups)
        rows = [method.forward(batch)[2].anchors for batch in (first, mixed)]
        for one, other in zip(*rows):
            assert np.allclose(one[:4], other[:4], atol=1e-6) is equal
            assert not np.allclose(one[4:], other[4:], atol=1e-3)


def test_without_a_jigsaw_nothing_of_it_is_there():
    method = harness.build(NAME, jigsaw_weight=0.0)
    assert method.jigsaw_head is None and not method.needs_patches(method.settings)
    logs = harness.step(method, harness.make_batch(NAME, patches=False))
    assert set(logs) == {"loss", "positive", "negative", "accuracy", "information"}


def test_sizes_of_the_paper():
    """Section 2.6: 4,458,624 weights in the main head, 4,606,208 in the jigsaw's."""
    from tfssl import layers
    from tfssl.methods import get

    settings = get(NAME).Config()
    assert (settings.temperature, settings.jigsaw_weight, settings.bn_groups) == (0.15, 0.5, 8)
    assert (settings.queue_size, settings.momentum) == (65536, 0.999)
    options = {"hidden_bias": True, "hidden_norm": False}
    head = layers.projector(2048, hidden_dims=(2048,), output_dim=128, **options)
    assert head.count_params() == 4_458_624
    jigsaw_head = layers.JigsawHead(2048, hidden_dim=2048)
    assert sum(int(tf.size(w)) for w in jigsaw_head.trainable_weights) == 4_606_208


def test_a_queue_smaller_than_the_batch_is_refused():
    with pytest.raises(SettingsError, match="queue_size: expected at least the batch, 8.*: 7"):
        harness.build(NAME, queue_size=7)
