"""Lists of classes, and the records they keep."""

import numpy as np
import pytest

from tfssl.data import IMAGENET100, DataConfig, read_class_list
from tfssl.data.class_lists import choose_classes, keep_classes
from tfssl.settings import SettingsError


def test_imagenet100_has_a_hundred_ids():
    assert len(set(IMAGENET100)) == 100
    assert all(len(name) == 9 and name[0] == "n" and name[1:].isdigit() for name in IMAGENET100)
    assert read_class_list("imagenet100") == IMAGENET100


def test_a_file_is_read_without_its_comments(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("# all of them\nsea horse  # two words\n\n\tC#\nowl\n", encoding="utf-8")
    assert read_class_list(str(path)) == ("sea horse", "C#", "owl")


@pytest.mark.parametrize("text", ["", "# nothing\n", "owl\ncat\nowl\n"])
def test_a_useless_file_is_refused(tmp_path, text):
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(SettingsError, match="one class name a line"):
        read_class_list(str(path))


def test_a_missing_file_is_named():
    with pytest.raises(SettingsError, match="imagenet100 or a text file.*'nowhere.txt'"):
        read_class_list("nowhere.txt")


def test_unknown_classes_are_named(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("owl\nyeti\n")
    with pytest.raises(SettingsError, match="1 of 2 unknown.*yeti"):
        choose_classes(str(path), ["cat", "owl"], where="zoo")
    with pytest.raises(SettingsError, match="which has none"):
        choose_classes(str(path), None, where="zoo")


def test_labels_are_renumbered_in_the_order_of_the_dataset():
    known = ["d", "a", "c", "b"]
    labels = np.random.default_rng(3).integers(-1, 4, 200)
    positions, renumbered = keep_classes(labels, known, ["d", "b"])
    expected = [
        (i, "db".index(known[v])) for i, v in enumerate(labels) if v >= 0 and known[v] in "db"
    ]
    np.testing.assert_array_equal(positions, [i for i, _ in expected])
    np.testing.assert_array_equal(renumbered, [v for _, v in expected])


@pytest.mark.parametrize("dataset", ["cifar10", "tfds:", "folder:", "digits:", "webdataset:x"])
def test_an_unknown_dataset_is_refused(dataset):
    with pytest.raises(SettingsError, match="dataset: expected 'digits'"):
        DataConfig(dataset=dataset)


@pytest.mark.parametrize("extra", [{"download": True}, {"data_dir": "/data"}])
def test_a_setting_the_dataset_cannot_use_is_refused(extra):
    with pytest.raises(SettingsError, match="only with a tfds"):
        DataConfig(dataset="digits", **extra)
