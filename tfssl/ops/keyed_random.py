"""Random numbers that are a pure function of a key: no state, no order, no worker count.

Every draw is keyed by what it is for, such as (run seed, epoch, record index, view). The same key
gives the same numbers in eager code, in a graph, under XLA, in tf.data and after a resume,
whatever else is in the batch. The generator is SplitMix64: a counter that grows by the golden
ratio, and a bijection that mixes its bits. It is meant for simulation, not for secrets.

Reference: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators", Fig. 17.
"""

from typing import Union

import numpy as np
import tensorflow as tf

_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_MASK = (1 << 64) - 1

Integers = Union[int, tf.Tensor]


def fold_key(seed: Integers, *parts: Integers) -> tf.Tensor:
    """Folds integers into keys for `keyed_uniform`; the order of the parts matters.

    Args:
        seed: scalar or tensor of integers, for example the run's seed, or keys to fold further.
        *parts: scalars or tensors of integers that broadcast with `seed`, for example the epoch,
            the record index and the view.

    Returns:
        int64 keys of the broadcast shape. Keys whose seed and parts differ look independent.
    """
    key = _mix(_unsigned(seed) + _constant(_GOLDEN))
    for part in parts:
        # The counter step keeps a part that equals the seed from cancelling it.
        key = _mix((key + _constant(_GOLDEN)) ^ _mix(_unsigned(part) + _constant(_GOLDEN)))
    return tf.bitcast(key, tf.int64)


def keyed_bits(keys: tf.Tensor, num_draws: int, *, stream: Integers = 0) -> tf.Tensor:
    """Draws 64 random bits at a time.

    Args:
        keys: integer keys `[...]`, usually `[batch]` from `fold_key`.
        num_draws: draws for each key, a Python int >= 0.
        stream: which sequence of the key; different streams look independent.

    Returns:
        `[..., num_draws]` int64; all 64 bits are random, so values may be negative.

    Raises:
        ValueError: num_draws is negative.
    """
    if num_draws < 0:
        raise ValueError(f"expected num_draws >= 0. Received: num_draws={num_draws}.")
    state = _unsigned(fold_key(keys, stream))[..., tf.newaxis]
    # As a NumPy array: a graph constant from a list of large Python ints can pass through float64.
    steps = np.array([(i + 1) * _GOLDEN & _MASK for i in range(num_draws)], np.uint64)
    return tf.bitcast(_mix(state + tf.constant(steps)), tf.int64)


def keyed_uniform(keys: tf.Tensor, num_draws: int, *, stream: Integers = 0) -> tf.Tensor:
    """Draws uniform numbers in [0, 1).

    Args:
        keys: integer keys `[...]`, usually `[batch]` from `fold_key`.
        num_draws: draws for each key, a Python int >= 0.
        stream: which sequence of the key; different streams look independent.

    Returns:
        `[..., num_draws]` float32, multiples of 2**-24 in [0, 1).

    Raises:
        ValueError: num_draws is negative.
    """
    bits = _unsigned(keyed_bits(keys, num_draws, stream=stream))
    # 24 bits are what float32 holds exactly, so rounding can never give 1.0.
    top = tf.cast(tf.bitwise.right_shift(bits, _constant(40)), tf.int32)
    return tf.cast(top, tf.float32) * 2.0**-24


def keyed_integers(
    keys: tf.Tensor, num_draws: int, *, below: Integers, stream: Integers = 0
) -> tf.Tensor:
    """Draws whole numbers, each as likely as any other.

    Args:
        keys: integer keys `[...]`, usually `[batch]` from `fold_key`.
        num_draws: draws for each key, a Python int >= 0.
        below: numbers are in [0, below); 1 to 2**31, a number or a tensor that broadcasts with
            `[..., num_draws]`.
        stream: which sequence of the key; different streams look independent.

    Returns:
        `[..., num_draws]` int32. Chances differ by less than below / 2**32.

    Raises:
        ValueError: num_draws is negative.
    """
    bits = _unsigned(keyed_bits(keys, num_draws, stream=stream))
    high = tf.bitwise.right_shift(bits, _constant(32))
    return tf.cast(tf.bitwise.right_shift(high * _unsigned(below), _constant(32)), tf.int32)


def keyed_permutations(keys: tf.Tensor, length: int, *, stream: Integers = 0) -> tf.Tensor:
    """Draws orders of a few things, each order as likely as any other.

    Args:
        keys: integer keys `[...]`, usually `[batch]` from `fold_key`.
        length: things to order, a Python int >= 1.
        stream: which sequence of the key; different streams look independent.

    Returns:
        `[..., length]` int32, each row a permutation of 0..length - 1.

    Raises:
        ValueError: length is below 1.
    """
    if length < 1:
        raise ValueError(f"expected length >= 1. Received: length={length}.")
    # Of 64 bits each: two draws of a key are practically never equal.
    return tf.argsort(keyed_bits(keys, length, stream=stream), axis=-1)


def _unsigned(values: Integers) -> tf.Tensor:
    """Integers as uint64, where shifts are logical and products wrap."""
    return tf.bitcast(tf.cast(tf.convert_to_tensor(values, _dtype(values)), tf.int64), tf.uint64)


def _dtype(values: Integers):
    """int64 for Python ints, which TensorFlow would make int32; else whatever the tensor has."""
    return tf.int64 if isinstance(values, int) else None


def _constant(value: int) -> tf.Tensor:
    return tf.constant(value, tf.uint64)


def _mix(z: tf.Tensor) -> tf.Tensor:
    """The output function of SplitMix64 (variant 13 of Stafford's mixers)."""
    z = (z ^ tf.bitwise.right_shift(z, _constant(30))) * _constant(_MIX_1)
    z = (z ^ tf.bitwise.right_shift(z, _constant(27))) * _constant(_MIX_2)
    return z ^ tf.bitwise.right_shift(z, _constant(31))
