"""mira_assignment: numerics, extreme logits, arguments, and how it runs (eager, graph, XLA)."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import logsumexp

from tests.random_inputs import fresh_rng
from tfssl import ops
from tfssl.ops import assignment, fixed_point

TAU = 0.225


def reference(logits, beta, n=30, tau=TAU):
    """The fixed point in logarithms, NumPy float64."""
    logs = np.asarray(logits, np.float64) / (tau * (1 - beta))
    g = beta / (1 - beta)
    log_u = np.zeros(logs.shape[1])
    for _ in range(n + 1):
        den = logsumexp(logs - g * log_u, axis=1, keepdims=True)
        log_u = (1 - beta) * (logsumexp(logs - den, axis=0) - np.log(len(logs)))
    log_w = logs - g * log_u
    return np.exp(log_w - logsumexp(log_w, axis=1, keepdims=True))


@pytest.fixture
def rng():
    return fresh_rng()


@pytest.mark.parametrize("beta", [0.0, 0.5, 2 / 3, 0.9])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (33, 20), (70, 5)])
def test_float32_agrees_with_float64(rng, beta, shape):
    logits = rng.uniform(-1, 1, shape).astype(np.float32)
    targets = ops.mira_assignment(logits, temperature=TAU, beta=beta)
    assert targets.dtype == tf.float32 and targets.shape == shape
    np.testing.assert_allclose(targets, reference(logits, beta), atol=5e-6)


@pytest.mark.parametrize("rows", [1001, 2048])
def test_shards_of_a_large_matrix_agree_with_float64(rng, rows):
    logits = rng.uniform(-1, 1, (rows, 2111)).astype(np.float32)
    assert len(fixed_point.plan_shards(rows, 2111, 4)) == 2
    targets, info = ops.mira_assignment_with_info(
        logits, temperature=TAU, beta=2 / 3, num_iterations=8
    )
    expected = reference(logits, 2 / 3, 8)
    np.testing.assert_allclose(targets, expected, atol=1e-6, rtol=2e-5)
    assert float(info.max_marginal) == pytest.approx(expected.mean(axis=0).max(), rel=1e-5)


@pytest.mark.parametrize("rows, columns", [(4096, 3000), (4097, 3000), (5000, 12000), (3, 10**7)])
def test_plan_covers_all_rows_in_order(rows, columns):
    plan = fixed_point.plan_shards(rows, columns, 4)
    blocks = [block for shard in plan for block in shard]
    assert blocks[0][0] == 0 and blocks[-1][1] == rows
    assert all(a[1] == b[0] for a, b in zip(blocks, blocks[1:]))
    assert all(begin < end for begin, end in blocks)
    assert all(begin * columns * 4 % 64 == 0 for begin, _ in blocks)


def test_small_or_unknown_matrices_are_not_cut():
    assert fixed_point.plan_shards(512, 3000, 4) == [[(0, 512)]]
    assert fixed_point.plan_shards(None, 3000, 4) == [[(0, None)]]


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_is_computed_in_float32(rng, dtype):
    logits = tf.cast(rng.uniform(-1, 1, (20, 6)), dtype)
    targets = ops.mira_assignment(logits, temperature=TAU, beta=0.75)
    assert targets.dtype == tf.float32
    np.testing.assert_allclose(targets, reference(tf.cast(logits, tf.float64), 0.75), atol=2e-6)


@pytest.mark.parametrize("scale", [3.0, 30.0, 1e4])
@pytest.mark.parametrize("beta", [0.5, 0.9])
def test_any_range_of_logits(rng, scale, beta):
    """Across the limit of the direct form, and far beyond it."""
    logits = rng.uniform(-scale, scale, (24, 8)).astype(np.float32)
    logits[:, 3] = -scale  # starved: no row wants it
    targets = ops.mira_assignment(logits, temperature=TAU, beta=beta).numpy()
    np.testing.assert_allclose(targets, reference(logits, beta), atol=5e-6)
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-5)


def test_direct_form_at_its_limit(rng, monkeypatch):
    """A range of 60, a starved cluster: the direct form still has all its digits."""
    logits = rng.uniform(0.3, 0.5, (64, 16)).astype(np.float32)
    logits[:, 5] = -0.5
    logits[0, 0] = 0.5
    beta, tau = 0.9, 1.0 / (60.001 * 0.1)
    called = []
    direct = fixed_point.solve_direct
    monkeypatch.setattr(fixed_point, "solve_direct", lambda *a: called.append(1) or direct(*a))
    targets = ops.mira_assignment(logits, temperature=tau, beta=beta, num_iterations=100)
    expected = reference(logits, beta, 100, tau)
    assert called
    np.testing.assert_allclose(targets, expected, atol=1e-6, rtol=2e-4)


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_spread_bounds_the_range_from_above(rng, scale):
    logits = rng.uniform(-scale, scale, (30, 9))
    temperature, beta = tf.constant(TAU, tf.float64), tf.constant(0.5, tf.float64)
    spread = float(fixed_point.start_direct(tf.constant(logits), temperature, beta).spread)
    exact = np.ptp(logits) / (TAU * 0.5)
    assert exact <= spread * (1 + 1e-12) and spread <= exact + np.log(9)


def test_both_forms_agree(rng):
    logits = tf.constant(rng.uniform(-1, 1, (30, 9)))
    common = (tf.constant(TAU, tf.float64), tf.constant(0.75, tf.float64), tf.constant(12), None)
    temperature, *others = common
    direct = fixed_point.solve_direct(
        fixed_point.start_direct(logits, temperature, others[0]), *others
    )
    logs = fixed_point.solve_in_logs(logits, *common)
    for a, b in zip(direct, logs):
        np.testing.assert_allclose(a, b, atol=1e-11)


def test_distance_is_that_of_the_last_two_iterates(rng):
    logits, beta, g = rng.uniform(-1, 1, (30, 9)), 0.75, 3.0
    # w_ij / w_ik of consecutive solutions differ by the ratio of the iterates to the power g.
    before, after = (reference(logits, beta, n)[0] for n in (6, 7))
    expected = np.ptp(np.log(after / before)) / g
    _, info = ops.mira_assignment_with_info(logits, temperature=TAU, beta=beta, num_iterations=7)
    assert float(info.distance) == pytest.approx(expected, rel=1e-8)
    assert int(info.iterations) == 7 and bool(info.finite)


@pytest.mark.parametrize("scale", [1.0, 100.0], ids=["direct", "logs"])
def test_tolerance_stops_early_and_keeps_its_promise(rng, scale):
    logits, beta, tolerance = scale * rng.uniform(-1, 1, (30, 9)), 0.9, 1e-5
    targets, info = ops.mira_assignment_with_info(
        logits, temperature=TAU, beta=beta, num_iterations=1000, tolerance=tolerance
    )
    assert 1 <= int(info.iterations) < 1000
    limit = reference(logits, beta, 600)
    seen = limit > 1e-200
    error = np.abs(np.log(targets.numpy()[seen]) - np.log(limit[seen]))
    assert np.max(error) <= 9 * tolerance + 1e-8
    _, few = ops.mira_assignment_with_info(
        logits, temperature=TAU, beta=beta, num_iterations=3, tolerance=1e-12
    )
    assert int(few.iterations) == 3


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "graph"])
def test_logits_that_are_not_finite_are_an_error(rng, bad, wrap):
    logits = rng.normal(size=(5, 4))
    logits[2, 1] = bad

    @wrap
    def call(x):
        return ops.mira_assignment(x, temperature=TAU, beta=0.5)

    with pytest.raises(tf.errors.InvalidArgumentError, match="expected finite logits"):
        call(tf.constant(logits))


def test_finite_tells_under_xla(rng):
    logits = rng.normal(size=(5, 4))

    @tf.function(jit_compile=True, autograph=False)
    def finite(x):
        return ops.mira_assignment_with_info(x, temperature=TAU, beta=0.5)[1].finite

    assert finite(tf.constant(logits))
    for bad in (np.nan, np.inf, -np.inf):
        logits[4, 0] = bad
        assert not finite(tf.constant(logits))


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "xla"])
def test_eager_graph_and_xla_agree(rng, jit):
    logits = tf.constant(rng.uniform(-1, 1, (12, 7)))

    @tf.function(jit_compile=jit, autograph=False)
    def call(x, beta):
        return ops.mira_assignment(x, temperature=TAU, beta=beta, tolerance=1e-12)

    expected = ops.mira_assignment(logits, temperature=TAU, beta=2 / 3, tolerance=1e-12)
    np.testing.assert_allclose(call(logits, tf.constant(2 / 3, tf.float64)), expected, atol=1e-12)


def test_batch_of_unknown_size(rng):
    @tf.function(input_signature=[tf.TensorSpec([None, 7], tf.float32)], autograph=False)
    def call(x):
        return ops.mira_assignment(x, temperature=TAU, beta=0.5)

    for rows in (3, 11):
        logits = rng.uniform(-1, 1, (rows, 7)).astype(np.float32)
        np.testing.assert_allclose(call(logits), reference(logits, 0.5), atol=2e-6)


def test_a_new_beta_traces_nothing(rng):
    logits = tf.constant(rng.uniform(-1, 1, (13, 5)))
    results = [ops.mira_assignment(logits, temperature=TAU, beta=tf.constant(0.7))]
    before = assignment._solve.experimental_get_tracing_count()
    for beta in (tf.constant(0.6), tf.constant(0.5), 0.4):
        results.append(ops.mira_assignment(logits, temperature=TAU, beta=beta, num_iterations=9))
    assert assignment._solve.experimental_get_tracing_count() == before
    np.testing.assert_allclose(results[3], reference(logits, 0.4, 9), atol=1e-10)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"logits": np.zeros([4])}, r"\[batch, clusters\]"),
        ({"logits": np.zeros([0, 4])}, "neither of them 0"),
        ({"logits": np.zeros([4, 0])}, "neither of them 0"),
        ({"logits": np.zeros([4, 4], int)}, "floating logits"),
        ({"temperature": 0.0}, "temperature > 0"),
        ({"temperature": float("inf")}, "temperature > 0"),
        ({"temperature": float("nan")}, "temperature > 0"),
        ({"beta": 1.0}, "beta < 1"),
        ({"beta": -0.1}, "0 <= beta"),
        ({"beta": float("nan")}, "beta < 1"),
        ({"beta": tf.constant([0.5])}, "floating scalar beta"),
        ({"num_iterations": -1}, "num_iterations >= 0"),
        ({"num_iterations": 2.0}, "integer num_iterations"),
        ({"tolerance": -1.0}, "tolerance >= 0"),
        ({"tolerance": float("nan")}, "tolerance >= 0"),
    ],
)
def test_wrong_arguments(change, message):
    arguments = {"logits": np.zeros([3, 4]), "temperature": TAU, "beta": 0.5, **change}
    with pytest.raises(ValueError, match=f"{message}.*Received: "):
        ops.mira_assignment(arguments.pop("logits"), **arguments)


@pytest.mark.parametrize("value", [1.0, -0.1, float("nan")])
def test_beta_of_a_schedule_is_checked(value):
    with pytest.raises(tf.errors.InvalidArgumentError, match="beta < 1"):
        ops.mira_assignment(np.zeros([3, 4]), temperature=TAU, beta=tf.constant(value))


def test_clusters_must_be_static():
    @tf.function(input_signature=[tf.TensorSpec([4, None], tf.float32)], autograph=False)
    def call(x):
        return ops.mira_assignment(x, temperature=TAU, beta=0.5)

    with pytest.raises(ValueError, match="known statically"):
        call(tf.zeros([4, 3]))
