"""Kill -9, start again, and end with the same numbers to the bit."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
import tensorflow as tf

from tests.training.short_runs import SHORT

ROOT = pathlib.Path(__file__).parents[2]


# One class of the digits: an epoch has 16 steps, and runs are killed within one.
FEW = [*SHORT, "--batch_size=50"]
# A bank, labels, centroids, a queue and a teacher; orders that methods choose: test_stream.py.
FLAGS = [
    *FEW,
    "--method=interclr",
    "--interclr_num_clusters=12",
    "--interclr_num_negatives=50",
    "--moco_hidden_dim=32",
    "--moco_projection_dim=16",
    "--moco_queue_size=128",
]


def command(run_dir, classes):
    flags = [*FLAGS, f"--class_list={classes}", "--steps=30", "--save_every=7", "--deterministic"]
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
    classes = tmp_path / "classes.txt"
    classes.write_text("7\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    place = {"cwd": ROOT, "env": environment}
    subprocess.run(command(whole, classes), check=True, capture_output=True, **place)

    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command(torn, classes), **quiet, **place)
    deadline = time.time() + 120
    while not list((torn / "checkpoints").glob("step-*14")) and time.time() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (torn / "result.json").exists()
    subprocess.run(command(torn, classes), check=True, capture_output=True, **place)

    assert (torn / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    expected, received = variables(whole), variables(torn)
    assert expected.keys() == received.keys()
    state = ("bank/features", "clusters/labels", "clusters/centroids", "queue/ring")
    assert all(any(name in key for key in expected) for name in state)
    differ = {
        name: abs(expected[name] - received[name]).max()
        for name in expected
        if (expected[name] != received[name]).any()
    }
    assert not differ
