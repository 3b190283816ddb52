"""What every registered method must do. A new method in tfssl/methods gets these tests unasked."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness, textures
from tfssl import evaluation, methods, ops, views
from tfssl.training import SGD

EVERY = pytest.mark.parametrize("name", methods.names())
# Methods that look at images with all channels.
WHOLE = [name for name in methods.names() if name not in harness.CHANNELS]
# Tests that take seconds: on the newest stack, where slow ones are left out, with one method.
QUICK = ("npid",)
HEAVY = pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in methods.names()],
)

FORBIDDEN_IN_XLA = {"Where", "Unique", "UniqueV2"}
FORBIDDEN_WORDS = ("PyFunc", "String")
STATEFUL_RANDOM = {"RandomUniform", "RandomStandardNormal", "RandomUniformInt", "RandomShuffle"}


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
def test_eager_and_one_xla_program_agree(name, float64):
    """The graph without XLA is compared with eager steps where two replicas run it."""
    batch = harness.make_batch(name)
    eager, compiled = (harness.build(name, kind=kind) for kind in ("eager", "xla"))
    expected, received = (harness.step(method, batch, times=2) for method in (eager, compiled))
    for key, value in expected.items():
        assert received[key] == pytest.approx(value, rel=1e-6, abs=1e-7), key
    harness.assert_same_state(harness.state(eager), harness.state(compiled), 1e-8)


@HEAVY
def test_step_is_ready_for_xla_and_traced_once(name):
    method = harness.build(name)
    batch = harness.make_batch(name)
    traces = []

    @tf.function(autograph=False)
    def program(batch):
        traces.append(1)
        return method.train_step(batch)

    graph = program.get_concrete_function(batch).graph
    for _ in range(3):
        program(batch)
    assert len(traces) == 1
    bodies = [graph, *(f.graph for f in _functions(graph))]
    operations = [operation for body in bodies for operation in body.get_operations()]
    kinds = {operation.type for operation in operations}
    # Of unknown rank is only the memory that batch normalisation hands to its gradient.
    shapes = [tensor.shape for operation in operations for tensor in operation.outputs]
    assert not [s for s in shapes if s.rank is not None and not s.is_fully_defined()]
    assert not kinds & (FORBIDDEN_IN_XLA | STATEFUL_RANDOM)
    assert not [kind for kind in kinds if any(word in kind for word in FORBIDDEN_WORDS)]


def _functions(graph):
    """The functions that a graph calls, for looking inside."""
    return [f for f in graph._functions.values() if hasattr(f, "graph")]


@HEAVY
def test_one_xla_program_agrees_in_float32(name):
    """What users run: single precision, whose sums an XLA program orders in its own way."""
    batch = harness.make_batch(name)
    losses, gradients = [], []
    for jit in (False, True):
        method = harness.build(name)

        def program(method=method):
            with tf.GradientTape() as tape:
                loss, _ = method.compute(batch)
            return loss, tape.gradient(loss, method.trainable_variables)

        run = tf.function(program, autograph=False, jit_compile=True) if jit else program
        loss, gradient = run()
        losses.append(float(loss))
        gradients.append(np.concatenate([np.ravel(g) for g in gradient]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert np.linalg.norm(gradients[0] - gradients[1]) < 5e-3 * np.linalg.norm(gradients[0])


@HEAVY
def test_two_replicas_equal_one_device(name, float64, two_replicas):
    whole = harness.make_batch(name)
    single = harness.build(name)
    expected = harness.step(single, whole, times=3)

    with two_replicas.scope():
        double = harness.build(name, kind="graph")
    received = harness.step(double, harness.spread(two_replicas, whole), times=3)
    for key, value in expected.items():
        assert received[key] == pytest.approx(value, rel=1e-6, abs=1e-7), key
    harness.assert_same_state(harness.state(single), harness.state(double), 1e-8)
    for variable in double.variables:
        copies = two_replicas.experimental_local_results(variable)
        if variable.synchronization != tf.VariableSynchronization.ON_READ:
            np.testing.assert_array_equal(copies[0].numpy(), copies[-1].numpy())


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
    method = harness.build(name)
    with tf.GradientTape() as tape:
        loss, _ = method.compute(harness.make_batch(name))
    gradients = tape.gradient(loss, method.trainable_variables)
    assert all(g is not None for g in gradients)
    assert sum(float(tf.reduce_max(tf.abs(g))) > 0 for g in gradients) > len(gradients) / 2


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


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", methods.names())
def test_half_precision_stays_finite(name, policy):
    tf.keras.mixed_precision.set_global_policy(policy)
    method = harness.build(name)
    batch = harness.make_batch(name)
    losses = [harness.step(method, batch)["loss"] for _ in range(4)]
    assert np.isfinite(losses).all()
    assert int(method.first_nonfinite_step) == -1
    assert all(v.dtype != tf.float16 for v in method.variables if v.dtype.is_floating)
    assert all(np.isfinite(array).all() for array in harness.state(method))


@HEAVY
def test_parts_of_a_batch_make_one_step_with_the_mean_gradient(name, float64):
    """Teachers, banks and schedules too move as in one step."""
    if methods.get(name).splits_batch is not True:
        assert isinstance(methods.get(name).splits_batch, str)
        return
    first, *parts = [harness.make_batch(name, seed=s) for s in range(4)]
    whole, split = harness.build(name), harness.build(name)
    for method in (whole, split):
        # A teacher that equals what it follows would not show that it moves once for every part.
        harness.step(method, first)
    variables, gradients = whole.variables_in(whole.current_phase), []
    whole.before_forward()
    for part in parts:
        with tf.GradientTape() as tape:
            loss, _, kept = whole.compute_and_keep(part)
        gradients.append(tape.gradient(loss, variables))
        whole.after_pass(part, kept)
    mean = [tf.add_n(each) / len(parts) for each in zip(*gradients)]
    whole.optimizer.apply_gradients(zip(mean, variables))
    whole.after_step()
    whole.global_step.assign_add(1)

    split.make_train_function(force=True, parts=len(parts))(iter(parts))
    assert int(split.global_step) == 2
    harness.assert_same_state(harness.state(whole), harness.state(split), 1e-9)


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


@EVERY
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
    advance = method.make_train_function()
    for step in range(steps):
        if step % epoch == 0:
            method.start_epoch(step // epoch, lambda network: network(pictures, training=False))
            order = method.record_order(step // epoch, np.arange(len(kinds)))
            order = rng.permutation(len(kinds)) if order is None else order
        index = order[step % epoch * rows :][:rows]
        seen = textures.draw_views(
            kinds[index],
            harness.SIZE,
            rng,
            channels=harness.channels_of(name),
            coloured=name in harness.PIXELWISE,
        )
        batch = {"views": tuple(map(tf.constant, seen)), "index": tf.constant(index)}
        if harness.needs_patches(name):
            batch["patches"] = tf.constant(textures.draw_patches(kinds[index], harness.PATCH, rng))
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


@EVERY
def test_groups_of_channels_go_to_methods_of_several_views(name):
    """Every other method asks for images with all channels, and the former for nothing else."""
    cls = methods.get(name)
    family = views.build("lab", image_size=32)
    if name in harness.CHANNELS:
        cls.check_views(cls.Config(), family)
        family = views.build("simclr", image_size=32)
    with pytest.raises(ValueError, match="expected views .*channels.* Received: .* Remedy: "):
        cls.check_views(cls.Config(), family)


@EVERY
def test_patches_are_given_where_they_are_used(name):
    cls = methods.get(name)
    settings = cls.Config()
    needed = harness.needs_patches(name)
    cls.check_patches(settings, 64 if needed else None)
    with pytest.raises(ValueError, match="expected views with.*Received: .*--jigsaw"):
        cls.check_patches(settings, None if needed else 64)
