"""What every registered method must do. A new method in tfssl/methods gets these tests unasked."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness, textures
from tests.contract.every import CLASSES, EVERY, HEAVY
from tfssl import evaluation, methods, ops, views
from tfssl.training import SGD

# Methods that look at images with all channels.
WHOLE = [name for name in methods.names() if name not in harness.CHANNELS]


@HEAVY
def test_repeats_from_a_seed(name):
    one, other = harness.build(name, seed=3), harness.build(name, seed=3)
    batch = harness.make_batch(name)
    assert harness.step(one, batch) == harness.step(other, batch)
    harness.assert_same_state(harness.state(one), harness.state(other), 0.0)


@HEAVY
def test_loss_starts_near_its_chance_level(name):
    """Once queue and bank hold what an untrained network makes, and with a soft softmax."""
    sizes = {**harness.SMALL, "temperature": 1.0}
    method = harness.build(name, optimizer=SGD(0.0), sizes=sizes)
    for seed in range(10):
        loss = harness.step(method, harness.make_batch(name, seed=seed))["loss"]
    assert np.isfinite(loss)
    if method.chance_level is not None:
        assert loss == pytest.approx(method.chance_level, rel=0.15)


@HEAVY
def test_no_gradient_reaches_state(name):
    method = harness.build(name)
    trained = {id(v) for v in method.trainable_variables}
    frozen = [v for v in method.variables if id(v) not in trained and v.dtype.is_floating]
    with tf.GradientTape() as tape:
        tape.watch(frozen)
        loss, _ = method.compute(harness.make_batch(name))
    reached = [v.name for v, g in zip(frozen, tape.gradient(loss, frozen)) if g is not None]
    assert not reached


@EVERY
def test_every_trained_variable_gets_a_gradient(name):
    method, batch = harness.build(name), harness.make_batch(name)
    if harness.method_of(name) in harness.TURNS:
        # The generator starts as the identity, where only its last layers have a slope.
        harness.step(method, batch, times=2)
    gradients = []
    for variables in harness.turns(method):
        gradients += harness.loss_and_gradients(method, batch, variables)[1]
    assert len(gradients) == len(method.trainable_variables)
    assert all(g is not None for g in gradients)
    assert sum(float(tf.reduce_max(tf.abs(g))) > 0 for g in gradients) > len(gradients) / 2


@EVERY
def test_an_embedding_is_made_of_the_evaluated_features(name):
    method = harness.build(name)
    network, encoder = method.embedding_network, method.evaluated_encoder
    if name.startswith(("clip_contrast", "deepcluster", "predictive", "splitbrain")):
        # Classes, pixels and other views are what their features are compared with.
        assert network is None
        return
    assert {v.ref() for v in encoder.weights} < {v.ref() for v in network.weights}
    shape = [3, harness.SIZE, harness.SIZE, encoder.input_shape[-1]]
    images = tf.random.stateless_uniform(shape, [1, 2])
    rows = network(images, training=False)
    assert rows.shape[0] == 3 and rows.shape.rank == 2 and rows.shape[1] != encoder.feature_dim
    assert np.ptp(rows.numpy(), axis=0).max() > 0


@HEAVY
def test_restored_method_makes_the_same_next_step(name, tmp_path):
    method = harness.build(name, seed=1)
    harness.step(method, harness.make_batch(name, seed=1), times=3)
    path = tf.train.Checkpoint(method=method).write(str(tmp_path / "state"))
    expected = harness.step(method, harness.make_batch(name, seed=2))

    other = harness.build(name, seed=9)
    tf.train.Checkpoint(method=other).read(path).assert_existing_objects_matched()
    assert harness.step(other, harness.make_batch(name, seed=2)) == expected
    harness.assert_same_state(harness.state(method), harness.state(other), 0.0)


@HEAVY
def test_train_function_follows_a_restored_step(name, tmp_path):
    """Later phases are chosen by the step in the checkpoint, not by the steps seen so far."""
    batch = harness.make_batch(name)
    method = harness.build(name)
    path = tf.train.Checkpoint(method=method).write(str(tmp_path / "state"))
    expected = [harness.step(method, batch) for _ in range(2)]

    other = harness.build(name, seed=9)
    other.make_train_function()(iter([batch]))
    tf.train.Checkpoint(method=other).read(path).assert_existing_objects_matched()
    advance = other.make_train_function()
    for logs in expected:
        other.reset_metrics()
        received = advance(iter([batch]))
        assert {key: float(value) for key, value in received.items()} == logs


@CLASSES
def test_values_are_derived_again_in_a_golden_test(name):
    """Somebody wrote the method's equations down a second time, in NumPy."""
    assert list((pathlib.Path(__file__).parents[1] / "golden").glob(f"test_{name}*.py"))


@HEAVY
def test_learns_on_embedded_data(name):
    """With the method's own settings for embedded data, features beat those of random weights."""
    rng = np.random.default_rng(0)
    steps, rows, epoch = 200, 64, 8
    kinds = rng.integers(0, textures.CLASSES, rows * epoch)
    method = harness.build(
        name,
        kind="graph",
        plan=harness.make_plan(
            batch_size=rows,
            total_steps=steps,
            steps_per_epoch=epoch,
            num_records=len(kinds),
            view_channels=harness.channels_of(name),
        ),
        optimizer=SGD(harness.RATES.get(name, 0.1), momentum=0.9),
        sizes=harness.LEARNING,
        **harness.embedded_settings(name),
    )
    view = 1 if name in harness.PIXELWISE else None
    untrained = _texture_accuracy(method, view)
    pictures = textures.draw(kinds, harness.SIZE, rng)

    def extract(network):
        seen = textures.in_channels(pictures, network.input_shape[-1])
        return network(seen, training=False)

    advance = method.make_train_function()
    for step in range(steps):
        if step % epoch == 0:
            method.start_epoch(step // epoch, extract)
            order = method.record_order(step // epoch, np.arange(len(kinds)))
            order = rng.permutation(len(kinds)) if order is None else order
        index = order[step % epoch * rows :][:rows]
        seen = harness.draw_views(name, kinds[index], rng)
        batch = {"views": tuple(map(tf.constant, seen)), "index": tf.constant(index)}
        if harness.needs_patches(name):
            batch["patches"] = tf.constant(textures.draw_patches(kinds[index], harness.PATCH, rng))
        if harness.needs_labelled(name):
            labelled = rng.integers(0, textures.CLASSES, harness.LABELLED)
            seen = textures.draw(labelled, harness.SIZE, rng)
            batch["labelled"] = {"views": (tf.constant(seen),), "label": tf.constant(labelled)}
        advance(iter([batch]))
    assert _texture_accuracy(method, view) > untrained + 0.25


def _texture_accuracy(method, view=None) -> float:
    """kNN accuracy of the evaluated encoder on fresh pictures; fails where it has collapsed."""
    encoder = evaluation.probe_encoder(method.evaluated_encoder, view=view)
    rng = np.random.default_rng(1)
    arrays = []
    for rows in (1024, 512):
        labels = rng.integers(0, textures.CLASSES, rows)
        pictures = textures.draw(labels, harness.SIZE, rng)
        pictures = textures.in_channels(pictures, encoder.input_shape[-1])
        arrays += [encoder(pictures, training=False).numpy(), labels]
    assert float(ops.effective_rank(arrays[0])) > 2
    return evaluation.knn(*arrays)["top1"]


@HEAVY
def test_keras_fit_trains(name):
    batch = harness.make_batch(name)
    rows = tf.data.Dataset.from_tensors(batch).repeat(6)
    method = harness.build(name)
    history = method.fit(rows, epochs=1, verbose=0)
    assert int(method.global_step) == 6
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize("name", WHOLE)
def test_too_few_views_are_refused(name):
    cls = methods.get(name)
    with pytest.raises(ValueError, match="expected a view family with at least"):
        cls.check_views(cls.Config(), harness.view_family((32,) * (cls.min_views - 1)))


@pytest.mark.parametrize("name", WHOLE)
def test_views_without_an_effect_are_refused(name):
    cls = methods.get(name)
    if cls.max_views is None:
        cls.check_views(cls.Config(), harness.view_family((32,) * 7))
        return
    with pytest.raises(ValueError, match="expected a view family with at most .*--num_views"):
        cls.check_views(cls.Config(), harness.view_family((32,) * (cls.max_views + 1)))
    if cls.max_views > 1:
        with pytest.raises(ValueError, match="expected views of one size. Received: 32, 16"):
            cls.check_views(cls.Config(), harness.view_family((32, 16)))


@CLASSES
def test_groups_of_channels_go_to_methods_of_several_views(name):
    """Every other method asks for images with all channels, and the former for nothing else."""
    cls = methods.get(name)
    family = views.build("lab", image_size=32)
    if name in harness.CHANNELS:
        cls.check_views(cls.Config(), family)
        family = views.build("simclr", image_size=32)
    with pytest.raises(ValueError, match="expected views .*channels.* Received: .* Remedy: "):
        cls.check_views(cls.Config(), family)


@CLASSES
def test_patches_are_given_where_they_are_used(name):
    cls = methods.get(name)
    settings = cls.Config()
    needed = harness.needs_patches(name)
    cls.check_patches(settings, 64 if needed else None)
    with pytest.raises(ValueError, match="expected views with.*Received: .*--jigsaw"):
        cls.check_patches(settings, None if needed else 64)
