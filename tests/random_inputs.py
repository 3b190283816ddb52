"""Random inputs: fresh ones, which can be had again after a failure, and the same every time."""

import importlib
import os
import random

import numpy as np
import tensorflow as tf

_VARIABLE = "TFSSL_TEST_SEED"
_stream = np.random.SeedSequence()
_equal = np.random.default_rng(0)
# Keras' own module behind tf.keras, whose name differs between the stacks.
_keras = importlib.import_module(tf.keras.layers.Layer.__module__.split(".")[0] + ".src.backend")


def begin_test() -> None:
    """Chooses the seed of one test's inputs; pytest shows the line when the test fails."""
    global _stream, _equal
    seed = int(os.environ.get(_VARIABLE) or np.random.SeedSequence().entropy % 2**32)
    print(f"{_VARIABLE}={seed} repeats the random inputs of this test")
    _stream = np.random.SeedSequence(seed)
    _equal = np.random.default_rng(0)
    seed_weights(20221107)


def seed_weights(seed: int) -> None:
    """The next initial weights follow from the seed.

    tf.keras.utils.set_random_seed sets TensorFlow's seed too, which empties its cache of kernels:
    a fifth of the time of all tests. None of them draws with TensorFlow's seed.
    """
    random.seed(seed)
    _keras._SEED_GENERATOR.generator = random.Random(seed)


def fresh_rng() -> np.random.Generator:
    """Another generator at each call within a test."""
    return np.random.default_rng(_stream.spawn(1)[0])


def normal(shape, dtype="float32") -> tf.Tensor:
    """Standard normal inputs, the same in every run of a test."""
    return tf.cast(_equal.normal(size=shape), dtype)
