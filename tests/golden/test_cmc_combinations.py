"""CMC without a bank, and with what MoCo and PIRL add (sections 2.5, 2.6 and 8 of its sheet)."""

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness
from tests.golden.test_cmc import bank_of, build, direction, drawn, embeddings, make_batch, unit
from tfssl import ops
from tfssl.training import SGD


def softmax_loss(positive, negative, temperature=0.07):
    e = np.exp(np.concatenate([positive[:, None], negative], axis=1) / temperature)
    return -np.log(e[:, 0] / e.sum(axis=1))


def test_in_batch():
    """Section 2.5: rows and columns of one matrix of cosines."""
    method, batch = build(loss="in_batch"), make_batch()
    rows = embeddings(method, batch)
    scores = rows[:, 0] @ rows[:, 1].T / 0.07
    e = np.exp(scores)
    expected = [-np.log(np.diag(e) / e.sum(axis=axis)).mean() for axis in (1, 0)]
    logs = harness.step(method, batch)
    assert [logs["loss/1-2"], logs["loss/2-1"]] == pytest.approx(expected, rel=1e-4)
    assert logs["loss"] == pytest.approx(sum(expected), rel=1e-4)
    assert logs["information/1-2"] == pytest.approx(np.log(harness.BATCH) - expected[0], abs=1e-4)


def test_in_batch_without_some_views():
    """Absent views are neither anchors nor keys, and not negatives either."""
    method, batch = build(loss="in_batch"), make_batch()
    present = np.ones([harness.BATCH, 2], bool)
    present[0, 1] = present[3, 0] = False
    batch["present"] = tf.constant(present)
    rows, expected = embeddings(method, batch), 0
    both = present.all(axis=1)
    for i, j in ((0, 1), (1, 0)):
        e = np.exp(rows[:, i] @ rows[:, j].T / 0.07)
        own = np.diag(e).copy()
        e[:, ~present[:, j]] = 0
        expected += -np.log(own / e.sum(axis=1))[both].mean()
    assert harness.step(method, batch)["loss"] == pytest.approx(expected, rel=1e-4)


def test_logs_know_which_rows_are_negatives():
    """Neither the own image nor images without the view of a key."""
    method, batch = build(loss="in_batch"), make_batch()
    present = np.ones([harness.BATCH, 2], bool)
    present[2:, 1] = np.random.default_rng(1).random(harness.BATCH - 2) < 0.5
    batch["present"] = tf.constant(present)
    rows, both = embeddings(method, batch), present.all(axis=1)
    logs = harness.step(method, batch)
    for i, j in ((0, 1), (1, 0)):
        cosines, name = rows[:, i] @ rows[:, j].T, f"{i + 1}-{j + 1}"
        others = present[:, j] & ~np.eye(harness.BATCH, dtype=bool)
        means = (cosines * others).sum(axis=1) / others.sum(axis=1)
        assert logs[f"negative/{name}"] == pytest.approx(means[both].mean(), abs=1e-5)
        e = np.exp(cosines / 0.07)
        each = -np.log(np.diag(e) / (np.diag(e) + (e * others).sum(axis=1)))
        bound = np.log(1 + others.sum(axis=1)) - each
        assert logs[f"information/{name}"] == pytest.approx(bound[both].mean(), abs=1e-4)


def test_whole_images_share_an_encoder_a_bank_and_jigsaws():
    """One network serves all views, each of which has rows of its own."""
    options = {"share_encoders": True, "jigsaw_weight": 0.5, "bank_start": "embeddings"}
    method = build((3, 3), **options)
    images = np.random.default_rng(0).normal(size=(64, harness.SIZE, harness.SIZE, 3))
    method.start_epoch(0, lambda network: network(images.astype(np.float32), training=False))
    bank = method.contrast.bank.features.numpy()
    assert len(method.views.encoders) == 1 and bank.shape[1] == 2
    np.testing.assert_array_equal(bank[:, 0], bank[:, 1])
    batch = make_batch((3, 3))
    batch["patches"] = patches()
    logs = harness.step(method, batch)
    assert np.isfinite(list(logs.values())).all()
    assert {"loss/jigsaw-1-1", "loss/jigsaw-2-2"} <= set(logs)


def crops(seed=0):
    return make_batch((1, 2, 1, 2), seed=seed)


def keys_of(method, batch):
    """What the slow copies make of the second crop."""
    rows = []
    for key, view in zip(method.views.keys, batch["views"][2:]):
        before = key.network.get_weights()
        rows.append(unit(key(view, training=True).numpy().astype(float)))
        key.network.set_weights(before)
    return np.stack(rows, axis=1)


@pytest.mark.parametrize("kind", ["eager", "graph"])
def test_queue(kind):
    """Property 17: queries of one crop, keys of the other, scores before the queue is written."""
    channels = (1, 2, 1, 2)
    method = build(channels, memory="queue", momentum=0.9, kind=kind)
    queue = method.contrast.queue.rows.numpy().astype(float)
    assert queue.shape == (16, 2, 128)
    for seed in range(3):
        batch = crops(seed)
        rows, keys = embeddings(method, batch), keys_of(method, batch)
        expected = 0
        for i, j in ((0, 1), (1, 0)):
            positive = np.sum(rows[:, i] * keys[:, j], axis=1)
            expected += softmax_loss(positive, rows[:, i] @ queue[:, j].T).mean()
        averages = [k.network.trainable_variables for k in method.views.keys]
        before = [[v.numpy() for v in variables] for variables in averages]
        assert harness.step(method, batch)["loss"] == pytest.approx(expected, rel=1e-4)
        for old, new, network in zip(before, averages, method.views.networks):
            # After the step: what they follow is what the optimizer has made.
            for o, n, online in zip(old, new, network.trainable_variables):
                np.testing.assert_allclose(n, 0.9 * o + 0.1 * online.numpy(), atol=1e-6)
        places = (8 * seed + np.arange(8)) % 16
        queue[places] = keys
        np.testing.assert_allclose(method.contrast.queue.rows, queue, atol=1e-4)


def test_equal_networks_and_queues_stay():
    """Property 17: without learning the average is a fixed point; then the queue is all keys."""
    method = build((1, 2, 1, 2), memory="queue", num_negatives=20, optimizer=SGD(0.0))
    before = [v.numpy() for key in method.views.keys for v in key.network.trainable_variables]
    start = method.contrast.queue.rows.numpy()
    for seed in range(3):
        harness.step(method, crops(seed))
    after = [v.numpy() for key in method.views.keys for v in key.network.trainable_variables]
    for one, other in zip(before, after):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)
    # Three batches of 8 have gone once round the 20 places, and on.
    assert not (method.contrast.queue.rows.numpy() == start).all(axis=2).any()


def patches(channels=3, seed=5):
    shape = (harness.BATCH, 9, harness.PATCH, harness.PATCH, channels)
    return tf.constant(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def jigsaws(method, batch):
    """Embeddings of the shuffled patches, after the whole views have gone through."""
    before = [network.get_weights() for network in method.views.networks]
    keys = ops.fold_key(0, method.forwards, 1, tf.range(harness.BATCH, dtype=tf.int64))
    orders = ops.keyed_permutations(keys, 9).numpy()
    rows = []
    for v, part in enumerate(tf.split(batch["patches"], [1, 2], axis=-1)):
        encoder, head = method.views.encoders[v], method.views.jigsaw_heads[v]
        flat = tf.reshape(part, [-1, *part.shape[2:]])
        found = encoder(flat, training=True).numpy().reshape(harness.BATCH, 9, -1)
        projected = head.patch_projector(found.reshape(-1, found.shape[2])).numpy()
        projected = projected.reshape(harness.BATCH, 9, -1)
        shuffled = np.stack([projected[b, orders[b]] for b in range(harness.BATCH)])
        joined = head.joint_projector(shuffled.reshape(harness.BATCH, -1)).numpy()
        rows.append(unit(joined.astype(float)))
    for network, weights in zip(method.views.networks, before):
        network.set_weights(weights)
    return np.stack(rows, axis=1)


@pytest.mark.parametrize("cross_view", [False, True])
def test_jigsaws(cross_view):
    """Section 8: half of the loss, within a view or across, and never in the bank."""
    method = build(jigsaw_weight=0.25, jigsaw_cross_view=cross_view)
    batch = {**make_batch(), "patches": patches()}
    indices, bank = batch["index"].numpy(), bank_of(method)
    rows, shuffled = embeddings(method, batch), jigsaws(method, batch)
    others, expected = drawn(method, len(indices)), 0
    for v in (0, 1):
        main = direction(rows[:, v], bank[:, 1 - v], indices, others)[0].mean()
        place = 1 - v if cross_view else v
        jigsaw = direction(shuffled[:, v], bank[:, place], indices, others)[0].mean()
        expected += 0.75 * main + 0.25 * jigsaw
    logs = harness.step(method, batch)
    assert logs["loss"] == pytest.approx(expected, rel=1e-4)
    assert ("loss/jigsaw-1-2" in logs) == cross_view and ("loss/jigsaw-1-1" in logs) != cross_view
    bank[indices] = unit(0.5 * bank[indices] + 0.5 * rows)
    np.testing.assert_allclose(bank_of(method), bank, atol=1e-4)


def test_queue_and_jigsaws():
    """Table 9's CMC + MoCo + PIRL: keys of the queue serve both branches."""
    method = build((1, 2, 1, 2), memory="queue", jigsaw_weight=0.5)
    batch = {**crops(), "patches": patches()}
    queue = method.contrast.queue.rows.numpy().astype(float)
    rows, keys = embeddings(method, batch), keys_of(method, batch)
    shuffled, expected = jigsaws(method, batch), 0
    for anchors, places in ((rows, (1, 0)), (shuffled, (0, 1))):
        for v, place in enumerate(places):
            positive = np.sum(anchors[:, v] * keys[:, place], axis=1)
            expected += 0.5 * softmax_loss(positive, anchors[:, v] @ queue[:, place].T).mean()
    assert harness.step(method, batch)["loss"] == pytest.approx(expected, rel=1e-4)


def local_features(method, batch):
    """Global features `[batch, dim]` and places `[batch, places, dim]` of both views."""
    features, places = [], []
    for network, head, view in zip(
        method.views.networks, method.contrast.place_heads, batch["views"]
    ):
        before, encoder = network.get_weights(), network.layers[0]
        stages = tf.keras.Model(encoder.inputs, encoder.stage_outputs)
        maps = stages(view, training=True)["stem"].numpy()
        network.set_weights(before)
        features.append(network(view, training=True).numpy().astype(float))
        network.set_weights(before)
        rows = head(maps.reshape(-1, maps.shape[-1]), training=True).numpy()
        places.append(rows.reshape(len(maps), -1, rows.shape[1]).astype(float))
    return features, places


@pytest.mark.parametrize("mask", ["leave_out", "constant"])
def test_patches_of_maps(mask):
    """Section 2.6, in both directions: no bank, no length, no temperature."""
    options = {"patch_layer": "stem", "patch_mask": mask}
    method, batch = build(loss="patch", projection_dim=6, **options), make_batch()
    features, places = local_features(method, batch)
    expected, bounds = 0, {}
    for i, j in ((0, 1), (1, 0)):
        total, number = 0, places[j].shape[1]
        for n, anchor in enumerate(features[i]):
            e = np.exp(places[j] @ anchor)
            others = e.sum() - e[n].sum() + (number * np.exp(-10) if mask == "constant" else 0)
            total += np.mean([-np.log(own / (own + others)) for own in e[n]])
        expected += total / harness.BATCH
        level = np.log(1 + number * (harness.BATCH - 1))
        bounds[f"information/{i + 1}-{j + 1}"] = level - total / harness.BATCH
    logs = harness.step(method, batch)
    assert logs["loss"] == pytest.approx(expected, rel=1e-4)
    assert {name: logs[name] for name in bounds} == pytest.approx(bounds, rel=1e-3, abs=1e-3)


def test_places_of_images_that_have_the_view():
    """The bound counts those, of other images."""
    method, batch = build(loss="patch", projection_dim=6, patch_layer="stem"), make_batch()
    number = local_features(method, batch)[1][0].shape[1]
    present = np.ones([harness.BATCH, 2], bool)
    present[3:, 1] = False
    logs = harness.step(method, {**batch, "present": tf.constant(present)})
    for name, others in (("1-2", 2), ("2-1", harness.BATCH - 1)):
        level = np.log(1 + number * others)
        received = logs[f"information/{name}"] + logs[f"loss/{name}"]
        assert received == pytest.approx(level, rel=1e-5)


def test_patches_with_the_heads_of_deep_infomax_train():
    options = {"patch_layer": "stem", "patch_heads": "dim"}
    method = build(loss="patch", projection_dim=8, **options)
    batch = make_batch()
    first = harness.step(method, batch)["loss"]
    assert harness.step(method, batch, times=20)["loss"] < first
