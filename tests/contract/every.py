"""Marks of the tests that every registered method gets, and every form of one."""

import pytest

from tests.contract import harness
from tfssl import methods

NAMES = sorted([*methods.names(), *harness.FORMS])
EVERY = pytest.mark.parametrize("name", NAMES)
# What a class is asked, whatever its views.
CLASSES = pytest.mark.parametrize("name", methods.names())
# Tests that take seconds: on the newest stack, where slow ones are left out, with one method.
QUICK = ("npid",)
HEAVY = pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NAMES],
)
