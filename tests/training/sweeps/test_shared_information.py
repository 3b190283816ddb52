"""What tools/plot.py reads of a sweep."""

import json

import pytest

from tfssl.settings import SettingsError
from tfssl.training.sweeps import shared_information


def make_run(path, *, nats, linear, knn=0.3, bound=None):
    """The files of a finished run."""
    (path / "evaluation").mkdir(parents=True)
    result = {"steps": 4, "knn": {"trained": {"top1": knn}, "untrained": {"top1": 0.1}}}
    (path / "result.json").write_text(json.dumps(result))
    rows = [{"step": 2, "information/1-2": 0.0}, {"step": 4, "information/1-2": bound}]
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, results in (
        ("information", {"views": {"estimate": nats}}),
        ("linear", {"trained": {"top1": linear}, "untrained": {"top1": 0.2}}),
    ):
        if results[next(iter(results))] != {"estimate": None}:
            content = json.dumps({"results": results})
            (path / "evaluation" / f"{name}.json").write_text(content)


def test_runs_by_name_with_both_numbers(tmp_path):
    make_run(tmp_path / "runs" / "b", nats=2.0, linear=0.5, bound=1.5)
    make_run(tmp_path / "runs" / "a", nats=1.0, linear=0.4, bound=0.5)
    (tmp_path / "runs" / "unfinished").mkdir()
    found = shared_information(tmp_path, information="information", accuracy="linear")
    assert [tuple(run) for run in found] == [("a", 1.0, 0.4, 0.2), ("b", 2.0, 0.5, 0.2)]
    found = shared_information(tmp_path, information="information/1-2", accuracy="knn")
    assert [tuple(run) for run in found] == [("a", 0.5, 0.3, 0.1), ("b", 1.5, 0.3, 0.1)]


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(SettingsError, match="expected a sweep with finished runs. Received: 0"):
        shared_information(tmp_path, information="information", accuracy="linear")
    make_run(tmp_path / "runs" / "a", nats=None, linear=0.4, bound=0.5)
    with pytest.raises(SettingsError, match="expected a run judged.*no such result of information"):
        shared_information(tmp_path, information="information", accuracy="linear")
    with pytest.raises(
        SettingsError, match="no such result of mlp in .*, which has linear. Remedy"
    ):
        shared_information(tmp_path, information="information/1-2", accuracy="mlp")
    with pytest.raises(SettingsError, match="--information: expected what has measured"):
        shared_information(tmp_path, information="linear", accuracy="linear")
    with pytest.raises(SettingsError, match="information/9-9: expected a scalar"):
        shared_information(tmp_path, information="information/9-9", accuracy="linear")
