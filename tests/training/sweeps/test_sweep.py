"""A sweep around stand-ins of its tools: what is called, skipped, reported and written when.

tests/tools/test_sweep.py takes the real ones.
"""

import fcntl
import json
import os
import re
import signal
import sys
import threading
import time

import pytest

from tfssl import data
from tfssl.evaluation import EvaluationConfig
from tfssl.settings import SettingsError
from tfssl.training import sweeps


def test_every_cell_is_trained_once(stage):
    stage.sweep("lr=1,2").run()
    names = [f"lr={lr},seed={seed}" for seed in (0, 1) for lr in (1, 2)]
    assert stage.calls() == [f"train {name}" for name in names]
    assert "| 2 | 2 | 4 ± 0 | 1 ± 0 | 2.50 ± 0.71 |" in stage.directory.markdown.read_text()
    for cell in stage.grid.cells:
        assert stage.directory.run(cell).flags.read_text() == cell.flags_text

    before, tables = stage.files(), stage.directory.cells.read_text()
    again = stage.sweep("lr=1,2")
    again.run()
    assert stage.calls() == [] and stage.files() == before
    assert stage.directory.cells.read_text() == tables
    assert sum("finished before" in line for line in stage.said) == 4

    stage.sweep("lr=1,2,3", metrics="inter").run()
    assert stage.calls() == ["train lr=3,seed=0", "train lr=3,seed=1"]
    assert "inter" in stage.directory.cells.read_text().splitlines()[0]


def test_a_failed_cell_is_reported_and_the_others_are_trained(stage):
    study = stage.sweep("lr=0.5,1")
    study.run()
    assert len(stage.calls()) == 4
    assert list(study.failures) == ["lr=0.5,seed=0", "lr=0.5,seed=1"]
    (told,) = [line for line in stage.said if "lr=0.5,seed=0: " in line and "FAILED" in line]
    assert "exit code 1" in told and "error: no such luck" in told
    assert "bar 2" in told and "bar 1" not in told
    text = stage.directory.markdown.read_text()
    assert "| 0.5 | 0 of 2, 2 failed |" in text and "| 1 | 2 |" in text
    states = [row.split(",")[4] for row in stage.directory.cells.read_text().splitlines()[1:]]
    assert states == ["failed", "failed", "finished", "finished"]

    # What has failed is tried again, the rest is not.
    stage.sweep("lr=0.5,1").run()
    assert stage.calls() == ["train lr=0.5,seed=0", "train lr=0.5,seed=1"]


def test_sigterm_reaches_the_run_and_the_same_sweep_goes_on(stage):
    def stop_when_it_waits():
        waiting = stage.path / "runs" / "lr=0.25,seed=0" / "waiting"
        while not waiting.exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    study = stage.sweep("lr=1,0.25,2", seeds=(0,))
    killer = threading.Thread(target=stop_when_it_waits)
    killer.start()
    with pytest.raises(sweeps.SweepStopped, match="lr=0.25,seed=0; the same command goes on"):
        study.run()
    killer.join()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert stage.calls() == ["train lr=1,seed=0", "train lr=0.25,seed=0"]
    assert "1,0,finished" in stage.directory.cells.read_text()
    stage.sweep("lr=1,0.25,2", seeds=(0,)).run()
    assert stage.calls() == ["train lr=0.25,seed=0", "train lr=2,seed=0"]


def test_a_cell_with_other_flags_is_refused_before_any_work(stage):
    stage.sweep("lr=1,2", "--batch_size=32").run()
    stage.calls()
    with pytest.raises(SettingsError, match="cell lr=1,seed=0.*--batch_size: 32 -> 64.*sweep_dir"):
        stage.sweep("lr=1,2,3", "--batch_size=64")
    assert stage.calls() == []


def test_a_foreign_directory_is_refused(stage):
    (stage.path / "runs" / "lr=1,seed=0").mkdir(parents=True)
    (stage.path / "runs" / "lr=1,seed=0" / "holiday.jpg").write_text("")
    with pytest.raises(SettingsError, match="directory with other files"):
        stage.sweep("lr=1,2")


def test_runs_are_judged_once_with_the_same_settings(stage):
    chosen = EvaluationConfig(protocol="linear", linear_epochs=2)
    content = {"step": 4, "results": {"trained": {"top1": 0.5}}, "evaluation": vars(chosen)}
    (stage.path / "judgement.json").write_text(json.dumps(content))
    stage.sweep("lr=1,2", seeds=(0,)).run()
    stage.calls()
    stage.sweep("lr=1,2", seeds=(0,), evaluation=chosen).run()
    assert stage.calls() == ["evaluate lr=1,seed=0", "evaluate lr=2,seed=0"]
    assert "linear_top1 (%)" in stage.directory.markdown.read_text()
    assert any("linear_top1 50.0 %" in line for line in stage.said)
    stage.sweep("lr=1,2", seeds=(0,), evaluation=chosen).run()
    assert stage.calls() == []

    # The stand-in writes what does not fit the wish: that is a failure, not a result.
    other = EvaluationConfig(protocol="linear", linear_epochs=3)
    study = stage.sweep("lr=1,2", seeds=(0,), evaluation=other)
    study.run()
    assert len(stage.calls()) == 2
    assert "without a result" in study.failures["lr=1,seed=0"]


@pytest.mark.parametrize(
    "text", ["", '{"step": 4, "eval', '{"step": 4, "results": {"trained": {"top1": 0.25}}}', "[4]"]
)
def test_a_judgement_that_is_damaged_or_older_is_made_anew(stage, text):
    chosen = EvaluationConfig(protocol="linear", linear_epochs=2)
    content = {"step": 4, "results": {"trained": {"top1": 0.5}}, "evaluation": vars(chosen)}
    (stage.path / "judgement.json").write_text(json.dumps(content))
    stage.sweep("lr=1,2", seeds=(0,), evaluation=chosen).run()
    stage.calls()
    stage.directory.run(stage.grid.cells[0]).evaluation("linear").write_text(text)
    stage.sweep("lr=1,2", seeds=(0,), evaluation=chosen).run()
    assert stage.calls() == ["evaluate lr=1,seed=0"]
    assert stage.directory.cells.read_text().count(",0.5") == 2


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda run: run.result.write_text('{"method": "mi'), "result.json: .*damaged.*delete it"),
        (lambda run: run.result.write_text('{"method": "mira"}'), "lr=1,seed=0: .*'steps'.*away"),
        (lambda run: run.metrics.unlink(), "lr=1,seed=0: .*metrics.jsonl.*move this directory"),
    ],
)
def test_a_cell_that_cannot_be_read_has_failed_and_the_others_are_shown(stage, damage, words):
    stage.sweep("lr=1,2", seeds=(0,)).run()
    stage.calls()
    damage(stage.directory.run(stage.grid.cells[0]))
    study = stage.sweep("lr=1,2,3", seeds=(0,))
    overview = study.overview()
    assert "lr=1,seed=0  failed\nlr=2,seed=0  finished" in overview and re.search(words, overview)
    study.run()
    assert stage.calls() == ["train lr=3,seed=0"]
    assert list(study.failures) == ["lr=1,seed=0"]
    assert re.search(words, study.failures["lr=1,seed=0"])
    assert any("FAILED" in line and re.search(words, line) for line in stage.said)
    text = stage.directory.markdown.read_text()
    assert "| 1 | 0 of 1, 1 failed |" in text and "| 2 | 1 | 4 | 1 | 2 |" in text


def test_data_of_finished_cells_are_not_needed(stage, monkeypatch):
    def none(settings):
        raise SettingsError("no data any more")

    monkeypatch.setattr(data, "open_splits", none)
    study = stage.sweep("lr=1,2", seeds=(0,))
    study.run()
    study.check_data()
    with pytest.raises(SettingsError, match="cell lr=3,seed=0: no data any more"):
        stage.sweep("lr=1,2,3", seeds=(0,)).check_data()
    chosen = EvaluationConfig(protocol="linear")
    with pytest.raises(SettingsError, match="cell lr=1,seed=0: no data any more"):
        stage.sweep("lr=1,2", seeds=(0,), evaluation=chosen).check_data()


def test_a_second_sweep_waits(stage):
    study = stage.sweep("lr=1", seeds=(0,))
    (stage.path / "logs").mkdir()
    with open(stage.path / "lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        working = threading.Thread(target=held_open, args=(stage, study))
        working.start()
        while not stage.said:
            time.sleep(0.02)
        assert "waiting until another sweep" in stage.said[0]
        time.sleep(0.1)
        assert len(stage.said) == 1
    working.join(timeout=20)
    assert stage.said[1:] == ["mine"]


def held_open(stage, study):
    with stage.directory.held(stage.said.append):
        stage.said.append("mine")


def test_an_unknown_figure_is_an_error_with_those_there_are(stage):
    with pytest.raises(SettingsError, match="--metrics: .*one of inter, loss. Rec.*: intra"):
        stage.sweep("lr=1,2", metrics="intra").run()
    assert stage.directory.markdown.exists()


@pytest.mark.parametrize(
    "settings, words",
    [
        (dict(seeds="0,1,1"), "seeds: .*different.*'0,1,1'"),
        (dict(seeds=""), "seeds: .*whole numbers"),
        (dict(seeds="0,-1"), "seeds"),
        (dict(plot=False, plot_metric="loss"), "plot_metric: .*--noplot"),
        (dict(plot=False, plot_over_steps="loss"), "plot_over_steps: .*--noplot"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings, words):
    with pytest.raises(SettingsError, match=words):
        sweeps.SweepConfig(**settings)


@pytest.mark.parametrize("below", ["", "sweep"])
def test_a_file_is_no_place_for_a_sweep(stage, below):
    file = stage.path / "file"
    file.write_text("")
    stage.directory = sweeps.SweepDirectory(file / below)
    with pytest.raises(SettingsError, match="--sweep_dir=.*file, which is a file.*Remedy"):
        stage.sweep("lr=1,2")
    stage.directory = sweeps.SweepDirectory(stage.path / "new" / "sweep")
    stage.sweep("lr=1,2")


def test_a_smaller_grid_says_how_many_runs_it_does_not_show(stage):
    stage.sweep("lr=1,2").run()
    assert "not of this grid" not in stage.directory.markdown.read_text()
    stage.sweep("lr=1", seeds=(0,)).run()
    assert "not of this grid, and not shown: 3.\n" in stage.directory.markdown.read_text()
    assert any("not of this grid, and not shown: 3." in line for line in stage.said)


def test_missing_matplotlib_is_named_and_the_tables_are_there(stage, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"\[plots\].*--noplot"):
        stage.sweep("lr=1,2", plot=True).run()
    assert len(stage.calls()) == 4 and "Only tables" in stage.said[0]
    assert stage.directory.cells.exists() and stage.directory.markdown.exists()
    assert not stage.directory.picture.exists()
    stage.sweep("lr=1,2").run()  # --noplot
