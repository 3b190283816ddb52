"""Straight ways in a square: InfoMin's section 3.4, property 21."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl.data.trajectories import trajectories, velocities

FREE, SPEED, FRAMES = 36.0, 6.4, 20


def ways(count=400):
    """Start, velocity, ways of random points, in double precision."""
    rng = fresh_rng()
    start = tf.constant(rng.uniform(0, FREE, [count, 2]))
    velocity = velocities(tf.constant(rng.uniform(size=count)), SPEED)
    path = trajectories(start, velocity, frames=FRAMES, free=FREE)
    return start.numpy(), velocity.numpy(), path.numpy()


def test_equals_the_rule_one_point_after_the_other():
    for start, velocity, path in zip(*ways(50)):
        p, v = list(start), list(velocity)
        for place in path:
            np.testing.assert_allclose(place, p, atol=1e-9)
            for axis in (0, 1):
                p[axis] += v[axis]
                if p[axis] <= 0:
                    p[axis], v[axis] = 0.0, -v[axis]
                elif p[axis] >= FREE:
                    p[axis], v[axis] = FREE, -v[axis]


def test_points_keep_their_speed_and_turn_at_walls_alone():
    _, velocity, path = ways()
    assert path.min() >= 0 and path.max() <= FREE
    np.testing.assert_allclose(np.hypot(*velocity.T), SPEED, atol=1e-6)
    step = np.diff(path, axis=1)
    at_wall = (path[:, 1:] == 0) | (path[:, 1:] == FREE)
    # A whole step where no wall was met; its part along an axis keeps its size for ever.
    expected = np.broadcast_to(np.abs(velocity)[:, None], step.shape)
    np.testing.assert_allclose(np.abs(step)[~at_wall], expected[~at_wall], atol=1e-6)
    whole = ~at_wall.any(axis=2)
    np.testing.assert_allclose(np.hypot(*step[whole].T), SPEED, atol=1e-6)
    turned = np.sign(step[:, 1:]) != np.sign(step[:, :-1])
    assert turned.any() and at_wall[:, :-1][turned].all()


@pytest.mark.parametrize("start, expected", [(3.0, [3, 0, 5, 10]), (33.0, [33, 36, 31, 26])])
def test_what_lies_beyond_a_wall_is_lost(start, expected):
    speed = 5.0 if start > 18 else -5.0
    point, velocity = tf.constant([[start, 18.0]]), tf.constant([[speed, 0.0]])
    path = trajectories(point, velocity, frames=4, free=FREE)
    np.testing.assert_array_equal(path[0, :, 0], expected)
    np.testing.assert_array_equal(path[0, :, 1], [18.0] * 4)


def test_at_least_one_frame():
    start = tf.constant([[1.0, 2.0]])
    np.testing.assert_array_equal(trajectories(start, start, frames=1, free=FREE), start[:, None])
    with pytest.raises(ValueError, match="frames: expected at least 1. Received: 0"):
        trajectories(start, start, frames=0, free=FREE)
