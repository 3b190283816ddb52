"""A sweep as a person runs it: killed in the middle of a run, started again, equal in the end."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from tests.tools.test_command_lines import ROOT, run
from tests.training.short_runs import QUICK

FLAGS = [
    *QUICK,
    "--deterministic",
    "--log_every=5",
    "--seeds=3",
    "--noplot",
]


def test_a_wrong_cell_is_named_before_any_work(tmp_path):
    place = tmp_path / "sweep"
    grid = "--grid=optimizer=sgd,lars;simsiam_projection_dim=8,0"
    result = run("sweep", *FLAGS, "--seed=7", grid, f"--sweep_dir={place}")
    assert result.returncode == 2
    assert "--seed=7 is replaced by --seeds=3." in result.stdout
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert (
        "cell optimizer=sgd,simsiam_projection_dim=0: --simsiam_projection_dim: expected" in error
    )
    assert "Traceback" not in result.stderr and not place.exists()


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was(tmp_path):
    """Its numbers are those of the same runs without a sweep and without a kill."""
    place = tmp_path / "sweep"
    first, second = (place / "runs" / f"steps={steps},seed=3" for steps in (2, 40))
    command = [
        sys.executable,
        "tools/sweep.py",
        *FLAGS,
        "--grid=steps=2,40",
        f"--sweep_dir={place}",
    ]
    around = {
        "cwd": ROOT,
        "env": {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""},
        "stderr": subprocess.DEVNULL,
    }
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True, **around)
    deadline = time.time() + 600
    while not list((second / "checkpoints").glob("step-*")):
        assert process.poll() is None and time.time() < deadline
        time.sleep(0.02)
    # The run outlives its sweep, but makes no step any more.
    os.killpg(process.pid, signal.SIGSTOP)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (first / "result.json").exists() and not (second / "result.json").exists()
    before = times(first)

    said = tmp_path / "said"
    with open(said, "w") as output:
        again = subprocess.Popen(command, stdout=output, **around)
    deadline = time.time() + 300
    while "waiting until another sweep here, or the run it left" not in said.read_text():
        assert again.poll() is None and time.time() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    assert again.wait(timeout=600) == 0
    told = said.read_text()
    assert "[1/2] steps=2,seed=3: finished before; loss " in told
    assert times(first) == before
    assert "Continuing at step" in (place / "logs" / f"{second.name}.log").read_text()
    assert "| 40 | 1 |" in (place / "table.md").read_text()

    whole = run("train", f"--flagfile={second / 'flags.cfg'}", f"--run_dir={tmp_path / 'whole'}")
    assert whole.returncode == 0, whole.stderr
    expected = (tmp_path / "whole" / "metrics.jsonl").read_bytes()
    assert (second / "metrics.jsonl").read_bytes() == expected


def times(path: pathlib.Path):
    return {file: file.stat().st_mtime_ns for file in path.rglob("*")}
