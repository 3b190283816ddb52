"""Schedules: pure functions of the global step, so that a resumed run needs no schedule state.

Each takes a Python integer and gives a Python float, or an integer tensor and gives a float32
tensor; the two agree to 1e-6. A step past the end keeps the last value.
"""

import math
from typing import Callable, Sequence, Union

import numpy as np
import tensorflow as tf

Step = Union[int, tf.Tensor, tf.Variable]
Value = Union[float, tf.Tensor]


def constant(step: Step, *, value: float) -> Value:
    """The same value at every step; a float32 scalar where `step` is a tensor."""
    return float(value) if _is_python(step) else tf.constant(value, tf.float32)


def cosine(step: Step, *, start: float, end: float, total_steps: int) -> Value:
    """Half a cosine wave from `start` at step 0 to `end` at `total_steps`.

    `end - 0.5 (1 + cos(pi t / N)) (end - start)`: the schedule of MIRA's teacher momentum and
    beta (Lee et al. 2022, arXiv 2211.02284, official code).

    Args:
        step: t, integer scalar >= 0.
        start: value at step 0.
        end: value at step `total_steps` and later.
        total_steps: N, >= 1.

    Returns:
        A Python float, or a float32 scalar where `step` is a tensor.

    Raises:
        ValueError: `total_steps` < 1, a value that is not finite, or a negative Python step.

    Example:
        >>> [round(cosine(t, start=1.0, end=0.0, total_steps=4), 2) for t in range(5)]
        [1.0, 0.85, 0.5, 0.15, 0.0]
    """
    _check_numbers(start=start, end=end)
    _check_steps(step, total_steps)
    return end - _half_cosine(step, total_steps) * (end - start)


def warmup_cosine(
    step: Step,
    *,
    peak: float,
    total_steps: int,
    warmup_steps: int = 0,
    warmup_start: float = 0.0,
    minimum: float = 0.0,
) -> Value:
    """Linear warm-up to `peak`, then half a cosine wave down to `minimum`.

    With W = `warmup_steps` and N = `total_steps`: for t < W,
    `warmup_start + (t + 1) / (W + 1) (peak - warmup_start)`; from W on,
    `minimum + (peak - minimum) 0.5 (1 + cos(pi (t - W) / (N - W)))`. Neither end of the ramp is a
    step of its own: the first step is already above `warmup_start`, step W has `peak`. This is
    the official code of MIRA (Lee et al. 2022, arXiv 2211.02284).

    Args:
        step: t, integer scalar >= 0.
        peak: learning rate after the warm-up, final (nothing is scaled here).
        total_steps: N, >= 1.
        warmup_steps: W, 0 <= W < N.
        warmup_start: where the ramp starts, absolute. It may lie above `peak`.
        minimum: value at step N and later.

    Returns:
        A Python float, or a float32 scalar where `step` is a tensor.

    Raises:
        ValueError: impossible step counts, a value that is not finite, a negative Python step.
    """
    _check_numbers(peak=peak, warmup_start=warmup_start, minimum=minimum)
    _check_steps(step, total_steps)
    if not 0 <= warmup_steps < total_steps:
        raise ValueError(
            "expected 0 <= warmup_steps < total_steps. "
            f"Received: warmup_steps={warmup_steps}, total_steps={total_steps}."
        )
    falling = _half_cosine(step - warmup_steps, total_steps - warmup_steps)
    after = minimum + (peak - minimum) * falling
    return _ramp(step, warmup_steps, warmup_start, peak, after)


def step_decay(step: Step, *, start: float, milestones: Sequence[int], factor: float) -> Value:
    """`start`, multiplied by `factor` once at each milestone that has been reached.

    Args:
        step: t, integer scalar >= 0.
        start: value before the first milestone.
        milestones: increasing steps >= 1; at t = milestone the new value already holds.
        factor: > 0.

    Returns:
        A Python float, or a float32 scalar where `step` is a tensor.

    Raises:
        ValueError: milestones that do not increase, `factor` <= 0, a value that is not finite.
    """
    _check_numbers(start=start, factor=factor)
    edges = [0, *milestones]
    if factor <= 0 or any(late <= early for early, late in zip(edges, edges[1:])):
        raise ValueError(
            "expected increasing milestones >= 1 and a factor > 0. "
            f"Received: milestones={list(milestones)}, factor={factor}."
        )
    # A table keeps both kinds of step exact; powers of the factor would round differently.
    values = [start * factor**passed for passed in range(len(edges))]
    if _is_python(step):
        _check_steps(step, 1)
        return values[sum(step >= m for m in milestones)]
    step = tf.convert_to_tensor(step)
    reached = [tf.cast(step >= tf.cast(m, step.dtype), tf.int32) for m in milestones]
    return tf.gather(tf.constant(values, tf.float32), sum(reached, tf.constant(0)))


def warmup(step: Step, *, steps: int, start: float, then: Callable[[Step], Value]) -> Value:
    """Puts a linear warm-up in front of any schedule, ending on the schedule's own curve.

    For t < `steps`: `start + (t + 1) / (steps + 1) (then(steps) - start)`; from there on
    `then(t)`. There is no jump at the end of the ramp.

    Args:
        step: t, integer scalar >= 0.
        steps: length of the ramp, >= 0.
        start: where the ramp starts, absolute.
        then: the schedule that follows, a function of the same step.

    Returns:
        A Python float, or a float32 scalar where `step` is a tensor.

    Raises:
        ValueError: `steps` < 0, or `start` is not finite.
    """
    _check_numbers(start=start)
    if steps < 0:
        raise ValueError(f"expected steps >= 0. Received: steps={steps}.")
    return _ramp(step, steps, start, then(steps), then(step))


def _is_python(step: Step) -> bool:
    """Whether a step is a plain number rather than a tensor or variable."""
    return isinstance(step, (int, np.integer))


def _half_cosine(done: Step, total: int) -> Value:
    """0.5 (1 + cos(pi done / total)), held at 0 past the end and at 1 before the start.

    Written as a squared sine of what is left: exact subtraction of integers first, so that float32
    keeps its relative precision down to the last steps.
    """
    if _is_python(done):
        return math.sin(math.pi / 2 * min(max(total - int(done), 0), total) / total) ** 2
    done = tf.convert_to_tensor(done)
    zero, whole = tf.zeros([], done.dtype), tf.cast(total, done.dtype)
    left = tf.cast(tf.clip_by_value(whole - done, zero, whole), tf.float32)
    return tf.square(tf.sin((math.pi / 2) * (left / float(total))))


def _ramp(step: Step, steps: int, start: float, end: Value, after: Value) -> Value:
    """The linear warm-up while it lasts, then `after`."""
    if _is_python(step):
        return start + (int(step) + 1) / (steps + 1) * (end - start) if step < steps else after
    step = tf.convert_to_tensor(step)
    rising = start + tf.cast(step + 1, tf.float32) / float(steps + 1) * (end - start)
    return tf.where(step < tf.cast(steps, step.dtype), rising, after)


def _check_numbers(**values: float) -> None:
    """Raises ValueError unless every value is a finite number."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"expected a finite number. Received: {name}={value}.")


def _check_steps(step: Step, total_steps: int) -> None:
    """Raises ValueError for an empty run or a negative Python step."""
    if total_steps < 1:
        raise ValueError(f"expected total_steps >= 1. Received: total_steps={total_steps}.")
    if _is_python(step) and step < 0:
        raise ValueError(f"expected step >= 0. Received: step={step}.")
