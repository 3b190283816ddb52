"""nt_xent against the paper's double loop, its limits and its gradient."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import losses


def by_hand(z1, z2, temperature):
    """Algorithm 1: sum over all 2N anchors, each against all others."""
    z = np.concatenate([z1, z2])
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    rows, total = len(z), 0.0
    for i in range(rows):
        partner = (i + rows // 2) % rows
        others = [np.exp(z[i] @ z[k] / temperature) for k in range(rows) if k != i]
        total -= np.log(np.exp(z[i] @ z[partner] / temperature) / sum(others))
    return total / rows


@pytest.fixture
def views():
    rng = fresh_rng()
    return rng.normal(size=[5, 4]), rng.normal(size=[5, 4])


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_agrees_with_numpy(views, temperature):
    loss = losses.nt_xent(*views, temperature=temperature)
    assert float(loss) == pytest.approx(by_hand(*views, temperature), rel=1e-10)


def test_symmetric_and_blind_to_lengths(views):
    one = float(losses.nt_xent(views[0], views[1], temperature=0.3))
    assert float(losses.nt_xent(views[1], 7 * views[0], temperature=0.3)) == pytest.approx(one)


@pytest.mark.parametrize("batch", [2, 64])
def test_limits(batch):
    """Baselines sheet, section 6, tests a and b."""
    same = tf.ones([batch, 3])
    loss = float(losses.nt_xent(same, same, temperature=0.5))
    assert loss == pytest.approx(np.log(2 * batch - 1), rel=1e-5)
    orthogonal = tf.eye(batch)
    loss = float(losses.nt_xent(orthogonal, orthogonal, temperature=0.5))
    expected = -np.log(np.exp(2) / (np.exp(2) + 2 * batch - 2))
    assert loss == pytest.approx(expected, rel=1e-5)


def test_a_single_pair_has_nothing_to_tell_apart(views):
    assert float(losses.nt_xent(views[0][:1], views[1][:1], temperature=0.1)) == pytest.approx(0)


def test_gradient_is_that_of_differences(views):
    tensors = [tf.constant(v) for v in views]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        loss = losses.nt_xent(*tensors, temperature=0.3)
    gradients = tape.gradient(loss, tensors)
    for which in (0, 1):
        numeric = np.zeros([5, 4])
        for cell in np.ndindex(5, 4):
            moved = [v.copy() for v in views]
            moved[which][cell] += 1e-6
            up = by_hand(*moved, 0.3)
            moved[which][cell] -= 2e-6
            numeric[cell] = (up - by_hand(*moved, 0.3)) / 2e-6
        np.testing.assert_allclose(gradients[which], numeric, atol=1e-8)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_is_computed_in_float32(views, dtype):
    half = [tf.cast(v, dtype) for v in views]
    exact = losses.nt_xent(*[tf.cast(v, tf.float64) for v in half], temperature=0.05)
    loss = losses.nt_xent(*half, temperature=0.05)
    assert loss.dtype == tf.float32
    assert float(loss) == pytest.approx(float(exact), rel=1e-4)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="one shape .*Received: "):
        losses.nt_xent(np.zeros([2, 3]), np.zeros([3, 3]), temperature=0.1)
    with pytest.raises(ValueError, match="temperature > 0.*Received: "):
        losses.nt_xent(np.zeros([2, 3]), np.zeros([2, 3]), temperature=0)
