"""Where a digit is in every frame: straight lines in a square, reflected at its sides.

Tian, Sun, Poole, Krishnan, Schmid, Isola 2020, "What Makes for Good Views for Contrastive
Learning?", arXiv 2005.10243, section B.4; the movement is that of Srivastava, Mansimov,
Salakhutdinov 2015, "Unsupervised Learning of Video Representations using LSTMs", arXiv 1502.04681.
"""

import math

import tensorflow as tf


def velocities(turns: tf.Tensor, speed: float) -> tf.Tensor:
    """Velocities of one speed in given directions.

    Args:
        turns: `[batch]` float, directions in whole turns; uniform in [0, 1) for all alike.
        speed: pixels a frame, >= 0.

    Returns:
        `[batch, 2]` float, down and right, pixels a frame.
    """
    angle = 2.0 * math.pi * turns
    return speed * tf.stack([tf.sin(angle), tf.cos(angle)], axis=-1)


def trajectories(start: tf.Tensor, velocity: tf.Tensor, *, frames: int, free: float) -> tf.Tensor:
    """Moves points frame by frame; a point that reaches a side stops there and turns back.

    For each axis: p <- p + v; where p <= 0, p = 0 and v changes its sign; where p >= free, p = free
    and v changes its sign. What it would have gone beyond the side is lost.

    Args:
        start: `[batch, 2]` float in [0, free], the first frame.
        velocity: `[batch, 2]` float, pixels a frame.
        frames: how many, a Python int >= 1.
        free: length of the square's sides in pixels, >= 0.

    Returns:
        `[batch, frames, 2]` float in [0, free]; frame t of the paper, which counts from 1, is t - 1
        here.

    Raises:
        ValueError: frames is below 1.
    """
    if frames < 1:
        raise ValueError(f"frames: expected at least 1. Received: {frames}.")
    places = [start]
    for _ in range(frames - 1):
        moved = places[-1] + velocity
        outside = tf.logical_or(moved <= 0.0, moved >= free)
        velocity = tf.where(outside, -velocity, velocity)
        places.append(tf.clip_by_value(moved, 0.0, free))
    return tf.stack(places, axis=1)
