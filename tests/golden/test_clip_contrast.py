"""Clip contrast against InfoMin's section 3.4, written down again in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness
from tests.data import moving
from tests.random_inputs import fresh_rng
from tfssl import backbones, evaluation, methods, ops, views
from tfssl.settings import SettingsError


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(sequence, kernel, recurrent, bias):
    """Last output `[batch, dim]` of `[batch, time, dim]`; Hochreiter and Schmidhuber 1997."""
    h = c = np.zeros([len(sequence), len(recurrent)])
    for x in sequence.transpose(1, 0, 2):
        i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return h


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def reference(clips, frames, temperature=0.1):
    """Loss and accuracy of unit rows: each clip's frame among all frames of the batch."""
    logits = clips @ frames.T / temperature
    logits -= logits.max(axis=1, keepdims=True)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    accuracy = np.mean(shares.argmax(axis=1) == np.arange(len(shares)))
    return -np.log(np.diag(shares)).mean(), accuracy, shares


def whole(**settings):
    """The method with the networks of the paper."""
    plan = methods.Plan(8, steps_per_epoch=10, total_steps=20, num_records=80, view_size=64)
    return methods.get("clip_contrast")(
        methods.get("clip_contrast").Config(**settings),
        plan,
        lambda: backbones.build("convnet", image_size=64),
    )


def moving_batch(rows=8, shared="digit,position,background"):
    """A batch of clips as the source and the view family make them."""
    source, family = moving.source(shared), views.build("clip_frame", image_size=64, xla=False)
    indices = tf.range(rows, dtype=tf.int64)
    clips = source.load_batch(indices, ops.fold_key(3, indices))
    return {"views": family(clips, None), "index": indices}


@pytest.mark.parametrize("share", [False, True])
def test_a_step(share, float64):
    """Loss, information and accuracy of clips and frames of moving digits."""
    method, batch = whole(share_cnn=share), moving_batch()
    method.compile(optimizer="sgd", run_eagerly=True)
    clips, frames = (view.numpy() for view in batch["views"])
    assert clips.shape == (8, 10, 64, 64, 3)
    before = method.get_weights()
    flat = method.clip_encoder(clips.reshape(80, 64, 64, 3), training=True).numpy()
    keys = unit(method.frame_encoder(frames, training=True).numpy())
    method.set_weights(before)
    weights = [w.numpy() for w in method.lstm.trainable_variables]
    anchors = unit(lstm(flat.reshape(8, 10, 64), *weights))
    expected, accuracy, _ = reference(anchors, keys)
    logs = harness.step(method, batch)
    assert logs["loss"] == pytest.approx(expected, rel=1e-6)
    assert logs["information"] == pytest.approx(np.log(8) - expected, rel=1e-6)
    assert logs["accuracy"] == pytest.approx(accuracy)


def test_gradients_reach_anchors_and_the_keys_of_all_images(monkeypatch, float64):
    rng = fresh_rng()
    anchors, keys = (tf.constant(unit(rng.normal(size=[8, 5]))) for _ in range(2))
    method = harness.build("clip_contrast")
    monkeypatch.setattr(type(method), "embed_clips", lambda self, view: view)
    monkeypatch.setattr(type(method), "embed_frames", lambda self, view: view)
    with tf.GradientTape() as tape:
        tape.watch([anchors, keys])
        loss, _ = method.compute({"views": (anchors, keys)})
    found = tape.gradient(loss, [anchors, keys])
    expected, _, shares = reference(anchors.numpy(), keys.numpy())
    assert float(loss) == pytest.approx(expected)
    error = (shares - np.eye(8)) / (0.1 * 8)
    np.testing.assert_allclose(found[0], error @ keys.numpy(), atol=1e-9)
    np.testing.assert_allclose(found[1], error.T @ anchors.numpy(), atol=1e-9)


def test_equal_scores_say_nothing_and_apart_ones_nearly_all(monkeypatch):
    """Property 2: L = log k and no information; never more than log k."""
    method = harness.build("clip_contrast", temperature=0.01)
    monkeypatch.setattr(type(method), "embed_clips", lambda self, view: view)
    monkeypatch.setattr(type(method), "embed_frames", lambda self, view: view)
    equal = tf.ones([8, 8]) / 8**0.5
    loss, logs = method.compute({"views": (equal, equal)})
    assert float(loss) == pytest.approx(np.log(8), rel=1e-5) == method.chance_level
    assert float(logs["information"]) == pytest.approx(0, abs=1e-5)
    loss, logs = method.compute({"views": (tf.eye(8), tf.eye(8))})
    assert np.log(8) - 1e-5 < float(logs["information"]) <= np.log(8) + 1e-5
    assert float(logs["accuracy"]) == 1.0
    _, logs = method.compute({"views": (tf.eye(8), tf.roll(tf.eye(8), 1, axis=0))})
    assert float(logs["accuracy"]) == 0.0 and float(logs["information"]) < -50


def test_the_lstm_reads_ten_frames_in_their_order():
    """Property 23: 64 numbers of ten frames, and each of them counts."""
    method, batch = whole(), moving_batch(shared="digit")
    clips, frames = batch["views"]
    with tf.GradientTape() as tape:
        tape.watch(clips)
        rows = method.embed_clips(clips)
        one = tf.reduce_sum(rows[:, :8])
    assert rows.shape == method.embed_frames(frames).shape == (8, 64)
    np.testing.assert_allclose(tf.norm(rows, axis=1), np.ones(8), rtol=1e-5)
    assert method.frame_encoder(frames).shape == (8, 64)
    size = tf.reduce_max(tf.abs(tape.gradient(one, clips)), axis=[2, 3, 4]).numpy()
    assert size.shape == (8, 10) and (size > 0).all()
    backwards = method.embed_clips(tf.reverse(clips, axis=[1]))
    assert np.abs(backwards - rows).max() > 1e-3
    assert [v.shape.as_list() for v in method.lstm.trainable_variables] == [
        [64, 256],
        [64, 256],
        [256],
    ]


def test_networks_are_two_or_one():
    own, shared = whole(), whole(share_cnn=True)
    assert len(own.trainable_variables) == 2 * 12 + 3
    assert len(shared.trainable_variables) == 12 + 3
    encoder = own.evaluated_encoder
    assert evaluation.probe_encoder(encoder) is own.frame_encoder
    assert evaluation.probe_encoder(encoder, view=1) is own.clip_encoder
    assert evaluation.probe_encoder(encoder, view=2) is own.frame_encoder
    with pytest.raises(ValueError, match="view: expected the number of one of 0 views"):
        evaluation.probe_encoder(shared.evaluated_encoder, view=1)
    fresh = own.fresh_encoder(lambda: backbones.build("convnet", image_size=64))
    assert len(fresh.parts) == 2 and fresh.parts[0] is not own.clip_encoder


def test_a_batch_of_one_or_in_parts_is_refused():
    cls = methods.get("clip_contrast")
    for wrong, words in (({"batch_size": 1}, "at least 2"), ({"micro_batches": 2}, "expected 1")):
        with pytest.raises(SettingsError, match=f"{words} with --method=clip_contrast"):
            cls.check_plan(cls.Config(), harness.make_plan(**wrong))
