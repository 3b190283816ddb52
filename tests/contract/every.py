"""Marks of the tests that every registered method gets."""

import pytest

from tfssl import methods

EVERY = pytest.mark.parametrize("name", methods.names())
# Tests that take seconds: on the newest stack, where slow ones are left out, with one method.
QUICK = ("npid",)
HEAVY = pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in methods.names()],
)
