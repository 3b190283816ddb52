"""Kill -9, start again, and end with the same numbers to the bit."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
import tensorflow as tf

from tests.training.test_loop import TINY

ROOT = pathlib.Path(__file__).parents[2]


def command(run_dir):
    flags = [*TINY, "--steps=60", "--save_every=7", "--deterministic"]
    return [sys.executable, "tools/train.py", *flags, f"--run_dir={run_dir}"]


def variables(run_dir):
    (path,) = sorted((run_dir / "checkpoints").glob("step-*"))[-1:]
    reader = tf.train.load_checkpoint(str(path / "state"))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if "OBJECT_GRAPH" not in name
    }


@pytest.mark.slow
def test_a_killed_run_ends_like_an_uninterrupted_one(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    subprocess.run(command(whole), cwd=ROOT, env=environment, check=True, capture_output=True)

    process = subprocess.Popen(
        command(torn),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.time() + 120
    while not list((torn / "checkpoints").glob("step-*14")) and time.time() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (torn / "result.json").exists()
    subprocess.run(command(torn), cwd=ROOT, env=environment, check=True, capture_output=True)

    assert (torn / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    expected, received = variables(whole), variables(torn)
    assert expected.keys() == received.keys()
    differ = {
        name: abs(expected[name] - received[name]).max()
        for name in expected
        if (expected[name] != received[name]).any()
    }
    assert not differ
