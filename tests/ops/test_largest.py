"""largest_mask against a sort."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import ops


def by_sorting(scores, k, allowed):
    mask = np.zeros(scores.shape, bool)
    for row in range(len(scores)):
        order = [j for j in np.argsort(-scores[row], kind="stable") if allowed[row, j]]
        mask[row, order[: k[row]]] = True
    return mask


@pytest.mark.parametrize("kind", ["smooth", "ties", "constant", "extreme"])
def test_agrees_with_a_sort(kind):
    rng = fresh_rng()
    scores = rng.normal(size=[7, 200]).astype(np.float32)
    if kind == "ties":
        scores = np.round(scores)
    if kind == "constant":
        scores[:] = -0.5
    if kind == "extreme":
        scores = np.sign(scores) * np.float32(3e38) * rng.uniform(size=scores.shape).astype("f")
        scores[0, :100] = 0.0
        scores[0, 100:] = -0.0
    allowed = rng.uniform(size=scores.shape) < 0.7
    k = np.array([0, 1, 5, 60, 200, 17, 120], np.int32)
    for may in (allowed, np.ones_like(allowed), np.zeros_like(allowed)):
        mask = ops.largest_mask(tf.constant(scores), tf.constant(k), allowed=tf.constant(may))
        np.testing.assert_array_equal(mask, by_sorting(scores, k, may))
    mask = ops.largest_mask(tf.constant(scores), tf.constant(9))
    np.testing.assert_array_equal(mask, by_sorting(scores, [9] * 7, np.ones_like(allowed)))


def test_inside_an_xla_program():
    program = tf.function(
        lambda s: ops.largest_mask(s, tf.constant(2)), jit_compile=True, autograph=False
    )
    mask = program(tf.constant([[1.0, 3.0, 3.0, 3.0], [4.0, -2.0, 0.0, -1.0]]))
    expected = [[False, True, True, False], [True, False, True, False]]
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("columns", [1, 5, 63, 64, 67, 127, 1000, 1009])
def test_first_largest_agrees_with_argmax(columns, jit):
    """With and without a divisor of the number of columns, and with equal scores."""
    rng = fresh_rng()
    program = tf.function(ops.first_largest, jit_compile=jit, autograph=False)
    for scores in (rng.normal(size=[9, columns]), np.round(rng.normal(size=[9, columns]))):
        places, values = program(tf.constant(scores - 5))
        assert places.dtype == tf.int32
        np.testing.assert_array_equal(places, scores.argmax(axis=1))
        np.testing.assert_array_equal(values, scores.max(axis=1) - 5)
