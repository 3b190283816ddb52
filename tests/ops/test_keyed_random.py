"""Keyed random numbers against SplitMix64 in plain Python integers, and their statistics."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl.ops import keyed_random
from tfssl.ops.keyed_random import fold_key, keyed_bits, keyed_permutations, keyed_uniform

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def fold(seed, *parts):
    key = mix((seed + GOLDEN) & MASK)
    for part in parts:
        key = mix((key + GOLDEN & MASK) ^ mix((part + GOLDEN) & MASK))
    return key


def bits(key, num_draws, stream=0):
    state = fold(key, stream)
    return [mix((state + (i + 1) * GOLDEN) & MASK) for i in range(num_draws)]


def signed(value):
    return value - (1 << 64) if value >> 63 else value


def test_mixer_gives_the_published_sequence():
    """The first outputs of SplitMix64 for seed 1234567, as printed in public test vectors."""
    states = [(1234567 + (i + 1) * GOLDEN) & MASK for i in range(5)]
    mixed = keyed_random._mix(tf.constant(states, tf.uint64)).numpy().tolist()
    assert mixed == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@pytest.mark.parametrize("seed, parts", [(0, ()), (5, (5,)), (5678, (3, 2**40)), (-7, (-1, 0, 9))])
def test_fold_key_is_the_python_integer_formula(seed, parts):
    expected = signed(fold(seed & MASK, *(p & MASK for p in parts)))
    key = fold_key(seed, *parts)
    assert key.dtype == tf.int64
    assert int(key) == expected


@pytest.mark.parametrize("stream", [0, 1, 77])
def test_draws_are_the_python_integer_formula(stream):
    keys = fresh_rng().integers(-(2**63), 2**63, 50)
    expected = np.array([bits(int(k) & MASK, 7, stream) for k in keys], np.uint64)
    drawn = keyed_bits(keys, 7, stream=stream).numpy().view(np.uint64)
    np.testing.assert_array_equal(drawn, expected)
    uniform = keyed_uniform(keys, 7, stream=stream)
    assert uniform.dtype == tf.float32 and uniform.shape == (50, 7)
    np.testing.assert_array_equal(uniform, (expected >> np.uint64(40)).astype(np.float64) / 2**24)


def test_parts_broadcast_and_their_order_matters():
    indices = tf.range(4, dtype=tf.int64)
    keys = fold_key(tf.constant(3, tf.int64), 2, indices).numpy()
    assert keys.tolist() == [int(fold_key(3, 2, i)) for i in range(4)]
    assert fold_key(keys[:, None], tf.range(3)).shape == (4, 3)
    assert int(fold_key(1, 2, 3)) != int(fold_key(1, 3, 2))
    # A part equal to the seed must not cancel it.
    assert len({int(fold_key(s, s)) for s in range(100)}) == 100


def test_a_million_neighbouring_keys_do_not_collide():
    epochs = tf.range(10, dtype=tf.int64)[:, None]
    keys = fold_key(5678, epochs, tf.range(100_000, dtype=tf.int64)).numpy().ravel()
    assert len(np.unique(keys)) == 1_000_000


def test_uniform_is_uniform_and_uncorrelated():
    """Neighbouring keys, draws and streams, the worst case for a weak mixer."""
    n = 20_000
    keys = tf.range(n, dtype=tf.int64)
    draws = keyed_uniform(keys, 4).numpy().astype(np.float64)
    other = keyed_uniform(keys, 4, stream=1).numpy().astype(np.float64)
    assert draws.min() >= 0 and draws.max() < 1
    counts = np.stack([np.histogram(d, 50, (0, 1))[0] for d in (*draws.T, *other.T)])
    chi_square = ((counts - n / 50) ** 2 / (n / 50)).sum(1)
    assert (chi_square < 49 + 6 * np.sqrt(2 * 49)).all()
    columns = np.concatenate([draws, other, np.roll(draws, 1, 0)], 1)
    correlation = np.corrcoef(columns.T) - np.eye(12)
    assert np.abs(correlation).max() < 5 / np.sqrt(n)


@pytest.mark.parametrize("jit", [False, True])
def test_graph_xla_and_tf_data_equal_eager(jit):
    keys = fold_key(1, tf.range(10, dtype=tf.int64))
    expected = keyed_uniform(keys, 3, stream=2).numpy()
    compiled = tf.function(
        lambda k: keyed_uniform(k, 3, stream=2), jit_compile=jit, autograph=False
    )
    np.testing.assert_array_equal(compiled(keys), expected)
    dataset = tf.data.Dataset.from_tensor_slices(keys).map(compiled)
    np.testing.assert_array_equal(np.stack(list(dataset.as_numpy_iterator())), expected)


def test_bad_counts_are_refused_and_none_is_fine():
    with pytest.raises(ValueError, match="expected num_draws >= 0. Received: num_draws=-1"):
        keyed_uniform(tf.constant([1], tf.int64), -1)
    assert keyed_uniform(tf.constant([1, 2], tf.int64), 0).shape == (2, 0)


def test_permutations_are_all_and_equally_likely():
    """Chi-square over the 24 orders of four things; 23 degrees of freedom, deviation 6.8."""
    keys = fold_key(int(fresh_rng().integers(2**31)), tf.range(24 * 400))
    orders = keyed_permutations(keys, 4).numpy()
    assert orders.dtype == np.int32 and (np.sort(orders, axis=1) == np.arange(4)).all()
    seen = np.unique(orders @ [64, 16, 4, 1], return_counts=True)[1]
    assert len(seen) == 24 and np.sum((seen - 400) ** 2 / 400) < 70


def test_permutations_are_the_order_of_the_bits():
    keys = fold_key(5, tf.range(6))
    bits = keyed_bits(keys, 9, stream=3).numpy()
    orders = keyed_permutations(keys, 9, stream=3)
    np.testing.assert_array_equal(orders, np.argsort(bits, axis=1))
    compiled = tf.function(
        lambda k: keyed_permutations(k, 9, stream=3), jit_compile=True, autograph=False
    )
    np.testing.assert_array_equal(compiled(keys), orders)
    with pytest.raises(ValueError, match="expected length >= 1. Received: length=0"):
        keyed_permutations(keys, 0)
