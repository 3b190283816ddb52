"""Exports are whole or not there, and never overwrite what they did not write."""

import json

import pytest

from tfssl.export.folder import DESCRIPTION, FORMAT, whole_folder


def _write(folder, text):
    (folder / DESCRIPTION).write_text(json.dumps({"format": FORMAT}))
    (folder / "weights").write_text(text)


def test_the_folder_appears_with_its_parents_and_nothing_else_stays(tmp_path):
    path = tmp_path / "new" / "backbone"
    with whole_folder(path) as folder:
        _write(folder, "1")
        assert not path.exists()
    assert (path / "weights").read_text() == "1"
    assert [p.name for p in path.parent.iterdir()] == ["backbone"]


def test_an_earlier_export_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "backbone"
    with whole_folder(path) as folder:
        _write(folder, "1")
        (folder / "old").write_text("old")
    with whole_folder(path) as folder:
        _write(folder, "2")
        assert (path / "weights").read_text() == "1"
    assert (path / "weights").read_text() == "2" and not (path / "old").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["backbone"]


def test_a_failure_leaves_the_earlier_export(tmp_path):
    path = tmp_path / "backbone"
    with whole_folder(path) as folder:
        _write(folder, "1")
    with pytest.raises(RuntimeError, match="full disk"):
        with whole_folder(path) as folder:
            (folder / "weights").write_text("half")
            raise RuntimeError("full disk")
    assert (path / "weights").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["backbone"]


def test_leftovers_of_a_killed_process_are_cleared(tmp_path):
    leftover = tmp_path / ".backbone.partial"
    leftover.mkdir()
    (leftover / "half").write_text("half")
    with whole_folder(tmp_path / "backbone") as folder:
        assert not any(folder.iterdir())
        _write(folder, "1")
    assert [p.name for p in tmp_path.iterdir()] == ["backbone"]


def test_an_empty_folder_may_be_taken(tmp_path):
    (tmp_path / "backbone").mkdir()
    with whole_folder(tmp_path / "backbone") as folder:
        _write(folder, "1")
    assert (tmp_path / "backbone" / "weights").read_text() == "1"


@pytest.mark.parametrize(
    "name, content",
    [("notes.txt", "mine"), (DESCRIPTION, "{}"), (DESCRIPTION, "[1]"), (DESCRIPTION, "?")],
)
def test_a_foreign_folder_is_never_overwritten(tmp_path, name, content):
    path = tmp_path / "backbone"
    path.mkdir()
    (path / name).write_text(content)
    with pytest.raises(ValueError, match="holds something else"):
        with whole_folder(path):
            pass
    assert (path / name).read_text() == content


def test_a_foreign_file_is_never_overwritten(tmp_path):
    path = tmp_path / "backbone"
    path.write_text("mine")
    with pytest.raises(ValueError, match="holds something else"):
        with whole_folder(path):
            pass
    assert path.read_text() == "mine"
