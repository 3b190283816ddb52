"""CMC's loss of places with several global features an image (section 2.6 of its sheet)."""

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness
from tests.random_inputs import seed_weights
from tfssl import backbones, methods
from tfssl.methods import cmc
from tfssl.settings import SettingsError
from tfssl.training import SGD

# 4 x 4 patches and 2 x 2 global features.
SIZE, CELLS, ANCHORS = 40, 16, 4
PLACES = dict(loss="patch", patch_anchors="places", projection_dim=6)


def build_crops(**options):
    """The method with two narrow networks of crops."""
    seed_weights(0)
    method = methods.get("cmc")(
        cmc.Config(**{**PLACES, "patch_layer": "fold", **options}),
        harness.make_plan(view_channels=(1, 2), view_size=SIZE),
        lambda **more: backbones.build("alexnet_crops", image_size=SIZE, width=1 / 32, **more),
    )
    method.compile(SGD(0.05), run_eagerly=True)
    method.optimizer.build(method.trainable_variables)
    return method


def build_tiny(**options):
    """The method with two tiny encoders: places of the last map against those of the first."""
    plan = harness.make_plan(view_channels=(1, 2))
    return harness.build("cmc", plan=plan, **{**PLACES, "patch_layer": "stem", **options})


def batch_of(size=SIZE, seed=0):
    return harness.make_batch("cmc", sizes=[size] * 2, channels=(1, 2), seed=seed)


def rows_of(head, values):
    """A head's output for every place of a map: `[batch, places, dim]`."""
    found = head(values.reshape([-1, values.shape[-1]]), training=True).numpy().astype(float)
    return found.reshape([len(values), -1, found.shape[1]])


def rows_of_views(method, batch):
    """Of both views the anchors and the places, without moving the statistics."""
    anchors, places = [], []
    of_places = method.contrast.place_heads
    for network, head, view in zip(method.views.networks, of_places, batch["views"]):
        encoder, before = network.layers[0], network.get_weights()
        stages = encoder.stage_outputs
        wanted = [list(stages.values())[-1], stages[method.settings.patch_layer]]
        last, early = tf.keras.Model(encoder.inputs, wanted)(view, training=True)
        network.set_weights(before)
        anchors.append(rows_of(network.layers[1], last.numpy()))
        places.append(rows_of(head, early.numpy()))
    return anchors, places


def by_hand(anchors, places, constant=False):
    """The sum of both directions, anchor by anchor and place by place."""
    total = 0
    for i, j in ((0, 1), (1, 0)):
        terms = []
        for n, of_image in enumerate(anchors[i]):
            others = np.delete(places[j], n, axis=0).reshape([-1, places[j].shape[2]])
            rest = places[j].shape[1] * np.exp(-10) if constant else 0
            for anchor in of_image:
                negatives = np.exp(others @ anchor).sum() + rest
                own = np.exp(places[j][n] @ anchor)
                terms += list(-np.log(own / (own + negatives)))
        total += np.mean(terms)
    return total


def test_two_steps_of_networks_of_crops():
    """Section 2.6 with 4 anchors against 16 places an image, in both directions."""
    method = build_crops()
    for seed in range(2):
        batch = batch_of(seed=seed)
        anchors, places = rows_of_views(method, batch)
        assert anchors[0].shape == (harness.BATCH, ANCHORS, 6)
        assert places[1].shape == (harness.BATCH, CELLS, 6)
        assert anchors[0].std(axis=1).min() > 1e-3
        logs = harness.step(method, batch)
        assert logs["loss"] == pytest.approx(by_hand(anchors, places), rel=1e-4)


def test_any_backbone_has_places():
    """With the heads and the mask of Deep InfoMax."""
    method = build_tiny(patch_mask="constant", patch_heads="dim")
    batch = batch_of(harness.SIZE)
    anchors, places = rows_of_views(method, batch)
    assert anchors[0].shape[1] > 1
    expected = by_hand(anchors, places, constant=True)
    assert harness.step(method, batch)["loss"] == pytest.approx(expected, rel=1e-4)


def test_scores_that_say_nothing():
    """Property 13, with several global features."""
    method, batch = build_tiny(), batch_of(harness.SIZE)
    number = rows_of_views(method, batch)[1][0].shape[1]
    for part in (*method.contrast.place_heads, *(n.layers[1] for n in method.views.networks)):
        part.set_weights([np.zeros_like(w) for w in part.get_weights()])
    logs = harness.step(method, batch)
    level = np.log(1 + (harness.BATCH - 1) * number)
    assert logs["loss/1-2"] == pytest.approx(level, rel=1e-5)
    assert logs["loss"] == pytest.approx(2 * level, rel=1e-5)


def test_every_variable_gets_a_gradient_in_half_precision_too():
    """The mean over places leaves no part of the networks out."""
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    method, batch = build_crops(), batch_of()
    with tf.GradientTape() as tape:
        loss, _ = method.compute(batch)
    gradients = tape.gradient(loss, method.trainable_variables)
    assert loss.dtype == tf.float32 and np.isfinite(float(loss))
    assert all(np.isfinite(g).all() and np.any(g) for g in gradients)


def test_one_place_is_the_features():
    """Of views of 4 pixels the last map of the tiny encoder is one place."""
    found = []
    for anchors in ("features", "places"):
        method, batch = build_tiny(patch_anchors=anchors), batch_of(4)
        found.append(harness.step(method, batch)["loss"])
    assert rows_of_views(method, batch)[0][0].shape[1] == 1
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_absent_views():
    """Section 1.11: an absent view is neither anchor nor place of a negative."""
    method, batch = build_tiny(), batch_of(harness.SIZE)
    present = np.ones([harness.BATCH, 2], bool)
    present[0, 1] = present[3, 0] = False
    batch["present"] = tf.constant(present)
    anchors, places = rows_of_views(method, batch)
    both, expected = np.flatnonzero(present.all(axis=1)), 0
    for i, j in ((0, 1), (1, 0)):
        terms = []
        for n in both:
            others = [k for k in np.flatnonzero(present[:, j]) if k != n]
            negatives = np.exp(places[j][others] @ anchors[i][n].T).sum(axis=(0, 1))
            own = np.exp(places[j][n] @ anchors[i][n].T)
            terms.append(-np.log(own / (own + negatives)).mean())
        expected += np.mean(terms)
    assert harness.step(method, batch)["loss"] == pytest.approx(expected, rel=1e-4)


def test_refusals():
    for loss in ("softmax", "nce", "in_batch"):
        sizes = {} if loss == "in_batch" else {"num_negatives": 16}
        with pytest.raises(SettingsError, match="patch_anchors: .*the loss is not patch"):
            cmc.Config(loss=loss, patch_anchors="places", **sizes)
    with pytest.raises(SettingsError, match="patch_anchors: expected one of features, places"):
        cmc.Config(loss="patch", patch_anchors="global")
    with pytest.raises(SettingsError, match="patch_layer: expected one of stem, stage1.*'fold'"):
        build_tiny(patch_layer="fold")
