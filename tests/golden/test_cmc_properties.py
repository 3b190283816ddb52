"""What the CMC sheet knows of whole steps without training (section 10)."""

import importlib

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness
from tests.golden.test_cmc import build, embeddings, make_batch
from tests.golden.test_cmc_combinations import crops, patches
from tfssl.layers import patch_features


def silence(*heads):
    """Heads that give 0 for everything: all scores are equal, whatever the keys are."""
    for head in heads:
        head.set_weights([np.zeros_like(w) for w in head.get_weights()])


def silent(channels=(1, 2), *, records=64, **options):
    """A method whose anchors say nothing."""
    plan = harness.make_plan(view_channels=channels, num_records=records)
    method = harness.build("cmc", plan=plan, **options)
    silence(*(network.layers[1] for network in method.views.networks))
    return method


def said(method, batch):
    """The losses of a forward pass."""
    loss, logs = method.compute(batch)
    return {"loss": float(loss), **{name: float(value) for name, value in logs.items()}}


@pytest.mark.parametrize("number, expected", [(4096, 8.3180), (16384, 9.7041)])
def test_equal_logits(number, expected):
    """Property 1: log(m + 1) a direction, twice that in all."""
    logs = said(silent(num_negatives=number), make_batch())
    assert [logs["loss/1-2"], logs["loss/2-1"]] == pytest.approx([expected] * 2, abs=1e-4)
    assert logs["loss"] == pytest.approx(2 * np.log(number + 1), rel=1e-6)
    assert logs["information/1-2"] == pytest.approx(0, abs=1e-5)


def test_equal_logits_of_a_batch_and_of_a_queue():
    """Property 1, with B - 1 negatives and with K."""
    logs = said(silent(loss="in_batch"), make_batch())
    assert logs["loss"] == pytest.approx(2 * np.log(harness.BATCH), rel=1e-6)
    method = silent((1, 2, 1, 2), memory="queue", num_negatives=20)
    assert said(method, crops())["loss"] == pytest.approx(2 * np.log(21), rel=1e-6)


@pytest.mark.parametrize(
    "number, records, expected",
    [(4096, 1_281_167, 9.4460), (16384, 1_281_167, 10.8322), (16384, 126_689, 10.7168)],
)
def test_probabilities_of_the_noise(number, records, expected, monkeypatch):
    """Property 2: P = 1 / N everywhere, for Z is that of a first batch; with epsilon and without.

    Rows of one number, because a bank of ImageNet's size is large; and property 3: Z is N here.
    """
    method = silent(records=records, loss="nce", num_negatives=number, projection_dim=1)
    logs = said(method, make_batch())
    assert [logs["loss/1-2"], logs["loss/2-1"]] == pytest.approx([expected] * 2, abs=2e-4)
    assert logs["partition/1-2"] == logs["partition/2-1"] == pytest.approx(1, rel=1e-5)
    monkeypatch.setattr(importlib.import_module("tfssl.losses.nce"), "_EPSILON", 0.0)
    exact = (number + 1) * np.log(number + 1) - number * np.log(number)
    assert exact == pytest.approx({4096: 9.3179, 16384: 10.7041}[number], abs=1e-4)
    assert said(method, make_batch())["loss"] == pytest.approx(2 * exact, abs=2e-4)


@pytest.mark.parametrize("mask", ["leave_out", "constant"])
def test_equal_logits_of_places(mask):
    """Property 13: log(1 + (B - 1) P) a direction, and P e^-10 more in the denominator."""
    method = silent(loss="patch", patch_layer="stem", patch_mask=mask)
    silence(*method.contrast.place_heads)
    batch = make_batch()
    encoder = method.views.encoders[0]
    stem = tf.keras.Model(encoder.inputs, encoder.stage_outputs["stem"])
    places = np.prod(stem(batch["views"][0]).shape[1:3])
    assert places > 1
    logs = said(method, batch)
    total = 1 + (harness.BATCH - 1) * places
    total += places * np.exp(-10) if mask == "constant" else 0
    assert logs["loss/1-2"] == pytest.approx(np.log(total), rel=1e-6)
    assert logs["loss"] == pytest.approx(2 * np.log(total), rel=1e-6)


def reordered(method, batch, order, channels, **options):
    """A method and a batch whose views, encoders and rows of the bank are in another order."""
    other = build(tuple(channels[i] for i in order), seed=1, **options)
    for place, i in enumerate(order):
        weights = method.views.networks[i].get_weights()
        other.views.networks[place].set_weights(weights)
    if other.contrast.bank is not None:
        features = tf.gather(method.contrast.bank.features, order, axis=1)
        other.contrast.bank.features.assign(features)
    return other, {**batch, "views": tuple(batch["views"][i] for i in order)}


@pytest.mark.parametrize("loss", ["nce", "in_batch"])
def test_exchanged_views_exchange_the_directions(loss):
    """Property 5: encoders, banks and views in the other order, with the same negatives."""
    method, batch = build(loss=loss), make_batch()
    other, turned = reordered(method, batch, (1, 0), (1, 2), loss=loss)
    for _ in range(2):
        one, two = harness.step(method, batch), harness.step(other, turned)
        assert one["loss/1-2"] != pytest.approx(one["loss/2-1"], rel=1e-3)
        for name, value in one.items():
            kind, _, pair = name.partition("/")
            turned_name = f"{kind}/{pair[::-1]}" if pair else name
            assert two[turned_name] == pytest.approx(value, rel=1e-4, abs=1e-5), name


CASES = {
    "bank": ((1, 2), {"loss": "nce"}),
    "in batch": ((1, 2), {"loss": "in_batch"}),
    "queue and jigsaws": ((1, 2, 1, 2), {"memory": "queue", "jigsaw_weight": 0.5}),
}


@pytest.mark.parametrize("case", CASES)
def test_lengths_before_the_normalisation_mean_nothing(case):
    """Property 12: each view's embeddings multiplied by a positive number give the same step."""
    channels, options = CASES[case]
    method, batch = build(channels, **options), {**make_batch(channels), "patches": patches()}
    before = said(method, batch)
    for factor, network in zip((0.2, 70.0), method.views.networks):
        # The last linear map; before it there is a hidden layer with a ReLU.
        for variable in network.layers[1].layers[-2].trainable_variables:
            variable.assign(factor * variable)
    for factor, head in zip((3.0, 0.01), method.views.jigsaw_heads):
        for variable in head.joint_projector.trainable_variables:
            variable.assign(factor * variable)
    assert said(method, batch) == pytest.approx(before, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_embeddings_have_length_1(policy):
    """Property 15: of views, of keys and of jigsaws, whatever the precision of the networks."""
    tf.keras.mixed_precision.set_global_policy(policy)
    method = build((1, 2, 1, 2), memory="queue", jigsaw_weight=0.5)
    batch, views = crops(), method.views
    orders = tf.tile(tf.range(9)[tf.newaxis], [harness.BATCH, 1])
    options = dict(groups=1, batch_size=harness.BATCH, shuffle=tf.constant(0, tf.int64))
    rows = [
        views.embed(batch["views"][:2]),
        *views.embed_pairs(batch["views"][:2], batch["views"][2:], **options),
        views.embed_jigsaws(patches(), orders),
    ]
    for found in rows:
        assert found.shape == [harness.BATCH, 2, 128] and found.dtype == tf.float32
        np.testing.assert_allclose(np.linalg.norm(found, axis=2), 1, atol=1e-5)
    # What is normalised is the head's output, not the encoder's.
    features = patch_features(views.encoders[0], patches()[..., :1])
    assert np.abs(np.linalg.norm(features, axis=-1) - 1).max() > 1e-2


def test_unit_rows_score_within_the_temperature():
    """Property 12: logits within 1 / tau, where each row is its own key or the opposite."""
    method, batch = build(num_negatives=1, bank_start="directions"), make_batch()
    features, indices = method.contrast.bank.features, batch["index"].numpy()
    rows, stored = embeddings(method, batch)[:, ::-1], features.numpy()
    for sign in (1, -1):
        stored[indices] = sign * rows
        features.assign(stored)
        logs = said(method, batch)
        assert logs["positive/1-2"] == pytest.approx(sign, abs=1e-5)
        # One negative: its cosine is between -1 and 1, too.
        bounds = sorted(np.log1p(np.exp((n - sign) / 0.07)) for n in (-1, 1))
        assert bounds[0] - 1e-5 <= logs["loss/1-2"] <= bounds[1] + 1e-5
