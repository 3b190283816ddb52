"""sinkhorn_knopp against the authors' procedure in NumPy, its limit, and golden values."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import ops

GOLDEN = np.array(
    [[0.30, 0.10, -0.20], [0.25, 0.05, 0.00], [0.40, -0.10, 0.20], [-0.05, 0.35, 0.15]]
)


def reference(logits, epsilon, n):
    """Matrix after matrix, as the SwAV paper's pseudo-code has it; rows of q are prototypes."""
    q = np.exp((logits - logits.max()).astype(np.longdouble) / epsilon).T
    q /= q.sum()
    for _ in range(n):
        q /= q.sum(axis=1, keepdims=True) * q.shape[0]
        q /= q.sum(axis=0, keepdims=True) * q.shape[1]
    return (q * q.shape[1]).T.astype(np.float64)


@pytest.fixture
def rng():
    return fresh_rng()


def test_golden_values():
    one = ops.sinkhorn_knopp(GOLDEN, num_iterations=1)
    np.testing.assert_allclose(one[0], [0.942877856, 0.055124272, 0.001997871], atol=1e-9)
    three = ops.sinkhorn_knopp(GOLDEN).numpy()
    np.testing.assert_allclose(three[0], [0.794835262, 0.199691089, 0.005473649], atol=1e-9)
    np.testing.assert_allclose(three[3], [0.0000203365, 0.831557407, 0.168422256], atol=1e-9)
    np.testing.assert_allclose(three.mean(axis=0), [0.37484467, 0.28548247, 0.33967286], atol=1e-8)
    limit = ops.sinkhorn_knopp(GOLDEN, num_iterations=2000).numpy()
    np.testing.assert_allclose(limit[0], [0.702254876, 0.292289653, 0.005455471], atol=1e-9)
    np.testing.assert_allclose(limit.mean(axis=0), 1 / 3, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1), (1, 8), (8, 1), (40, 12)])
@pytest.mark.parametrize("n", [0, 1, 3, 10])
def test_agrees_with_matrix_normalisation(rng, shape, n):
    logits = rng.uniform(-1, 1, shape).astype(np.float32)
    codes = ops.sinkhorn_knopp(logits, num_iterations=n)
    assert codes.dtype == tf.float32
    np.testing.assert_allclose(codes, reference(logits, 0.05, n), rtol=5e-5, atol=1e-7)
    if n:
        np.testing.assert_allclose(tf.reduce_sum(codes, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("scale", [1.4, 1.6, 20.0])
def test_beyond_the_direct_form(rng, scale):
    """Ranges of 56, 64 and 800 over epsilon."""
    logits = rng.uniform(-scale, scale, (24, 6)).astype(np.float32)
    logits[0, 0], logits[0, 1] = scale, -scale
    codes = ops.sinkhorn_knopp(logits, num_iterations=5)
    np.testing.assert_allclose(codes, reference(logits, 0.05, 5), rtol=2e-4, atol=1e-6)


def test_extreme_logits_are_finite(rng):
    logits = rng.choice([-1e4, 1e4], size=(16, 5)).astype(np.float32)
    codes = ops.sinkhorn_knopp(logits, num_iterations=4).numpy()
    assert np.all(np.isfinite(codes)) and np.all(codes >= 0)
    np.testing.assert_allclose(codes.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float64])
def test_types(rng, dtype):
    logits = tf.cast(rng.uniform(-1, 1, (9, 4)), dtype)
    codes = ops.sinkhorn_knopp(logits)
    assert codes.dtype == (tf.float64 if dtype == tf.float64 else tf.float32)
    expected = reference(tf.cast(logits, tf.float64).numpy(), 0.05, 3)
    np.testing.assert_allclose(codes, expected, atol=1e-5)


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "xla"])
def test_eager_graph_and_xla_agree(rng, jit):
    logits = tf.constant(rng.uniform(-1, 1, (12, 7)))
    compiled = tf.function(ops.sinkhorn_knopp, jit_compile=jit, autograph=False)
    np.testing.assert_allclose(compiled(logits), ops.sinkhorn_knopp(logits), atol=1e-12)


def test_no_gradient(rng):
    logits = tf.Variable(rng.uniform(-1, 1, (5, 4)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(ops.sinkhorn_knopp(logits * 2.0) ** 2) + tf.reduce_sum(logits)
    np.testing.assert_array_equal(tape.gradient(loss, logits), np.ones([5, 4]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_an_error(bad):
    logits = np.zeros([4, 3])
    logits[1, 2] = bad
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected finite logits"):
        ops.sinkhorn_knopp(logits)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"logits": np.zeros([4])}, r"\[batch, prototypes\]"),
        ({"logits": np.zeros([0, 4])}, "neither of them 0"),
        ({"logits": np.zeros([4, 4], int)}, "floating logits"),
        ({"epsilon": 0.0}, "epsilon > 0"),
        ({"epsilon": float("nan")}, "epsilon > 0"),
        ({"num_iterations": -1}, "num_iterations >= 0"),
        ({"num_iterations": 1.5}, "integer num_iterations"),
    ],
)
def test_wrong_arguments(change, message):
    arguments = {"logits": np.zeros([3, 4]), **change}
    with pytest.raises(ValueError, match=f"{message}.*Received: "):
        ops.sinkhorn_knopp(arguments.pop("logits"), **arguments)
