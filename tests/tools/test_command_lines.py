"""The tools as a person runs them: exit codes and what is printed."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests.training.short_runs import QUICK, TINY

ROOT = pathlib.Path(__file__).parents[2]


def run(tool, *flags):
    return subprocess.run(
        [sys.executable, f"tools/{tool}.py", *flags],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_a_mistake_is_one_sentence_and_exit_code_2(tmp_path):
    result = run("train", *TINY, "--mira_betta=0.5", f"--run_dir={tmp_path / 'run'}")
    assert result.returncode == 2
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "mira_betta" in errors[0]
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "tool, flags",
    [
        ("train", ["--mira_beta", "--batch_size", "--run_dir", "AlexNets and convnet have first"]),
        ("evaluate", ["--protocol", "--linear_milestones", "--run_dir"]),
        ("sweep", ["--grid", "--seeds", "--sweep_dir", "--mira_beta", "--protocol"]),
    ],
)
def test_help_lists_the_flags(tool, flags):
    shown = " ".join(run(tool, "--help").stdout.split())
    for flag in flags:
        assert flag in shown


@pytest.mark.slow
def test_train_evaluate_export(tmp_path):
    directory = f"--run_dir={tmp_path / 'run'}"
    flags = [*QUICK, "--final_knn", directory]
    trained = run("train", *flags)
    assert trained.returncode == 0, trained.stderr
    assert "test kNN accuracy" in trained.stdout and "raw pixels" in trained.stdout
    assert "images/s" in trained.stderr

    again = run("train", *flags)
    assert again.returncode == 0 and "this run has finished" in again.stdout

    flags = ["--protocol=linear", "--augment", "--linear_epochs=1", "--max_train_records=512"]
    judged = run("evaluate", directory, *flags)
    assert judged.returncode == 0, judged.stderr
    assert "trained: top-1" in judged.stdout
    written = [path.name for path in (tmp_path / "run" / "evaluation").iterdir()]
    assert written == ["linear_augmented.json"]

    exported = run("export", directory, f"--output={tmp_path / 'backbone'}")
    assert exported.returncode == 0, exported.stderr
    assert (tmp_path / "backbone" / "saved_model.pb").is_file()
