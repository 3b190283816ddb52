"""LARS and SGD against golden numbers, a NumPy re-derivation and PyTorch."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl.training.optimizers import LARS, SGD

P, G = [[3.0, 4.0]], [[0.6, 0.8]]


def _steps(optimizer, parameter, gradients):
    """Values of a variable after each gradient."""
    variable, values = tf.Variable(parameter), []
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
        values.append(variable.numpy())
    return values


def test_lars_has_the_golden_numbers_of_mira():
    optimizer = LARS(4.8, weight_decay=1e-6)
    first, second = _steps(optimizer, P, [G, G])
    np.testing.assert_allclose(first, [[2.9856, 3.9808]], rtol=1e-6)
    np.testing.assert_allclose(second, [[2.95830912, 3.94441216]], rtol=1e-6)
    np.testing.assert_allclose(optimizer.momentums[0], [[0.0056856, 0.0075808]], rtol=1e-6)


def test_sgd_has_the_golden_numbers_of_mira():
    first, second = _steps(SGD(0.6, weight_decay=1e-4), P, [G, G])
    np.testing.assert_allclose(first, [[2.63982, 3.51976]], rtol=1e-6)
    np.testing.assert_allclose(second, [[1.95549961, 2.60733281]], rtol=1e-6)


def test_the_trust_factor_of_the_barlow_twins_check():
    (value,) = _steps(LARS(1.0), P, [G])
    np.testing.assert_allclose(value, [[2.997, 3.996]], rtol=1e-6)


def _numpy_steps(parameter, gradients, rates, momentum, direction, nesterov=False):
    """The update as the papers write it, in float64."""
    p, buffer = parameter.astype(np.float64), np.zeros_like(parameter, np.float64)
    for gradient, lr in zip(gradients, rates):
        d = direction(p, gradient.astype(np.float64), lr)
        buffer = momentum * buffer + d
        p = p - lr * (d + momentum * buffer if nesterov else buffer)
    return p


def _numpy_direction(kind, wd, trust):
    def direction(p, g, lr):
        d = g + wd * p
        if kind == "sgd":
            return d
        p_norm, g_norm, d_norm = (np.sqrt((x**2).sum()) for x in (p, g, d))
        if kind == "lars":
            return d * trust * p_norm / d_norm
        local = trust * p_norm / (g_norm + wd * p_norm + 1e-8)
        return d * (min(local / lr, 1) if kind == "larc_clip" else local)

    return direction


@pytest.mark.parametrize("shape", [(7,), (), (3, 4), (3, 3, 2, 5)])
@pytest.mark.parametrize("exclude", [0, 1, 2])
@pytest.mark.parametrize("kind", ["sgd", "sgd nesterov", "lars", "larc", "larc_clip"])
def test_many_steps_equal_a_numpy_rederivation(kind, exclude, shape):
    rng = fresh_rng()
    parameter = rng.normal(size=shape).astype(np.float32)
    gradients = rng.normal(size=(12, *shape)).astype(np.float32)
    rates = rng.uniform(0.02, 0.5, 12).astype(np.float32)
    wd, momentum, trust = 0.03, 0.8, 0.02
    excluded = len(shape) < exclude
    if kind.startswith("sgd"):
        nesterov = kind.endswith("nesterov")
        optimizer = SGD(0.1, momentum, wd, nesterov=nesterov, exclude_rank_below=exclude)
        direction = _numpy_direction("sgd", 0.0 if excluded else wd, trust)
    else:
        nesterov = False
        optimizer = LARS(0.1, momentum, wd, trust, adaptation=kind, exclude_rank_below=exclude)
        direction = _numpy_direction("sgd" if excluded else kind, 0.0 if excluded else wd, trust)
    variable = tf.Variable(parameter)
    for gradient, lr in zip(gradients, rates):
        optimizer.learning_rate = lr
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
    expected = _numpy_steps(parameter, gradients, rates, momentum, direction, nesterov)
    np.testing.assert_allclose(variable, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("kind", ["sgd", "larc_clip"])
def test_a_held_learning_rate_ignores_the_schedule(kind):
    rng = fresh_rng()
    parameter = rng.normal(size=(3, 4)).astype(np.float32)
    gradients = rng.normal(size=(6, 3, 4)).astype(np.float32)
    rates = np.linspace(0.5, 0.0, 6).astype(np.float32)
    optimizer = SGD(0.1) if kind == "sgd" else LARS(0.1, 0.9, 0.0, 0.02, adaptation=kind)
    held, free = tf.Variable(parameter), tf.Variable(parameter)
    optimizer.hold_learning_rate([held], 0.3)
    for gradient, rate in zip(gradients, rates):
        optimizer.learning_rate = rate
        optimizer.apply_gradients([(tf.constant(gradient), held), (tf.constant(gradient), free)])
    direction = _numpy_direction(kind, 0.0, 0.02)
    constant = _numpy_steps(parameter, gradients, [0.3] * 6, 0.9, direction)
    np.testing.assert_allclose(held, constant, atol=1e-5)
    if kind == "sgd":
        falling = _numpy_steps(parameter, gradients, rates, 0.9, direction)
        np.testing.assert_allclose(free, falling, atol=1e-5)
    with pytest.raises(ValueError, match="expected learning_rate >= 0.*-1"):
        optimizer.hold_learning_rate([held], -1.0)


@pytest.mark.parametrize("adaptation", ["lars", "larc", "larc_clip"])
@pytest.mark.parametrize("zero", ["parameter", "gradient"])
def test_lars_takes_a_factor_of_one_where_a_norm_is_zero(adaptation, zero):
    parameter = np.zeros((2, 2), np.float32) if zero == "parameter" else np.ones((2, 2), np.float32)
    gradient = np.zeros((2, 2), np.float32) if zero == "gradient" else np.ones((2, 2), np.float32)
    (value,) = _steps(LARS(0.1, adaptation=adaptation), parameter, [gradient])
    np.testing.assert_allclose(value, parameter - 0.1 * gradient, rtol=1e-6)


def test_a_learning_rate_of_zero_moves_nothing():
    for optimizer in (LARS(0.0), LARS(0.0, adaptation="larc_clip"), SGD(0.0, nesterov=True)):
        (value,) = _steps(optimizer, P, [G])
        np.testing.assert_array_equal(value, np.float32(P))


@pytest.mark.parametrize("wd", [0.0, 0.05])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_equals_pytorch(momentum, nesterov, wd):
    torch = pytest.importorskip("torch")
    if nesterov and momentum == 0:
        with pytest.raises(ValueError, match="momentum"):
            SGD(0.1, momentum, nesterov=True)
        return
    rng = fresh_rng()
    start = rng.normal(size=(4, 3)).astype(np.float32)
    gradients = rng.normal(size=(15, 4, 3)).astype(np.float32)
    rates = rng.uniform(0.01, 0.5, 15)
    theirs = torch.nn.Parameter(torch.tensor(start))
    reference = torch.optim.SGD(
        [theirs], lr=0.1, momentum=momentum, weight_decay=wd, nesterov=nesterov
    )
    ours, optimizer = tf.Variable(start), SGD(0.1, momentum, wd, nesterov=nesterov)
    for gradient, lr in zip(gradients, rates):
        reference.param_groups[0]["lr"] = lr
        theirs.grad = torch.tensor(gradient)
        reference.step()
        optimizer.learning_rate = lr
        optimizer.apply_gradients([(tf.constant(gradient), ours)])
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [lambda: LARS(0.1), lambda: SGD(0.1, nesterov=True)])
def test_sparse_gradients_count_as_dense_ones_with_repeats_added(make):
    start = fresh_rng().normal(size=(5, 3)).astype(np.float32)
    slices = tf.IndexedSlices(tf.ones([3, 3]), tf.constant([1, 1, 4]), tf.constant([5, 3]))
    dense = np.zeros((5, 3), np.float32)
    dense[[1, 4]] = [[2.0] * 3, [1.0] * 3]
    sparse_variable, dense_variable = tf.Variable(start), tf.Variable(start)
    sparse_optimizer, dense_optimizer = make(), make()
    for _ in range(3):
        sparse_optimizer.apply_gradients([(slices, sparse_variable)])
        dense_optimizer.apply_gradients([(tf.constant(dense), dense_variable)])
    np.testing.assert_allclose(sparse_variable, dense_variable, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_extreme_gradients_stay_finite_under_lars(scale):
    gradient = np.full((3, 3), scale, np.float32)
    (value,) = _steps(LARS(1.0), np.ones((3, 3), np.float32), [gradient])
    # The trust ratio takes the size of the gradient out of the step.
    np.testing.assert_allclose(value, 1 - 0.001, rtol=1e-6)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float64])
@pytest.mark.parametrize("make", [lambda: LARS(0.5, trust_coefficient=0.1), lambda: SGD(0.1)])
def test_variables_of_other_precisions(make, dtype):
    rng = fresh_rng()
    start, gradient = rng.normal(size=(2, 4, 4))
    variable, single = tf.Variable(start, dtype=dtype), tf.Variable(start, dtype=tf.float32)
    make().apply_gradients([(tf.cast(gradient, dtype), variable)])
    make().apply_gradients([(tf.cast(gradient, tf.float32), single)])
    tolerance = {tf.float16: 4e-3, tf.bfloat16: 4e-2, tf.float64: 1e-6}[dtype]
    np.testing.assert_allclose(
        tf.cast(variable, tf.float32), single, rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: SGD(-0.1), "learning_rate=-0.1"),
        (lambda: SGD(float("nan")), "learning_rate=nan"),
        (lambda: SGD(0.1, 1.0), "momentum=1"),
        (lambda: LARS(0.1, -0.5), "momentum=-0.5"),
        (lambda: LARS(0.1, weight_decay=-1e-6), "weight_decay=-1e-06"),
        (lambda: LARS(0.1, trust_coefficient=0.0), "trust_coefficient=0"),
        (lambda: LARS(0.1, exclude_rank_below=3), "exclude_rank_below=3"),
        (lambda: LARS(0.1, adaptation="larcs"), "adaptation='larcs'"),
    ],
)
def test_impossible_arguments_are_refused_with_their_value(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    "optimizer",
    [
        LARS(
            0.3, 0.8, 1e-6, 0.02, exclude_rank_below=0, adaptation="larc_clip", global_clipnorm=3.0
        ),
        SGD(0.3, 0.8, 1e-4, nesterov=True, exclude_rank_below=1, name="mine"),
    ],
)
def test_configuration_round_trip(optimizer):
    config = optimizer.get_config()
    again = type(optimizer).from_config(config)
    assert again.get_config() == config
    by_name = tf.keras.optimizers.deserialize(tf.keras.optimizers.serialize(optimizer))
    assert type(by_name) is type(optimizer) and by_name.get_config() == config
    rng = fresh_rng()
    start, gradient = rng.normal(size=(2, 3, 3)).astype(np.float32)
    np.testing.assert_array_equal(
        _steps(optimizer, start, [gradient] * 2), _steps(again, start, [gradient] * 2)
    )


def test_a_schedule_survives_the_round_trip():
    schedule = tf.keras.optimizers.schedules.CosineDecay(0.3, 10)
    again = LARS.from_config(LARS(schedule).get_config())
    np.testing.assert_allclose(again._learning_rate(4), schedule(4))


@pytest.mark.parametrize("nesterov", [False, True])
def test_variables_without_momentum_are_those_of_an_optimizer_without(nesterov):
    start = fresh_rng().normal(size=(3, 2))
    gradients = fresh_rng().normal(size=(4, 3, 2))
    optimizer = SGD(0.1, 0.9, weight_decay=1e-2, nesterov=nesterov)
    bare, other = tf.Variable(start), tf.Variable(start)
    optimizer.exclude_from_momentum([bare])
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient), v) for v in (bare, other)])
    for variable, momentum, ahead in ((bare, 0.0, False), (other, 0.9, nesterov)):
        direction = _numpy_direction("sgd", 1e-2, None)
        expected = _numpy_steps(start, gradients, [0.1] * 4, momentum, direction, ahead)
        # The learning rate is a float32.
        np.testing.assert_allclose(variable, expected, rtol=1e-6, atol=1e-7)
