"""Two processes on loopback train like one."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.training.short_runs import QUICK, TINY
from tfssl import config, training
from tfssl.training.reports import read_rows

ROOT = pathlib.Path(__file__).parents[2]


def start(run_dir, flags, cluster, task):
    place = {"cluster": {"worker": cluster}, "task": {"type": "worker", "index": task}}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CONFIG": json.dumps(place)}
    return subprocess.Popen(
        [sys.executable, "tools/train.py", *flags, f"--run_dir={run_dir}"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=open(f"{run_dir}-{task}.log", "w"),
    )


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.mark.slow
def test_two_workers_agree_with_one_process(tmp_path):
    flags = [*TINY, "--steps=4", "--log_every=1", "--save_every=2", "--final_export"]
    cluster = [f"127.0.0.1:{port}" for port in free_ports(2)]
    workers = [
        start(tmp_path / "pair", [*flags, "--strategy=multiworker"], cluster, task)
        for task in range(2)
    ]
    wanted = config.parse(flags)[0]
    alone = training.RunDirectory(tmp_path / "alone")
    alone.claim(config.to_flagfile(wanted))
    training.train(training.prepare(wanted), alone)
    codes = [worker.wait(timeout=300) for worker in workers]
    logs = [(tmp_path / f"pair-{task}.log").read_text() for task in range(2)]
    assert codes == [0, 0], logs
    expected, received = (
        [row for row in read_rows(tmp_path / name / "metrics.jsonl") if "loss" in row]
        for name in ("alone", "pair")
    )
    assert [row["step"] for row in received] == [1, 2, 3, 4]
    for one, other in zip(expected, received):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-4)
        assert other["mi-target"] == pytest.approx(one["mi-target"], rel=1e-2)
    assert (tmp_path / "pair" / "backbone" / "saved_model.pb").is_file()
    assert "images/s" in logs[0] and "images/s" not in logs[1]


@pytest.mark.slow
def test_a_signal_to_one_worker_stops_both_at_the_same_step(tmp_path):
    cluster = [f"127.0.0.1:{port}" for port in free_ports(2)]
    flags = [*QUICK, "--strategy=multiworker", "--steps=100000", "--log_every=5"]
    run_dir = tmp_path / "pair"
    workers = [start(run_dir, flags, cluster, task) for task in range(2)]
    try:
        deadline = time.time() + 300
        while time.time() < deadline and not (run_dir / "metrics.jsonl").exists():
            time.sleep(0.2)
        workers[1].send_signal(signal.SIGTERM)
        codes = [worker.wait(timeout=120) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    logs = [(tmp_path / f"pair-{task}.log").read_text() for task in range(2)]
    assert codes == [2, 2], logs
    stopped = [log.partition("Asked to stop; saved at step ")[2].split()[0] for log in logs]
    assert stopped[0] == stopped[1] and int(stopped[0]) % 5 == 0
