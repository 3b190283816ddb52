"""Steps of view learning from section 3.5 of the InfoMin sheet, and its property 28."""

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness
from tests.layers.test_coupling_flow import by_hand
from tests.random_inputs import fresh_rng
from tfssl import backbones, views
from tfssl.methods import view_learning
from tfssl.methods.view_learning import CRITICS, GENERATOR
from tfssl.settings import SettingsError
from tfssl.training import SGD

TEMPERATURE = 0.1
OBJECTIVES = ("unsupervised", "semi_supervised", "supervised")
EVERY = pytest.mark.parametrize("objective", OBJECTIVES)
NAMES = ["view_learning", "view_learning/labelled"]


def build(objective="unsupervised", *, step=0, rate=0.1, **options):
    """A method at a step, whose generator is some other map than the identity."""
    method = harness.build("view_learning", objective=objective, optimizer=SGD(rate), **options)
    rng = fresh_rng()
    weights = [rng.uniform(-0.4, 0.4, w.shape) for w in method.generator.get_weights()]
    method.generator.set_weights(weights)
    method.global_step.assign(step)
    return method


def make_batch(objective, seed=0):
    return harness.make_batch(NAMES[objective != "unsupervised"], seed=seed)


def outputs(networks, seen):
    """What networks give in training mode, without moving the statistics."""
    before = [network.get_weights() for network in networks]
    found = [n(v, training=True).numpy().astype(float) for n, v in zip(networks, seen)]
    for network, weights in zip(networks, before):
        network.set_weights(weights)
    return found


def by_definition(method, batch):
    """L(1->2), L(2->1), the changed images, cross-entropies and accuracies of a batch."""
    images, labels = batch["views"][0].numpy(), None
    if method.classifiers:
        images = np.concatenate([images, batch["labelled"]["views"][0]])
        labels = batch["labelled"]["label"].numpy()
    flow = method.settings.flow
    changed, log = by_hand(method.generator, images, flow, method.settings.flow_scale)
    seen = [changed[..., :1].astype(np.float32), changed[..., 1:].astype(np.float32)]
    one, two = (
        z / np.linalg.norm(z, axis=1, keepdims=True) for z in outputs(method.critics.networks, seen)
    )
    scores = one @ two.T / TEMPERATURE
    losses = [np.mean(np.log(np.exp(s).sum(axis=1)) - np.diag(s)) for s in (scores, scores.T)]
    entropies, accuracies = [], []
    for logits in outputs(method.classifiers, [v[-harness.LABELLED :] for v in seen]):
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        entropies.append(-np.log(shares[np.arange(len(labels)), labels]).mean())
        accuracies.append(np.mean(logits.argmax(axis=1) == labels))
    change = np.abs(changed - images).mean()
    return losses, entropies, accuracies, change, np.broadcast_to(log, images.shape[:3]).mean()


@pytest.mark.parametrize("objective, flow", zip(OBJECTIVES, ("vp", "nvp", "nvp_swap")))
@pytest.mark.parametrize("step, kind", [(0, CRITICS), (1, GENERATOR)])
def test_losses_against_numpy(objective, flow, step, kind):
    method = build(objective, flow=flow, step=step)
    batch = make_batch(objective)
    losses, entropies, accuracies, change, log_det = by_definition(method, batch)
    k = harness.BATCH + harness.LABELLED * (objective != "unsupervised")
    mean = np.mean(losses)
    expected = {
        "loss": mean,
        "loss/1-2": losses[0],
        "loss/2-1": losses[1],
        "information/1-2": np.log(k) - losses[0],
        "information/2-1": np.log(k) - losses[1],
        "information": np.log(k) - mean,
        "change": change,
        "log_det": log_det,
    }
    if kind == CRITICS:
        expected["loss/critics"] = mean
    else:
        shared = 0 if objective == "supervised" else np.log(k) - mean
        expected["loss/generator"] = shared + sum(entropies)
        for number, pair in enumerate(zip(entropies, accuracies), start=1):
            expected[f"cross_entropy/{number}"], expected[f"accuracy/{number}"] = pair
    assert method.chance_level == pytest.approx(np.log(k))
    logs = harness.step(method, batch)
    assert {n: logs[n] for n in expected} == pytest.approx(expected, rel=1e-3, abs=1e-4)
    cosines = {f"{c}/{d}" for c in ("positive", "negative") for d in ("1-2", "2-1")}
    assert set(method.logged) == {*expected, *cosines}


@pytest.mark.parametrize("objective", OBJECTIVES[:2])
def test_the_generator_raises_what_the_critics_lower(objective):
    """Property 28: of a short step, with the other side as it was."""
    batch = make_batch(objective)
    for step, sign in ((0, -1), (1, 1)):
        method = build(objective, step=step, rate=1e-3)
        # The cross-entropies must not outweigh the contrast in the generator's step.
        for network in method.classifiers:
            network.layers[1].set_weights([0 * w for w in network.layers[1].get_weights()])
        before = np.mean(by_definition(method, batch)[0])
        harness.step(method, batch)
        assert sign * (np.mean(by_definition(method, batch)[0]) - before) > 0


@EVERY
@pytest.mark.parametrize("step", [0, 1])
def test_a_side_that_is_frozen_does_not_change(objective, step):
    """Property 28; moving statistics included."""
    method = build(objective, step=step)
    critics = method.critics.variables
    others = [*method.generator.variables, *(v for n in method.classifiers for v in n.variables)]
    before = [[v.numpy() for v in part] for part in (critics, others)]
    harness.step(method, make_batch(objective))
    for part, old, moves in zip((critics, others), before, (step == 0, step == 1)):
        moved = [(v.numpy() != w).any() for v, w in zip(part, old)]
        assert any(moved) if moves else not any(moved)
    averages = [v.numpy() for v in method.critics.non_trainable_variables]
    assert len(averages) == 4 * 2


def slopes(method, batch, of):
    with tf.GradientTape() as tape:
        tape.watch(of)
        loss, _ = method.compute(batch)
    return tape.gradient(loss, of)


def test_cross_entropies_reach_the_generator_from_labelled_images_alone(float64):
    """Property 28."""
    batch = make_batch("supervised")
    unlabelled, labelled = batch["views"][0], batch["labelled"]["views"][0]
    first, second = slopes(build("supervised", step=1), batch, [unlabelled, labelled])
    assert first is None or not np.any(first)
    assert np.all(np.abs(second).max(axis=(1, 2, 3)) > 0)
    first, second = slopes(build("semi_supervised", step=1), batch, [unlabelled, labelled])
    assert np.all(np.abs(first).max(axis=(1, 2, 3)) > 0)


def test_the_objective_is_the_sum_of_its_parts(float64):
    """Of the semi-supervised one: the contrast of all images, and what is supervised."""
    batch, method = make_batch("supervised"), build("semi_supervised", step=1)
    of = method.generator.trainable_variables
    both = slopes(method, batch, of)
    whole = {"views": (tf.concat([batch["views"][0], batch["labelled"]["views"][0]], 0),)}
    parts = []
    for objective, own in (("unsupervised", whole), ("supervised", batch)):
        plan = harness.make_plan(batch_size=len(own["views"][0]))
        other = build(objective, plan=plan if objective == "unsupervised" else None, step=1)
        for name in ("generator", "critics"):
            getattr(other, name).set_weights(getattr(method, name).get_weights())
        for one, another in zip(other.classifiers, method.classifiers):
            one.set_weights(another.get_weights())
        parts.append(slopes(other, own, other.generator.trainable_variables))
    for whole, one, other in zip(both, *parts):
        np.testing.assert_allclose(whole, one + other, rtol=1e-8, atol=1e-10)


def test_labels_of_the_batch_itself_are_not_read():
    results = []
    for label in (0, 5):
        method = build("semi_supervised", step=1)
        method.generator.set_weights([0.1 + 0 * w for w in method.generator.get_weights()])
        batch = {**make_batch("supervised"), "label": tf.fill([harness.BATCH], label)}
        results.append(harness.step(method, batch))
    assert results[0] == results[1]


def test_steps_take_turns():
    method = build(critic_steps=3)
    kinds = [CRITICS] * 3 + [GENERATOR]
    assert [method.phase(step) for step in range(12)] == kinds * 3
    trained = [{id(v) for v in method.variables_in(kind)} for kind in (CRITICS, GENERATOR)]
    assert not trained[0] & trained[1]
    assert trained[0] | trained[1] == {id(v) for v in method.trainable_variables}


@pytest.mark.parametrize("swap, slower", [(False, GENERATOR), (True, CRITICS)])
def test_one_side_learns_more_slowly(swap, slower):
    """Section 8.2: 2e-4 and 6e-4."""
    method = build("semi_supervised", swap_lr=swap)
    ((factor, variables),) = method.scaled_rate_variables
    assert 6e-4 * factor == pytest.approx(2e-4)
    assert [id(v) for v in variables] == [id(v) for v in method.variables_in(slower)]


def test_the_evaluated_encoder_has_the_generator_before_it():
    method = build()
    images = fresh_rng().normal(size=(5, harness.SIZE, harness.SIZE, 3)).astype(np.float32)
    changed = by_hand(method.generator, images, "vp", "bounded")[0].astype(np.float32)
    seen = changed[..., :1], changed[..., 1:]
    encoders = method.critics.encoders
    expected = [e(v, training=False) for e, v in zip(encoders, seen)]
    joint = method.evaluated_encoder
    found = joint(images, training=False)
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), rtol=1e-3, atol=1e-4)
    for part, values in zip(joint.parts, expected):
        np.testing.assert_allclose(part(images, training=False), values, rtol=1e-3, atol=1e-4)
    assert {v.ref() for v in method.generator.weights} < {v.ref() for v in joint.weights}
    fresh = method.fresh_encoder(
        lambda **options: backbones.build("tiny", image_size=harness.SIZE, **options)
    )
    assert fresh.input_shape == joint.input_shape and fresh.output_shape == joint.output_shape


def test_the_generator_has_a_name_of_its_own_in_a_checkpoint(tmp_path):
    method = build()
    path = tf.train.Checkpoint(method=method).write(str(tmp_path / "state"))
    names = [n for n, _ in tf.train.list_variables(path) if n.startswith("method/generator/")]
    assert len(names) >= len(method.generator.variables)
    other = build()
    part = tf.train.Checkpoint(method=tf.train.Checkpoint(generator=other.generator))
    part.read(path).expect_partial().assert_existing_objects_matched()
    for one, another in zip(method.generator.get_weights(), other.generator.get_weights()):
        np.testing.assert_array_equal(one, another)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_blocks": 4}, "num_blocks: expected a multiple of 3.*Received: 4"),
        ({"flow_scale": "plain"}, "flow_scale: .*flow vp has no scale.*Received: plain"),
        ({"flow": "vp_nice", "flow_scale": "plain"}, "flow_scale: .*flow vp_nice has no scale"),
        ({"lr_ratio": 1.5}, "lr_ratio: expected > 0 and <= 1. Received: 1.5"),
        ({"objective": "adversarial"}, "objective: expected one of unsupervised, semi"),
    ],
)
def test_refused_settings(options, message):
    with pytest.raises(SettingsError, match=message):
        view_learning.Config(**options)


def test_refused_sizes_and_views():
    for options, message in (
        ({"batch_size": 1}, "expected at least 2 with method view_learning.*Received: 1"),
        ({"micro_batches": 2}, "expected 1 with method view_learning.*Received: 2"),
    ):
        with pytest.raises(SettingsError, match=message):
            build(plan=harness.make_plan(**options))
    for options in ({"num_classes": 1}, {"labelled_batch_size": 0}):
        with pytest.raises(SettingsError, match="objective: expected labelled records of two"):
            build("supervised", plan=harness.make_plan(**options))
        build(plan=harness.make_plan(**options))
    whole = {"num_views": 1, "color_split": "ydbdr", "color_groups": "3"}
    family = views.build("simclr", image_size=harness.SIZE, xla=False, **whole)
    view_learning.ViewLearning.check_views(view_learning.Config(), family)
    with pytest.raises(SettingsError, match="at most 1 views.*Remedy: --num_views=1"):
        family = views.build("simclr", image_size=harness.SIZE, xla=False)
        view_learning.ViewLearning.check_views(view_learning.Config(), family)
