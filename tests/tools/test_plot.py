"""tools/plot.py as a person runs it: refusals, and a figure of result files."""

import json
import os
import struct
import subprocess
import sys

import pytest

from tests.tools.test_command_lines import ROOT, run
from tests.training.sweeps.test_shared_information import make_run

pytest.importorskip("matplotlib")


def test_a_figure_of_result_files(tmp_path):
    for name, nats, linear in (("near", 3.0, 0.4), ("middle", 2.0, 0.6), ("far", 0.5, 0.3)):
        make_run(tmp_path / "runs" / name, nats=nats, linear=linear, bound=1.0)
    (tmp_path / "runs" / "unfinished").mkdir()
    drawn = run("plot", "mi_accuracy", f"--sweep_dir={tmp_path}")
    assert drawn.returncode == 0, drawn.stderr
    picture = tmp_path / "mi_accuracy.png"
    lines = [line.split() for line in drawn.stdout.splitlines() if " nats " in line]
    # From little information to much.
    assert lines == [
        ["0.500", "nats", "30.00", "%", "far"],
        ["2.000", "nats", "60.00", "%", "middle"],
        ["3.000", "nats", "40.00", "%", "near"],
    ]
    assert drawn.stdout.splitlines()[-1] == str(picture)
    content = picture.read_bytes()
    width, height = struct.unpack(">II", content[16:24])
    assert content.startswith(b"\x89PNG") and min(width, height) > 100


def test_sweet_spots_of_a_sweep(tmp_path):
    for area, nats, linear in ((0.05, 1.0, 0.4), (0.2, 2.0, 0.6), (0.5, 3.0, 0.3)):
        path = tmp_path / "runs" / f"crop_min_area={area},seed=0"
        make_run(path, nats=1.0, linear=linear, bound=0.0)
        with open(path / "metrics.jsonl", "a") as file:
            file.write(json.dumps({"step": 4, "epoch/information": nats}) + "\n")
    drawn = run("plot", "infomin", f"--sweep_dir={tmp_path}")
    assert drawn.returncode == 0, drawn.stderr
    *_, spot, path = drawn.stdout.splitlines()
    assert spot == "sweet spot  0.2, 2.000 nats, 60.00 %"
    assert path == str(tmp_path / "infomin.png") and (tmp_path / "infomin.png").stat().st_size


# Every command in one process, for starting one takes longer than all of them.
COMMANDS = """
import json, sys
sys.path.insert(0, "tools")
import plot
for given in json.loads(sys.argv[1]):
    try:
        plot._parse(["plot", *given])
        code = plot.main(None)
    except SystemExit as end:
        code = end.code
    print("exit", code)
"""


@pytest.mark.slow
def test_mistakes_are_one_sentence_and_exit_code_2(tmp_path):
    make_run(tmp_path / "runs" / "a", nats=1.0, linear=0.4, bound=1.0)
    missing = tmp_path / "nothing"
    commands = [
        ([], "expected a figure first, one of mi_accuracy, infomin. Received: none."),
        (["accuracy"], "expected a figure first, one of mi_accuracy, infomin. Received: accuracy."),
        (["mi_accuracy"], "--sweep_dir: expected a value. Received: none."),
        (["mi_accuracy", "--sweeps=a"], "expected known flags"),
        (["mi_accuracy", f"--sweep_dir={missing}"], "a sweep with finished runs. Received: 0"),
        # A run's own directory is no sweep's; one run is no scatter.
        (["mi_accuracy", f"--sweep_dir={tmp_path}/runs/a"], "with finished runs. Received: 0"),
        (["mi_accuracy", f"--sweep_dir={tmp_path}"], "expected two or more with finite"),
        (["mi_accuracy", f"--sweep_dir={tmp_path}", "--accuracy=mlp"], "no such result of mlp"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps([given for given, _ in commands])],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    codes = [line for line in done.stdout.splitlines() if line.startswith("exit ")]
    assert codes == ["exit 2"] * len(commands), done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == len(commands) and "Traceback" not in done.stderr
    for (_, words), error in zip(commands, errors):
        assert words in error
    assert not missing.exists() and not list(tmp_path.rglob("*.png"))
