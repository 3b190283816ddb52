"""Groups of variables with optimizers of their own: each as if it were alone, and yet one."""

import importlib.util

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl.training.optimizers import (
    SGD,
    GroupedOptimizer,
    OptimizerConfig,
    build_grouped_optimizer,
    build_optimizer,
)

RATE, FACTOR = 0.05, 1 / 3
SHAPES = [(3, 2), (2,), (2, 4), (4,)]
# The last two variables are in the group.
FIRST, SECOND, BOTH = (0, 1), (2, 3), (0, 1, 2, 3)
TURNS = (FIRST, SECOND, FIRST, FIRST, BOTH, SECOND)
NAMES = ["lars", "sgd", "adamw", "adam"]
if importlib.util.find_spec("tensorflow_addons"):
    NAMES += ["lamb", "novograd", "radam"]
EVERY = pytest.mark.parametrize("name", NAMES)


def config_of(name, **options):
    options.setdefault("weight_decay", 0.1 if name in ("lars", "sgd", "adamw", "lamb") else 0.0)
    return OptimizerConfig(optimizer=name, **options)


def variables_of(seed=0):
    rng = np.random.default_rng(seed)
    return [tf.Variable(rng.normal(size=s).astype(np.float32)) for s in SHAPES]


def grouped(name, variables, **options):
    optimizer = build_grouped_optimizer(
        config_of(name, **options), lambda factor: factor * RATE, [(FACTOR, variables[2:])]
    )
    optimizer.build(variables)
    return optimizer


def random_gradients():
    rng = fresh_rng()
    return [[rng.normal(size=s).astype(np.float32) for s in SHAPES] for _ in TURNS]


def run(optimizer, variables, gradients, turns=TURNS):
    for chosen, values in zip(turns, gradients):
        optimizer.apply_gradients([(tf.constant(values[i]), variables[i]) for i in chosen])


def assert_same(ours, theirs, **tolerance):
    for one, other in zip(ours, theirs):
        np.testing.assert_allclose(one, other, **{"rtol": 1e-6, "atol": 1e-7, **tolerance})


@EVERY
def test_each_group_is_as_if_it_were_alone(name):
    variables, apart = variables_of(), variables_of()
    gradients = random_gradients()
    run(grouped(name, variables), variables, gradients)
    for rate, own in ((RATE, FIRST), (FACTOR * RATE, SECOND)):
        alone = build_optimizer(config_of(name), rate)
        alone.build([apart[i] for i in own])
        for chosen, values in zip(TURNS, gradients):
            pairs = [(tf.constant(values[i]), apart[i]) for i in chosen if i in own]
            if pairs:
                alone.apply_gradients(pairs)
    assert_same(variables, apart, rtol=0, atol=0)


def test_adam_counts_the_steps_of_a_group():
    """Against Adam written down: the bias correction of a group follows its own steps."""
    variables, gradients = variables_of(), random_gradients()
    expected = [v.numpy().astype(np.float64) for v in variables]
    first, second, count = ([0.0] * 4 for _ in range(3))
    for chosen, values in zip(TURNS, gradients):
        for i in chosen:
            rate = RATE if i in FIRST else FACTOR * RATE
            count[i] += 1
            first[i] = 0.9 * first[i] + 0.1 * values[i]
            second[i] = 0.999 * second[i] + 0.001 * values[i] ** 2
            mean, square = first[i] / (1 - 0.9 ** count[i]), second[i] / (1 - 0.999 ** count[i])
            expected[i] -= rate * mean / (np.sqrt(square) + 1e-8)
    optimizer = grouped("adam", variables)
    run(optimizer, variables, gradients)
    assert_same(variables, expected, rtol=1e-4, atol=1e-5)
    assert [int(o.iterations) for o in optimizer.optimizers] == [4, 3]
    assert int(optimizer.iterations) == len(TURNS)


@pytest.mark.parametrize("exclude", [0, 2])
def test_weight_decay_follows_the_rate_of_its_group(exclude):
    variables = variables_of()
    before = [v.numpy() for v in variables]
    optimizer = grouped("adamw", variables, weight_decay=0.5, exclude_rank_below=exclude)
    optimizer.apply_gradients([(tf.zeros_like(v), v) for v in variables])
    for i, (variable, old) in enumerate(zip(variables, before)):
        rate = RATE if i in FIRST else FACTOR * RATE
        decay = 0.5 * rate if old.ndim >= exclude else 0.0
        np.testing.assert_allclose(variable, old * (1 - decay), rtol=1e-5)


def test_the_largest_norm_is_of_all_gradients_together():
    variables, plain = variables_of(), variables_of()
    gradients = random_gradients()[0]
    run(grouped("sgd", variables, clip_norm=0.5), variables, [gradients], [BOTH])
    norm = np.sqrt(sum(np.sum(g**2) for g in gradients))
    assert norm > 0.5
    clipped = [g * np.float32(0.5 / norm) for g in gradients]
    run(grouped("sgd", plain), plain, [clipped], [BOTH])
    assert_same(variables, plain, rtol=1e-5, atol=1e-6)


@EVERY
@pytest.mark.parametrize("jit", [False, True])
def test_programs_equal_eager_steps(name, jit):
    variables, other = variables_of(), variables_of()
    optimizers = [grouped(name, variables), grouped(name, other)]
    gradients = random_gradients()
    run(optimizers[0], variables, gradients)
    programs = {}
    for chosen, values in zip(TURNS, gradients):
        if chosen not in programs:

            def step(values, chosen=chosen):
                optimizers[1].apply_gradients([(values[i], other[i]) for i in chosen])

            programs[chosen] = tf.function(step, jit_compile=jit, autograph=False)
        programs[chosen](list(map(tf.constant, values)))
    assert_same(variables, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scaler", [False, True])
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_two_replicas_equal_one_device(name, scaler, two_replicas):
    """Gradients are added up before they are clipped."""
    single = variables_of()
    one = grouped(name, single, clip_norm=1.0)
    with two_replicas.scope():
        mirrored = variables_of()
        two = grouped(name, mirrored, clip_norm=1.0)
        if scaler:
            two = tf.keras.mixed_precision.LossScaleOptimizer(two)
            two.get_scaled_loss(tf.constant(1.0))
            two.get_unscaled_gradients([])
    turns, gradients = (FIRST, SECOND, BOTH), random_gradients()
    run(one, single, gradients, turns)

    def step(chosen, share):
        two.apply_gradients([(share[i], mirrored[i]) for i in chosen])

    for chosen, values in zip(turns, gradients):
        parts = [np.stack([0.25 * g, 0.75 * g]) for g in values]
        shares = [
            two_replicas.experimental_distribute_values_from_function(
                lambda c, p=p: tf.constant(p[c.replica_id_in_sync_group])
            )
            for p in parts
        ]
        program = tf.function(lambda s, chosen=chosen: step(chosen, s), autograph=False)
        two_replicas.run(program, (shares,))
    assert_same(single, mirrored, rtol=1e-4, atol=1e-5)
    assert int(two.iterations.numpy()) == len(turns)


@EVERY
def test_the_loss_scaler_takes_its_scale_out_and_skips_infinite_gradients(name):
    plain, scaled = variables_of(), variables_of()
    gradients = random_gradients()[0]
    run(grouped(name, plain), plain, [gradients], [SECOND])
    scaler = tf.keras.mixed_precision.LossScaleOptimizer(grouped(name, scaled), initial_scale=64.0)
    scaler.get_scaled_loss(tf.constant(1.0))
    own = [scaled[i] for i in SECOND]
    unscaled = scaler.get_unscaled_gradients([tf.constant(gradients[i]) * 64 for i in SECOND])
    scaler.apply_gradients(zip(unscaled, own))
    assert_same(plain, scaled, rtol=1e-5)
    before = [np.array(v) for v in (*scaled, *scaler.inner_optimizer.variables[1:])]
    scaler.apply_gradients([(tf.fill(v.shape, np.inf), v) for v in own])
    for old, now in zip(before, (*scaled, *scaler.inner_optimizer.variables[1:])):
        np.testing.assert_array_equal(old, now)


@EVERY
def test_a_checkpoint_brings_every_group_back(name, tmp_path):
    variables, again = variables_of(), variables_of(1)
    first, second = grouped(name, variables), grouped(name, again)
    gradients = random_gradients()
    run(first, variables, gradients[:3], TURNS[:3])
    saved = tf.train.Checkpoint(variables=variables, optimizer=first).write(str(tmp_path / "c"))
    checkpoint = tf.train.Checkpoint(variables=again, optimizer=second)
    checkpoint.read(saved).assert_consumed()
    for optimizer, own in ((first, variables), (second, again)):
        run(optimizer, own, gradients[3:], TURNS[3:])
    assert_same(variables, again, rtol=0, atol=0)
    assert_same(first.variables, second.variables, rtol=0, atol=0)
    assert len(first.variables) > len(SHAPES)


def test_a_gradient_of_none_leaves_its_variable():
    variables = variables_of()
    before = [v.numpy() for v in variables]
    optimizer = grouped("sgd", variables)
    ones = [tf.ones_like(v) for v in variables]
    optimizer.apply_gradients([(None if i in SECOND else ones[i], variables[i]) for i in BOTH])
    assert [(v.numpy() != old).any() for v, old in zip(variables, before)] == [True] * 2 + [
        False
    ] * 2
    with pytest.raises(ValueError, match="expected a gradient. Received: none"):
        optimizer.apply_gradients([(None, v) for v in variables])


def test_what_is_refused():
    variables = variables_of()
    with pytest.raises(ValueError, match="expected every variable in one group"):
        GroupedOptimizer(SGD(0.1), [(SGD(0.1), variables[:2]), (SGD(0.1), variables[1:])])
    with pytest.raises(ValueError, match="expected clip_norm > 0 or None. Received: clip_norm=0"):
        GroupedOptimizer(SGD(0.1), [], clip_norm=0)
    with pytest.raises(ValueError, match="cannot be written into a configuration"):
        grouped("sgd", variables).get_config()
    assert float(grouped("sgd", variables).learning_rate) == pytest.approx(RATE)
