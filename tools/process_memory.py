"""What a step takes of memory at its peak, in a process of its own."""

import ctypes
import json
import os
import pathlib
import subprocess
import sys
from typing import Any, Callable, Dict, Optional

_STATUS = pathlib.Path("/proc/self/status")
_RESET = pathlib.Path("/proc/self/clear_refs")


def peaks(script: str, *arguments: int) -> Dict[str, Optional[float]]:
    """What a script prints as its last line, as JSON; nothing where it cannot weigh.

    The process has an allocator that gives memory back at once.
    """
    if not can_weigh():
        return {}
    # oneDNN's allocator keeps what it once had, so that a peak would not show.
    surroundings = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, script, *map(str, arguments)]
    done = subprocess.run(command, env=surroundings, stdout=subprocess.PIPE)
    # What went wrong it has printed; the times are worth having without the memory.
    return {} if done.returncode else json.loads(done.stdout.splitlines()[-1])


def with_peak(note: str, found: Dict[str, Optional[float]], name: str) -> str:
    """The note with the memory that a step took beside the bank, where it was measured."""
    gigabytes = found.get(name)
    return note if gigabytes is None else f"{note}; peak {gigabytes:.2f} GB beyond the bank"


def can_weigh() -> bool:
    """Whether the system tells a process its peak and lets it start anew; not every one does."""
    try:
        peak(lambda: None)
    except (OSError, AttributeError, StopIteration):
        return False
    return True


def peak(run: Callable[[], Any]) -> float:
    """Gigabytes by which the resident set grew at most."""
    ctypes.CDLL(None).malloc_trim(0)
    # 5: the peak starts anew.
    _RESET.write_text("5")
    before = _status("VmRSS")
    run()
    return (_status("VmHWM") - before) / 1e9


def _status(name: str) -> int:
    """Bytes of an entry of this process' status."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])
