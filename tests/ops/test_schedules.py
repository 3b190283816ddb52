"""Schedules against the golden values of the papers' code and a NumPy re-derivation."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl.ops import schedules
from tfssl.training.follow_step import FollowStep

IMAGENET = {"peak": 4.8, "warmup_steps": 3120, "warmup_start": 0.3, "total_steps": 312 * 400}


@pytest.mark.parametrize("step, expected", [(0, 0.30144185), (3119, 4.79855815), (3120, 4.8)])
def test_warmup_cosine_has_the_rates_of_the_imagenet_recipe(step, expected):
    assert schedules.warmup_cosine(step, **IMAGENET) == pytest.approx(expected, abs=5e-9)


@pytest.mark.parametrize(
    "fraction, momentum, beta",
    [
        (0, 0.99, 0.75),
        (0.25, 0.991464, 0.737796),
        (0.5, 0.995, 0.708333),
        (0.75, 0.998536, 0.678871),
    ],
)
def test_cosine_has_the_published_momentum_and_beta(fraction, momentum, beta):
    step = int(fraction * 4000)
    found = schedules.cosine(step, start=0.99, end=1.0, total_steps=4000)
    assert found == pytest.approx(momentum, abs=5e-7)
    found = schedules.cosine(step, start=0.75, end=2 / 3, total_steps=4000)
    assert found == pytest.approx(beta, abs=5e-7)


def _numpy_warmup_cosine(t, peak, total, warmup, start, minimum):
    falling = minimum + (peak - minimum) * 0.5 * (
        1 + np.cos(np.pi * (t - warmup) / (total - warmup))
    )
    return np.where(t < warmup, start + (t + 1) / (warmup + 1) * (peak - start), falling)


def test_warmup_cosine_equals_a_numpy_rederivation_at_every_step():
    rng = fresh_rng()
    for _ in range(20):
        total = int(rng.integers(2, 400))
        warmup = int(rng.integers(0, total))
        peak, start, minimum = rng.uniform(0, 5, 3)
        expected = _numpy_warmup_cosine(np.arange(total + 1), peak, total, warmup, start, minimum)
        found = [
            schedules.warmup_cosine(
                t,
                peak=peak,
                total_steps=total,
                warmup_steps=warmup,
                warmup_start=start,
                minimum=minimum,
            )
            for t in range(total + 1)
        ]
        np.testing.assert_allclose(found, expected, atol=1e-12)


SCHEDULES = {
    "constant": lambda t: schedules.constant(t, value=0.3),
    "cosine": lambda t: schedules.cosine(t, start=0.99, end=1.0, total_steps=1000),
    "warmup_cosine": lambda t: schedules.warmup_cosine(
        t, peak=4.8, total_steps=1000, warmup_steps=77, warmup_start=0.3, minimum=1e-3
    ),
    "from zero": lambda t: schedules.warmup_cosine(t, peak=4.8, total_steps=1000),
    "step_decay": lambda t: schedules.step_decay(t, start=30, milestones=(61, 76, 91), factor=0.2),
    "warmup": lambda t: schedules.warmup(
        t,
        steps=10,
        start=0.01,
        then=lambda u: schedules.cosine(u, start=1.0, end=0.1, total_steps=1000),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("dtype", [tf.int64, tf.int32])
@pytest.mark.parametrize("jit", [False, True])
def test_tensors_and_python_agree(name, dtype, jit):
    compiled = tf.function(SCHEDULES[name], jit_compile=jit, autograph=False)
    for step in (0, 1, 9, 10, 60, 61, 76, 77, 500, 998, 999, 1000, 2000):
        found = compiled(tf.constant(step, dtype))
        assert found.dtype == tf.float32 and found.shape == ()
        np.testing.assert_allclose(found, SCHEDULES[name](step), rtol=1e-6)
    assert compiled.experimental_get_tracing_count() == 1


def test_the_last_steps_keep_their_relative_precision_in_float32():
    total = 2_000_000
    for step in (total - 1, total - 7, total - 1000):
        exact = np.sin(np.pi / 2 * (total - step) / total) ** 2
        found = schedules.warmup_cosine(tf.constant(step, tf.int64), peak=1.0, total_steps=total)
        np.testing.assert_allclose(found, exact, rtol=1e-6)


def test_a_variable_is_a_step_too():
    step = tf.Variable(250, dtype=tf.int64)
    np.testing.assert_allclose(SCHEDULES["cosine"](step), SCHEDULES["cosine"](250), rtol=1e-6)


def test_step_decay_drops_at_the_milestone_itself():
    """Property 16 of the CMC sheet, for a step that is the number of an epoch from 1."""
    found = [SCHEDULES["step_decay"](t) for t in (60, 61, 75, 76, 90, 91)]
    np.testing.assert_allclose(found, [30, 6, 6, 1.2, 1.2, 0.24], rtol=1e-12)


def test_warmup_ends_on_the_curve_of_what_follows():
    def curve(t):
        return schedules.cosine(t, start=1.0, end=0.0, total_steps=100)

    found = [schedules.warmup(t, steps=20, start=0.01, then=curve) for t in range(100)]
    np.testing.assert_allclose(found[20:], [curve(t) for t in range(20, 100)])
    np.testing.assert_allclose(np.diff(found[:21]), (curve(20) - 0.01) / 21)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: schedules.cosine(0, start=0.0, end=1.0, total_steps=0), "total_steps=0"),
        (lambda: schedules.cosine(-1, start=0.0, end=1.0, total_steps=9), "step=-1"),
        (lambda: schedules.cosine(0, start=np.nan, end=1.0, total_steps=9), "start=nan"),
        (
            lambda: schedules.warmup_cosine(0, peak=1, total_steps=5, warmup_steps=5),
            "warmup_steps=5",
        ),
        (lambda: schedules.warmup_cosine(0, peak=np.inf, total_steps=5), "peak=inf"),
        (lambda: schedules.step_decay(0, start=1, milestones=(5, 5), factor=0.1), r"\[5, 5\]"),
        (lambda: schedules.step_decay(0, start=1, milestones=(0,), factor=0.1), r"\[0\]"),
        (lambda: schedules.step_decay(0, start=1, milestones=(5,), factor=0.0), "factor=0"),
        (lambda: schedules.warmup(0, steps=-1, start=0.0, then=SCHEDULES["cosine"]), "steps=-1"),
    ],
)
def test_impossible_arguments_are_refused_with_their_value(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_follow_step_ignores_the_optimizers_own_iterations():
    run_step = tf.Variable(0, dtype=tf.int64)
    follow = FollowStep(run_step, SCHEDULES["from zero"])
    optimizer = tf.keras.optimizers.Adam(follow, jit_compile=False)
    weight = tf.Variable([1.0])
    optimizer.build([weight])
    run_step.assign(500)
    optimizer.apply_gradients([(tf.ones([1]), weight)])
    assert int(optimizer.iterations) == 1
    np.testing.assert_allclose(optimizer.learning_rate, SCHEDULES["from zero"](500), rtol=1e-6)


def test_follow_step_says_why_it_has_no_configuration():
    follow = FollowStep(tf.Variable(0, dtype=tf.int64), SCHEDULES["cosine"])
    with pytest.raises(ValueError, match="follows a variable"):
        follow.get_config()
