"""LARS, SGD and AdamW inside training steps: graphs, XLA, replicas, loss scaling, frozen parts."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng, normal
from tests.training.short_runs import SHORT
from tfssl import config, training
from tfssl.settings import SettingsError
from tfssl.training.optimizers import LARS, SGD, AdamW

MAKERS = {
    "lars": lambda lr=0.3: LARS(lr, weight_decay=1e-4),
    "larc_clip": lambda lr=0.3: LARS(lr, trust_coefficient=0.02, adaptation="larc_clip"),
    "sgd": lambda lr=0.1: SGD(lr, weight_decay=1e-4, nesterov=True),
    "adamw": lambda lr=0.01: AdamW(lr, weight_decay=0.1),
}
every_optimizer = pytest.mark.parametrize("name", MAKERS)


def _model():
    return tf.keras.Sequential(
        [
            tf.keras.layers.Input([6]),
            tf.keras.layers.Dense(5, activation="tanh", kernel_initializer="glorot_normal"),
            tf.keras.layers.Dense(2, bias_initializer="ones"),
        ]
    )


def _step(model, optimizer, x, y, rows):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum((model(x, training=True) - y) ** 2) / rows
    optimizer.apply_gradients(
        zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    )


def _data(steps=4, rows=8):
    rng = fresh_rng()
    return (
        rng.normal(size=(steps, rows, 6)).astype(np.float32),
        rng.normal(size=(steps, rows, 2)).astype(np.float32),
    )


def _assert_same_weights(model, other, atol=1e-6):
    for ours, theirs in zip(model.get_weights(), other.get_weights()):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=atol)


@every_optimizer
@pytest.mark.parametrize("jit", [False, True])
def test_a_graph_step_equals_an_eager_step(name, jit):
    eager, graph = _model(), _model()
    graph.set_weights(eager.get_weights())
    optimizers = [MAKERS[name](), MAKERS[name]()]
    for model, optimizer in zip((eager, graph), optimizers):
        optimizer.build(model.trainable_variables)
    xs, ys = _data()

    @tf.function(jit_compile=jit, autograph=False)
    def step(x, y):
        _step(graph, optimizers[1], x, y, 8)

    for x, y in zip(tf.constant(xs), tf.constant(ys)):
        _step(eager, optimizers[0], x, y, 8)
        step(x, y)
    assert step.experimental_get_tracing_count() == 1
    _assert_same_weights(eager, graph)


@every_optimizer
def test_two_replicas_equal_one_device(name, two_replicas):
    single = _model()
    optimizer = MAKERS[name]()
    with two_replicas.scope():
        mirrored, mirrored_optimizer = _model(), MAKERS[name]()
        mirrored.set_weights(single.get_weights())
        mirrored_optimizer.build(mirrored.trainable_variables)
    xs, ys = _data()

    @tf.function(autograph=False)
    def step(x, y):
        two_replicas.run(_step, (mirrored, mirrored_optimizer, x, y, 8))

    for x, y in zip(xs, ys):
        _step(single, optimizer, x, y, 8)
        halves = [
            two_replicas.experimental_distribute_values_from_function(
                lambda c, a=a: tf.constant(np.split(a, 2)[c.replica_id_in_sync_group])
            )
            for a in (x, y)
        ]
        step(*halves)
    _assert_same_weights(single, mirrored)


@every_optimizer
def test_a_frozen_part_keeps_its_weights_and_its_slots(name):
    model, optimizer = _model(), MAKERS[name]()
    body, head = model.layers
    optimizer.build(model.trainable_variables)
    (x, *_), (y, *_) = _data()
    _step(model, optimizer, x, y, 8)
    slots = [v for v in optimizer.variables if v.shape == head.kernel.shape]
    assert slots
    before = [v.numpy() for v in (*head.variables, *slots)]
    moved = body.kernel.numpy()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum((model(x) - y) ** 2)
    gradients = tape.gradient(loss, body.trainable_variables)
    optimizer.apply_gradients(zip(gradients, body.trainable_variables))
    for old, now in zip(before, (*head.variables, *slots)):
        np.testing.assert_array_equal(old, now)
    assert (moved != body.kernel.numpy()).any()


@every_optimizer
def test_a_gradient_of_none_leaves_its_variable(name):
    kept, moved = tf.Variable(tf.ones([2, 2])), tf.Variable(tf.ones([2, 2]))
    MAKERS[name]().apply_gradients([(None, kept), (tf.ones([2, 2]), moved)])
    np.testing.assert_array_equal(kept, np.ones((2, 2)))
    assert (moved.numpy() != 1).any()


@every_optimizer
def test_the_loss_scaler_takes_its_scale_out_and_skips_infinite_gradients(name):
    plain, scaled = tf.Variable(tf.ones([2, 3])), tf.Variable(tf.ones([2, 3]))
    gradient = normal([2, 3])
    MAKERS[name]().apply_gradients([(gradient, plain)])
    scaler = tf.keras.mixed_precision.LossScaleOptimizer(MAKERS[name](), initial_scale=128.0)
    scaler.build([scaled])
    scaler.get_scaled_loss(tf.constant(1.0))
    unscaled = scaler.get_unscaled_gradients([gradient * scaler.loss_scale])
    scaler.apply_gradients(zip(unscaled, [scaled]))
    np.testing.assert_allclose(scaled, plain, rtol=1e-5)
    slots = [v for v in scaler.inner_optimizer.variables if v.shape == scaled.shape]
    assert slots
    for wrong in (np.inf, np.nan):
        start = [v.numpy() for v in (scaled, *slots)]
        infinite = scaler.get_unscaled_gradients([tf.fill([2, 3], wrong)])
        scaler.apply_gradients(zip(infinite, [scaled]))
        for old, now in zip(start, (scaled, *slots)):
            np.testing.assert_array_equal(old, now)


@every_optimizer
def test_mixed_float16_trains_through_fit(name):
    tf.keras.mixed_precision.set_global_policy("mixed_float16")
    model = _model()
    model.compile(MAKERS[name](1e-3), "mse")
    assert isinstance(model.optimizer, tf.keras.mixed_precision.LossScaleOptimizer)
    xs, ys = _data(1)
    before = model.get_weights()
    model.fit(xs[0], ys[0], epochs=2, verbose=0)
    after = model.get_weights()
    assert all(np.isfinite(w).all() and w.dtype == np.float32 for w in after)
    assert all((old != new).any() for old, new in zip(before, after))


@every_optimizer
def test_a_checkpoint_brings_the_slots_back(name, tmp_path):
    xs, ys = _data(6)
    model, optimizer = _model(), MAKERS[name]()
    for x, y in zip(xs[:3], ys[:3]):
        _step(model, optimizer, x, y, 8)
    saved = tf.train.Checkpoint(model=model, optimizer=optimizer).write(str(tmp_path / "c"))
    again, again_optimizer = _model(), MAKERS[name]()
    again_optimizer.build(again.trainable_variables)
    checkpoint = tf.train.Checkpoint(model=again, optimizer=again_optimizer)
    checkpoint.read(saved).assert_consumed()
    for x, y in zip(xs[3:], ys[3:]):
        _step(model, optimizer, x, y, 8)
        _step(again, again_optimizer, x, y, 8)
    for ours, theirs in zip(model.get_weights(), again.get_weights()):
        np.testing.assert_array_equal(ours, theirs)


@every_optimizer
def test_global_clipping_caps_the_norm_of_all_gradients_together(name):
    optimizer = type(MAKERS[name]())(0.1, weight_decay=0.0, global_clipnorm=1.0)
    reference = type(MAKERS[name]())(0.1, weight_decay=0.0)
    pairs = [(tf.fill([2, 2], 3.0), tf.Variable(tf.ones([2, 2]))) for _ in range(2)]
    clipped = [(g / np.sqrt(8 * 9.0), tf.Variable(v)) for g, v in pairs]
    optimizer.apply_gradients(pairs)
    reference.apply_gradients(clipped)
    for (_, ours), (_, theirs) in zip(pairs, clipped):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("exclude", [0, 1, 2])
@pytest.mark.parametrize("name", ["lars", "sgd", "adamw"])
def test_only_variables_of_the_excluded_ranks_do_not_decay(name, exclude):
    optimizer = type(MAKERS[name]())(0.5, weight_decay=0.1, exclude_rank_below=exclude)
    variables = [tf.Variable(tf.ones([2] * rank)) for rank in range(4)]
    # Without a gradient to follow, only decay can move a weight.
    optimizer.apply_gradients([(tf.zeros_like(v), v) for v in variables])
    for rank, variable in enumerate(variables):
        assert (variable.numpy() != 1).any() == (rank >= exclude)


def test_xla_is_off_unless_asked_for():
    for make in MAKERS.values():
        assert make().jit_compile is False


@pytest.mark.slow
@pytest.mark.parametrize("constant", [True, False])
def test_a_predictor_keeps_its_learning_rate(constant):
    """SimSiam: at the end of a cosine the encoder stands still and the predictor does not."""
    chosen = "--simsiam_constant_predictor_lr" if constant else "--nosimsiam_constant_predictor_lr"
    flags = [*SHORT, "--method=simsiam", "--simsiam_hidden_dim=16", "--simsiam_projection_dim=16"]
    experiment = training.prepare(config.parse([*flags, chosen])[0])
    method = experiment.method
    method.global_step.assign(experiment.plan.total_steps)  # The cosine is at 0.
    before = [[v.numpy() for v in part.trainable_variables] for part in _halves(method)]
    method.make_train_function()(iter(experiment.batches(0)))
    moved = [
        any((old != new.numpy()).any() for old, new in zip(values, part.trainable_variables))
        for values, part in zip(before, _halves(method))
    ]
    assert moved == [False, constant]


def _halves(method):
    return method.network, method.predictor


def test_a_constant_rate_needs_an_optimizer_that_has_it():
    flags = [*SHORT, "--method=simsiam", "--optimizer=adamw"]
    with pytest.raises(SettingsError, match="expected sgd or lars, because simsiam.*adamw"):
        training.prepare(config.parse(flags)[0])
