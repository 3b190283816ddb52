"""bank_scores against a gather, in value and gradient."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import ops

ZERO = tf.UnconnectedGradients.ZERO


@pytest.fixture
def problem():
    rng = fresh_rng()
    return (
        tf.constant(rng.normal(size=[5, 4])),
        tf.constant(rng.normal(size=[30, 4])),
        tf.constant(rng.integers(0, 30, [5, 11])),
    )


@pytest.mark.parametrize("jit", [None, False, True])
def test_agrees_with_a_gather(problem, jit):
    anchors, bank, indices = problem
    weights = tf.constant(fresh_rng().normal(size=[5, 11]))

    def scored():
        with tf.GradientTape() as tape:
            tape.watch([anchors, bank])
            scores = ops.bank_scores(anchors, bank, indices)
            total = tf.reduce_sum(scores * weights)
        return scores, *tape.gradient(total, [anchors, bank], unconnected_gradients=ZERO)

    scores, to_anchors, to_bank = (
        tf.function(scored, jit_compile=jit, autograph=False) if jit is not None else scored
    )()
    rows = bank.numpy()[indices.numpy()]
    np.testing.assert_allclose(
        scores, np.einsum("bnd,bd->bn", rows, anchors), rtol=1e-12, atol=1e-13
    )
    np.testing.assert_allclose(
        to_anchors, np.einsum("bn,bnd->bd", weights, rows), rtol=1e-12, atol=1e-13
    )
    assert not to_bank.numpy().any()


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_a_bank_in_half_precision(problem, dtype):
    anchors, bank, indices = problem
    half = tf.cast(bank, dtype)
    scores = ops.bank_scores(tf.cast(anchors, tf.float32), half, indices)
    rows = tf.cast(half, tf.float64).numpy()[indices.numpy()]
    assert scores.dtype == tf.float32
    np.testing.assert_allclose(scores, np.einsum("bnd,bd->bn", rows, anchors), rtol=1e-5, atol=1e-5)
