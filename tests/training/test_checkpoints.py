"""Checkpoints are whole or absent, and damage costs one checkpoint, not the run."""

import os

import numpy as np
import pytest
import tensorflow as tf

from tfssl.settings import SettingsError
from tfssl.training.checkpoints import Checkpoints


class Toy(tf.keras.Model):
    """Two variables stand for a method."""

    def __init__(self, size=1000):
        super().__init__()
        self.weight = tf.Variable(tf.zeros([size]))
        self.count = tf.Variable(0, dtype=tf.int64)


def manager(tmp_path, model=None, keep=2, chief=True):
    model = model or Toy()
    return model, Checkpoints(model, tmp_path / "checkpoints", keep=keep, chief=chief)


def save_at(model, checkpoints, step):
    model.weight.assign(tf.fill(model.weight.shape, float(step)))
    model.count.assign(step)
    checkpoints.save(step)


def test_starts_at_zero_without_a_checkpoint(tmp_path):
    assert manager(tmp_path)[1].restore_latest() == 0


def test_keeps_the_newest(tmp_path):
    model, checkpoints = manager(tmp_path, keep=2)
    for step in (3, 20, 100):
        save_at(model, checkpoints, step)
    assert checkpoints.steps() == [20, 100]
    other, again = manager(tmp_path)
    assert again.restore_latest() == 100
    np.testing.assert_array_equal(other.weight, model.weight)
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["step-0000000020", "step-0000000100"]


@pytest.mark.parametrize("damage", ["truncate_data", "truncate_index", "remove_data", "flip_byte"])
def test_a_damaged_newest_falls_back(tmp_path, damage):
    model, checkpoints = manager(tmp_path)
    save_at(model, checkpoints, 1)
    save_at(model, checkpoints, 2)
    kind = "index" if damage == "truncate_index" else "data"
    (path,) = (p for p in checkpoints.latest.iterdir() if kind in p.name)
    content = bytearray(path.read_bytes())
    if damage == "remove_data":
        path.unlink()
    elif damage == "flip_byte":
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    else:
        path.write_bytes(content[: len(content) // 2])
    other, reader = manager(tmp_path, chief=False)
    assert reader.restore_latest() == 1
    assert reader.steps() == [1, 2], "who only reads changes nothing"
    other, again = manager(tmp_path)
    assert again.restore_latest() == 1
    np.testing.assert_array_equal(other.weight, np.ones(1000))
    assert int(other.count) == 1
    assert again.steps() == [1]
    assert (tmp_path / "checkpoints" / "damaged-2").is_dir()


def test_only_damaged_checkpoints_is_an_error(tmp_path):
    model, checkpoints = manager(tmp_path)
    save_at(model, checkpoints, 1)
    for path in checkpoints.latest.iterdir():
        path.write_bytes(b"")
    with pytest.raises(SettingsError, match="expected a readable checkpoint"):
        manager(tmp_path)[1].restore_latest()


def test_another_model_is_refused(tmp_path):
    model, checkpoints = manager(tmp_path)
    save_at(model, checkpoints, 1)
    with pytest.raises(SettingsError, match="expected a checkpoint of this model"):
        manager(tmp_path, Toy(size=7))[1].restore_latest()


def test_a_killed_save_leaves_the_older_one(tmp_path, monkeypatch):
    model, checkpoints = manager(tmp_path)
    save_at(model, checkpoints, 1)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        save_at(model, checkpoints, 2)
    monkeypatch.undo()
    assert manager(tmp_path)[1].restore_latest() == 1
    save_at(model, checkpoints, 2)
    assert checkpoints.steps() == [1, 2]


def test_a_full_disk_names_the_last_good_checkpoint(tmp_path, monkeypatch):
    model, checkpoints = manager(tmp_path)
    save_at(model, checkpoints, 1)

    def full(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.train.Checkpoint, "write", full)
    with pytest.raises(OSError, match="No space left.*Last good checkpoint: .*step-0000000001"):
        save_at(model, checkpoints, 2)
    assert checkpoints.steps() == [1]


def test_other_workers_leave_nothing_behind(tmp_path):
    model, checkpoints = manager(tmp_path, chief=False)
    save_at(model, checkpoints, 1)
    assert not (tmp_path / "checkpoints").exists()
