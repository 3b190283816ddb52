"""Peaks of memory: seen where the system tells them, and missing alone where it does not."""

import importlib
import pathlib

import numpy as np
import pytest

TOOLS = pathlib.Path(__file__).parents[2] / "tools"


@pytest.fixture
def memory(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("process_memory")


def test_a_peak_is_seen(memory):
    """Also that of memory which is given back before the end, and each anew."""
    if not memory.can_weigh():
        pytest.skip("the system does not tell what a process weighs")

    def take(megabytes):
        return lambda: np.ones(1_000_000 * megabytes, np.uint8).sum()

    assert 0.19 < memory.peak(take(200)) < 0.25
    assert memory.peak(take(1)) < 0.05


@pytest.mark.parametrize("missing", ["_STATUS", "_RESET"])
def test_without_a_peak_the_note_alone_is_lost(memory, monkeypatch, missing):
    monkeypatch.setattr(memory, missing, pathlib.Path("/proc/nowhere"))
    assert not memory.can_weigh() and memory.peaks("any.py", 1) == {}
    assert memory.with_peak("as it was", {}, "any") == "as it was"


def test_a_weighing_that_fails_loses_the_note_alone(memory, monkeypatch):
    monkeypatch.setattr(memory, "can_weigh", lambda: True)
    assert memory.peaks(str(TOOLS / "no_such_file.py"), 1) == {}
