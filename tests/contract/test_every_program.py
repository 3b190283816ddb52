"""Every registered method's step as a program: XLA, replicas, precision, parts of a batch."""

import numpy as np
import pytest
import tensorflow as tf

from tests.compiled import parameters
from tests.contract import harness
from tests.contract.every import EVERY, HEAVY
from tfssl import methods

FORBIDDEN_IN_XLA = {"Where", "Unique", "UniqueV2"}
FORBIDDEN_WORDS = ("PyFunc", "String")
STATEFUL_RANDOM = {"RandomUniform", "RandomStandardNormal", "RandomUniformInt", "RandomShuffle"}


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
def test_a_step_depends_on_no_value_of_its_batch(name):
    """XLA would compile it anew for every batch."""
    method, batch = harness.build(name), harness.make_batch(name)
    program = tf.function(method.train_step, jit_compile=True, autograph=False)
    wanted = parameters(tf.function(lambda b: b["index"], jit_compile=True), batch)
    received = parameters(program, batch)
    assert len(wanted) == len(tf.nest.flatten(batch))
    for kind in wanted:
        assert received.count(kind) >= wanted.count(kind), kind


@HEAVY
def test_one_xla_program_agrees_in_float32(name):
    """What users run: single precision, whose sums an XLA program orders in its own way."""
    batch = harness.make_batch(name)
    built = harness.build(name), harness.build(name)
    for variables in zip(*map(harness.turns, built)):
        losses, gradients = [], []
        for jit, method, own in zip((False, True), built, variables):

            def program(method=method, own=own):
                return harness.loss_and_gradients(method, batch, own)

            run = tf.function(program, autograph=False, jit_compile=True) if jit else program
            loss, gradient = run()
            losses.append(float(loss))
            gradients.append(np.concatenate([np.ravel(g) for g in gradient]))
        # A mean of cosines may be near zero, and has their rounding.
        assert losses[0] == pytest.approx(losses[1], rel=1e-5, abs=1e-6)
        distance = np.linalg.norm(gradients[0] - gradients[1])
        assert distance < 5e-3 * np.linalg.norm(gradients[0])


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


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@EVERY
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
    splits_batch = methods.get(harness.method_of(name)).splits_batch
    if splits_batch is not True:
        assert isinstance(splits_batch, str)
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
