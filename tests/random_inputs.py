"""Fresh random inputs in every run, which can be had again after a failure."""

import os

import numpy as np

_VARIABLE = "TFSSL_TEST_SEED"
_stream = np.random.SeedSequence()


def begin_test() -> None:
    """Chooses the seed of one test's inputs; pytest shows the line when the test fails."""
    global _stream
    seed = int(os.environ.get(_VARIABLE) or np.random.SeedSequence().entropy % 2**32)
    print(f"{_VARIABLE}={seed} repeats the random inputs of this test")
    _stream = np.random.SeedSequence(seed)


def fresh_rng() -> np.random.Generator:
    """Another generator at each call within a test."""
    return np.random.default_rng(_stream.spawn(1)[0])
