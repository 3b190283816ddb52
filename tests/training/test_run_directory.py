"""A run directory belongs to one set of flags."""

import pytest

from tfssl.settings import SettingsError
from tfssl.training.reports import MetricsFile, read_rows
from tfssl.training.run_directory import RunDirectory

FLAGS = "--lr=0.5\n--method=mira\n--deterministic\n"


def test_a_new_directory_gets_the_flags(tmp_path):
    run = RunDirectory(tmp_path / "a" / "b")
    run.claim(FLAGS)
    assert run.flags.read_text() == FLAGS
    run.claim(FLAGS)
    assert run.finished() is None


def test_other_flags_are_refused_with_the_difference(tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.claim(FLAGS)
    with pytest.raises(SettingsError) as error:
        run.claim("--lr=0.25\n--method=mira\n--nodeterministic\n--epochs=3\n")
    message = str(error.value)
    assert "--lr: 0.5 -> 0.25" in message
    assert "--epochs: unset -> 3" in message
    assert "--method" not in message


def test_a_run_of_an_older_version_goes_on_where_new_flags_have_their_defaults(tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.claim(FLAGS)
    run.claim(FLAGS + "--new=1\n", complete=lambda text: text + "--new=1\n")
    with pytest.raises(SettingsError, match="--new: 1 -> 2"):
        run.claim(FLAGS + "--new=2\n", complete=lambda text: text + "--new=1\n")


def test_flags_this_version_does_not_know_are_named(tmp_path):
    def refuse(text):
        raise SettingsError("unknown flag")

    run = RunDirectory(tmp_path)
    run.claim("--method=other\n--gone=1\n")
    with pytest.raises(SettingsError, match="--gone: 1 -> unset; .*--method: other -> mira"):
        run.claim(FLAGS, complete=refuse)


def test_a_directory_with_other_files_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(SettingsError, match="directory with other files"):
        RunDirectory(tmp_path).claim(FLAGS)


def test_an_unwritable_place_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be written"):
        RunDirectory(tmp_path / "file" / "run").claim(FLAGS)


def test_workers_do_not_write(tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.claim(FLAGS, write=False)
    assert not run.path.exists()


def test_rows_after_a_step_are_dropped_and_a_torn_line_too(tmp_path):
    file = MetricsFile(tmp_path / "metrics.jsonl")
    for step in (1, 2, 3):
        file.write(step, {"loss": step / 2})
    with open(tmp_path / "metrics.jsonl", "a") as handle:
        handle.write('{"step": 4, "lo')
    file.rewind(2)
    assert read_rows(tmp_path / "metrics.jsonl") == [
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": 1.0},
    ]
