"""TinyImageNet's released folder: its splits and classes, and folders that are not as released."""

import io
import logging

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.data import tiny
from tfssl.data import DataConfig, decode_rgb, open_source, open_splits
from tfssl.settings import SettingsError

ALL = len(tiny.WNIDS) * tiny.PER_CLASS


@pytest.fixture
def folder(tmp_path):
    return tiny.write_tiny(tmp_path)


def config(folder, **settings):
    return DataConfig(dataset=f"tiny_imagenet:{folder}", **settings)


def shown(source):
    """All records by way of a graph."""
    dataset = tf.data.Dataset.from_tensor_slices(source.drawable).map(source.load)
    return [decode_rgb(contents).numpy() for contents in dataset]


def as_saved(split, number):
    stream = io.BytesIO()
    tiny.image(split, number).save(stream, "JPEG")
    return np.asarray(Image.open(stream))


def test_training_images_have_the_class_of_their_folder(folder):
    source = open_source(config(folder), "train")
    assert source.class_names == tiny.WNIDS and source.num_records == ALL
    assert source.name == f"tiny_imagenet:{folder}/train"
    # Files are ordered by name, classes by the list.
    places = [tiny.WNIDS.index(wnid) for wnid in sorted(tiny.WNIDS)]
    np.testing.assert_array_equal(source.labels, np.repeat(places, tiny.PER_CLASS))
    numbers = [tiny.PER_CLASS * p + n for p in places for n in range(tiny.PER_CLASS)]
    for found, number in zip(shown(source), numbers):
        np.testing.assert_array_equal(found, as_saved("train", number))


def test_validation_images_have_the_class_of_their_line(folder):
    source = open_source(config(folder), "val")
    assert source.class_names == tiny.WNIDS and source.num_records == ALL
    # By the bytes of their names: 0, 1, 10, 11, 2, ...
    numbers = sorted(range(ALL), key=str)
    np.testing.assert_array_equal(source.labels, [n % len(tiny.WNIDS) for n in numbers])
    for found, number in zip(shown(source), numbers):
        np.testing.assert_array_equal(found, as_saved("val", number))


def test_test_images_have_none(folder):
    source = open_source(config(folder), "test")
    assert (source.labels, source.class_names, source.num_records) == (None, None, tiny.TEST)
    for number, found in enumerate(shown(source)):
        np.testing.assert_array_equal(found, as_saved("test", number))


def test_what_has_labels_is_the_usual_test_split(folder):
    train, test = open_splits(config(folder))
    assert test.name.endswith("/val") and test.class_names == train.class_names
    assert open_splits(config(folder, test_split="test"))[1].labels is None
    assert open_splits(config(folder, test_split=""))[1] is None


def test_the_same_class_has_the_same_number_after_a_choice(folder, tmp_path):
    (tmp_path / "list.txt").write_text("n01443537\nn02124075\n")
    settings = config(folder, class_list=str(tmp_path / "list.txt"))
    train, val = open_splits(settings)
    assert train.class_names == val.class_names == ("n02124075", "n01443537")
    assert np.bincount(train.labels).tolist() == np.bincount(val.labels).tolist() == [4, 4]
    assert all("n04067472" not in path for path in train.paths)
    second = [path for path, label in zip(train.paths, train.labels) if label == 1]
    assert second and all(path.startswith("n01443537") for path in second)
    kept = [n for n in sorted(range(ALL), key=str) if n % 3 != 1]
    np.testing.assert_array_equal(val.labels, [(n % 3) // 2 for n in kept])
    with pytest.raises(SettingsError, match="which has none"):
        open_source(settings, "test")


def test_bad_files_keep_their_index_and_their_label(folder, caplog):
    (folder / "val" / "images" / "val_1.JPEG").write_bytes(b"gone")
    with caplog.at_level(logging.WARNING):
        source = open_source(config(folder), "val")
    assert source.num_records == ALL and 1 not in source.drawable
    assert len(source.drawable) == ALL - 1 and source.labels[1] == 1
    assert "val_1.JPEG is never drawn" in caplog.text
    with pytest.raises(SettingsError, match=f"1 of {ALL} files .*--max_bad_fraction"):
        open_source(config(folder, max_bad_fraction=0.01), "val")
    checked = config(folder, verify_images="header")
    assert len(open_source(checked, "val").drawable) == ALL - 1


def rewrite(path, change):
    path.write_text(change(path.read_text()))


def without_line(name):
    def change(text):
        kept = [line for line in text.splitlines(True) if not line.startswith(f"{name}\t")]
        return "".join(kept)

    return change


def damage(folder, kind):
    """Makes one thing of a released folder wrong."""
    lines, wnid = folder / "val" / "val_annotations.txt", tiny.WNIDS[1]
    own = folder / "train" / wnid
    if kind == "no list":
        (folder / "wnids.txt").unlink()
    elif kind == "empty list":
        (folder / "wnids.txt").write_text("\n")
    elif kind == "twice in the list":
        rewrite(folder / "wnids.txt", lambda text: f"{text}{wnid}\n")
    elif kind == "not in the list":
        rewrite(folder / "wnids.txt", lambda text: text.replace(f"{wnid}\n", ""))
    elif kind == "no folder":
        own.rename(folder / "elsewhere")
    elif kind == "no images":
        (own / "images").rename(folder / "elsewhere")
    elif kind == "no annotations":
        lines.unlink()
    elif kind == "no line":
        rewrite(lines, without_line("val_7.JPEG"))
    elif kind == "no file":
        (folder / "val" / "images" / "val_7.JPEG").unlink()
    elif kind == "unknown wnid":
        rewrite(lines, lambda text: text.replace(f"val_7.JPEG\t{wnid}", "val_7.JPEG\tn00000001"))
    elif kind == "half a line":
        rewrite(lines, lambda text: text + "val_12.JPEG\n")
    elif kind == "a line twice":
        rewrite(lines, lambda text: text + f"val_7.JPEG\t{wnid}\t0\t0\t1\t1\n")
    elif kind == "no validation":
        (folder / "val" / "images").rename(folder / "elsewhere")
    elif kind == "no test":
        (folder / "test" / "images").rename(folder / "elsewhere")


DAMAGES = {
    "no list": ("train", ["expected wnids.txt", "Received: no such file", "name the folder"]),
    "empty list": ("train", ["one class name a line", "Received: no class"]),
    "twice in the list": ("val", ["Received: n04067472 more than once"]),
    "not in the list": (
        "train",
        ["a folder for every class", "Received: n04067472, which the list does not have"],
    ),
    "no folder": ("train", ["a folder for every class", "Received: none of n04067472"]),
    "no images": ("train", ["files in <wnid>/images", "Received: none of n04067472"]),
    "no annotations": ("val", ["expected val_annotations.txt", "Received: no such file"]),
    "no line": ("val", ["a line of val_annotations.txt", "Received: no line for val_7.JPEG"]),
    "no file": ("val", ["a file for every line", "Received: no file for val_7.JPEG"]),
    "unknown wnid": ("val", ["a wnid of wnids.txt", "n00000001", "in line 5"]),
    "half a line": ("val", ["a file's name and a wnid", "Received: 'val_12.JPEG' in line 13"]),
    "a line twice": ("val", ["each file once", "val_7.JPEG a second time in line 13"]),
    "no validation": ("val", ["files in the folder images", "Received: none"]),
    "no test": ("test", ["files in the folder images", "Received: none"]),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_folder_that_is_not_as_released_is_one_sentence(folder, kind):
    split, words = DAMAGES[kind]
    open_source(config(folder), split)
    damage(folder, kind)
    with pytest.raises(SettingsError) as error:
        open_source(config(folder), split)
    message = str(error.value)
    assert message.startswith("dataset: expected ") and str(folder) in message
    assert all(word in message for word in words), message
    assert len(message) < 500


def test_many_names_are_cut_short(tmp_path):
    wnids = [f"n{number:08d}" for number in range(9)]
    folder = tiny.write_tiny(tmp_path, wnids)
    (folder / "val" / "val_annotations.txt").write_text("")
    with pytest.raises(SettingsError, match=r"no line for (val_\d+.JPEG, ){5}... \(36\)"):
        open_source(config(folder), "val")


@pytest.mark.parametrize("path", ["missing", ""])
def test_another_folder_is_named(tmp_path, folder, path):
    """The folder above, too, has no list."""
    with pytest.raises(SettingsError, match=f"wnids.txt.* in {tmp_path / path}, as TinyImageNet"):
        open_source(config(tmp_path / path), "train")


def test_another_split_is_refused(folder):
    with pytest.raises(SettingsError, match="expected one of train, val, test .*'validation'"):
        open_source(config(folder), "validation")
    with pytest.raises(SettingsError, match="only with a tfds"):
        config(folder, data_dir="/data")
