"""MIRA's assignment against the paper's theory: optimality, contraction, limits.

Lee et al. 2022, arXiv 2211.02284. T1 to T18 number the properties; everything is re-derived here
in NumPy float64. g = beta / (1 - beta); P = softmax(Z / tau); A = softmax(Z / (tau (1 - beta))).
"""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.golden.mira_reference import (
    TAU,
    assign,
    enough,
    entropy,
    information,
    kl,
    objective,
    softmax,
)
from tests.random_inputs import fresh_rng
from tfssl import losses, ops
from tfssl.ops import fixed_point

BETAS = [0.1, 0.5, 2 / 3, 0.75, 0.9]


def random_rows(rng, shape=(12, 7)):
    return softmax(rng.normal(size=shape))


def eq7(u, z, beta, tau=TAU):
    """One application of the fixed-point map T."""
    a = softmax(z / (tau * (1 - beta)))
    den = a @ u ** (-beta / (1 - beta))
    return np.mean(a / den[:, None], axis=0) ** (1 - beta)


def eq5(u, z, beta, tau=TAU):
    w = u ** (-beta / (1 - beta)) * softmax(z / (tau * (1 - beta)))
    return w / w.sum(axis=1, keepdims=True)


@pytest.fixture(params=BETAS, ids=lambda b: f"beta{b:.2f}")
def beta(request):
    return request.param


@pytest.fixture
def rng():
    return fresh_rng()


@pytest.fixture
def z(rng):
    return rng.uniform(-1, 1, size=(12, 7))


@pytest.mark.parametrize("n", [0, 1, 30])
def test_t1_rows_are_distributions(z, beta, n):
    w = assign(z, beta, n)
    assert np.all(w >= 0) and np.all(np.isfinite(w))
    np.testing.assert_allclose(w.sum(axis=1), 1, atol=1e-12)


def test_t2_optimality_conditions_hold(z, beta):
    w = assign(z, beta)
    p = softmax(z / TAU)
    residual = (1 - beta) * np.log(w) + beta * np.log(w.mean(axis=0)) - np.log(p)
    assert np.max(np.ptp(residual, axis=1)) < 1e-9


def test_t3_marginal_is_the_fixed_point(z, beta):
    u = assign(z, beta).mean(axis=0)
    np.testing.assert_allclose(eq7(u, z, beta), u, atol=1e-9)
    assert u.sum() == pytest.approx(1, abs=1e-12)


def test_t4_every_start_reaches_the_same_assignment(z, beta, rng):
    u = np.exp(3 * rng.normal(size=7))
    for _ in range(enough(beta)):
        u = eq7(u, z, beta)
    np.testing.assert_allclose(assign(z, beta), eq5(u, z, beta), atol=1e-9)


def test_t5_the_map_contracts_is_homogeneous_and_monotone(z, beta, rng):
    matrix = tf.constant(softmax(z / (TAU * (1 - beta))))

    def step(u):
        # The kernel maps s to s with u = (s / batch)^(1 - beta), and its weights are scaled.
        s = u ** (1 / (1 - beta))
        sums = fixed_point._sweep([tf.constant(s)], tf.constant(beta, tf.float64), matrix)
        return (sums.numpy() / len(z) * s.min() ** beta) ** (1 - beta)

    u, v = np.exp(rng.normal(size=(2, 7)))
    np.testing.assert_allclose(step(u), eq7(u, z, beta), rtol=1e-12)
    before, after = np.log(u / v), np.log(step(u) / step(v))
    assert np.max(np.abs(after)) <= beta * np.max(np.abs(before)) + 1e-12
    assert np.ptp(after) <= beta * np.ptp(before) + 1e-12
    np.testing.assert_allclose(step(3.7 * u), 3.7**beta * step(u), rtol=1e-12)
    assert np.all(step(np.minimum(u, v)) <= step(u) + 1e-12)


@pytest.mark.parametrize("n", [0, 1, 7])
def test_t6_without_information_it_is_the_softmax(z, n):
    np.testing.assert_allclose(assign(z, 0.0, n), softmax(z / TAU), atol=1e-12)


@pytest.mark.parametrize("n", [0, 30])
def test_t7_equal_rows_stay_at_the_softmax_of_the_full_temperature(z, beta, n):
    for rows in (z[:1], np.repeat(z[:1], 5, axis=0)):
        np.testing.assert_allclose(assign(rows, beta, n), softmax(rows / TAU), atol=1e-11)


def test_t8_nothing_is_better_and_the_objective_is_convex(z, beta, rng):
    p, best = softmax(z / TAU), objective(assign(z, beta), softmax(z / TAU), beta)
    for _ in range(20):
        v, w = random_rows(rng), random_rows(rng)
        f_v, f_w = objective(v, p, beta), objective(w, p, beta)
        assert best <= min(f_v, f_w) + 1e-12
        assert objective((v + w) / 2, p, beta) <= (f_v + f_w) / 2 + 1e-12


def test_t9_the_dual_certifies_the_optimum(z, beta, rng):
    p, w = softmax(z / TAU), assign(z, beta)

    def dual(v):
        inner = np.sum(v ** (-beta / (1 - beta)) * p ** (1 / (1 - beta)), axis=1)
        return -(1 - beta) * np.mean(np.log(inner))

    best = objective(w, p, beta)
    assert dual(w.mean(axis=0)) == pytest.approx(best, abs=1e-9)
    for _ in range(20):
        assert dual(random_rows(rng, (1, 7))[0]) <= best + 1e-12


def test_t10_information_pays_for_the_distance(z, beta):
    p, w = softmax(z / TAU), assign(z, beta)
    assert information(w) >= information(p) + kl(w, p) / beta - 1e-9
    assert information(w) <= min(math.log(12), math.log(7)) + 1e-12


def test_t11_information_and_distance_grow_with_beta(z):
    p = softmax(z / TAU)
    solutions = [assign(z, b) for b in [0.0, *BETAS]]
    assert np.all(np.diff([information(w) for w in solutions]) >= -1e-9)
    assert np.all(np.diff([kl(w, p) for w in solutions]) >= -1e-9)


def test_t12_the_marginal_is_more_even_than_that_of_a(z, beta):
    a = softmax(z / (TAU * (1 - beta)))
    assert entropy(assign(z, beta).mean(axis=0)) >= entropy(a.mean(axis=0)) - 1e-9


def test_t13_symmetries(z, beta, rng):
    w = assign(z, beta)
    rows, columns = rng.permutation(12), rng.permutation(7)
    np.testing.assert_allclose(assign(z[rows][:, columns], beta), w[rows][:, columns], atol=1e-9)
    np.testing.assert_allclose(assign(z + rng.normal(size=(12, 1)), beta), w, atol=1e-9)
    np.testing.assert_allclose(assign(np.repeat(z, 3, axis=0), beta)[::3], w, atol=1e-9)
    np.testing.assert_allclose(assign(2.5 * z, beta, tau=2.5 * TAU), w, atol=1e-9)


def test_t14_at_fixed_a_it_tends_to_sinkhorn(z):
    temperature = 0.3
    codes = ops.sinkhorn_knopp(tf.constant(z), epsilon=temperature, num_iterations=4000).numpy()
    errors = [
        np.max(np.abs(assign(z, b, 4000, tau=temperature / (1 - b)) - codes))
        for b in (0.9, 0.99, 0.999)
    ]
    assert errors[2] < 2e-2
    np.testing.assert_allclose(errors[1] / errors[2], 10, rtol=0.2)
    assert errors[0] > errors[1]
    np.testing.assert_allclose(
        assign(z, 0.0, tau=temperature), softmax(z / temperature), atol=1e-12
    )


def test_t15_at_fixed_p_it_tends_to_hard_assignments(z):
    w = assign(z, 0.99, 3000)
    scores = np.sort(np.log(softmax(z / TAU)) - np.log(w.mean(axis=0)), axis=1)
    order = np.argsort(np.log(softmax(z / TAU)) - np.log(w.mean(axis=0)), axis=1)
    # exp(-0.1 / (1 - beta)) is 5e-5; rows on a tie stay split.
    clear = scores[:, -1] - scores[:, -2] > 0.15
    assert clear.sum() >= 3
    assert np.all(np.take_along_axis(w, order, axis=1)[clear, -1] > 0.98)
    with pytest.raises(ValueError, match="beta < 1. Received: beta=1.0"):
        assign(z, 1.0, 1)


def test_t16_replicas_agree_with_one_device(two_replicas, rng):
    logits = rng.uniform(-1, 1, size=(12, 7)).astype(np.float32)
    parts = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.constant(logits[6 * context.replica_id_in_sync_group :][:6])
    )

    @tf.function(autograph=False)
    def replica(part):
        gathered = ops.cross_replica_concat(part)
        targets = ops.mira_assignment(gathered, temperature=TAU, beta=2 / 3)
        return ops.local_rows(targets, 6)

    per_replica = two_replicas.experimental_local_results(two_replicas.run(replica, args=(parts,)))
    expected = assign(logits, 2 / 3, 30)
    np.testing.assert_allclose(np.concatenate(per_replica), expected, atol=1e-6)


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "graph"])
def test_t17_no_gradient_reaches_the_teacher(z, wrap):
    teacher, student = tf.Variable(z), tf.Variable(z[::-1])

    @wrap
    def gradients():
        with tf.GradientTape() as tape:
            targets = ops.mira_assignment(1.5 * teacher, temperature=TAU, beta=0.5)
            loss = losses.swapped_prediction(1.5 * student, targets, temperature=0.1)
        return tape.gradient(loss, [student, teacher], unconnected_gradients="zero")

    to_student, to_teacher = gradients()
    assert np.all(to_teacher.numpy() == 0)
    assert np.max(np.abs(to_student)) > 1e-3


@pytest.mark.parametrize("n", [0, 1, 6])
def test_t18_the_start_is_one_step_from_ones(z, beta, n):
    u = np.ones(7)
    for _ in range(n + 1):
        u = eq7(u, z, beta)
    np.testing.assert_allclose(assign(z, beta, n), eq5(u, z, beta), atol=1e-11)
