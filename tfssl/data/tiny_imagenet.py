"""`tiny_imagenet:<path>`: TinyImageNet as it is released, 200 classes of 64x64 pixels.

    wnids.txt                        the classes, one a line
    train/<wnid>/images/*.JPEG       by class
    val/images/*.JPEG                with val/val_annotations.txt: the class of every file
    test/images/*.JPEG               without labels

Boxes and `words.txt` are not read.
"""

import os
from typing import Optional, Sequence

import numpy as np

from tfssl.data.class_lists import choose_classes, read_names
from tfssl.data.image_files import ImageFiles, check_files, list_files, sub_folders
from tfssl.data.settings import DataConfig
from tfssl.data.source import NoSuchSplit
from tfssl.settings import SettingsError

_IMAGES = "images"
_ANNOTATIONS = "val_annotations.txt"
_NAMES_SHOWN = 5


def open_tiny_imagenet(config: DataConfig, split: str, *, path: str) -> ImageFiles:
    """Opens one split.

    Classes are wnids, in the order of `wnids.txt` in every split. Records are ordered by the bytes
    of their path. Files that are no readable images are dealt with as in a folder of images.

    Args:
        config: the data settings.
        split: `train`, `val`, or `test`, which has no labels.
        path: the released folder, tiny-imagenet-200.

    Returns:
        The source.

    Raises:
        SettingsError: another split; a folder that is not as released, whose files and lists
            disagree, or with too many bad files; a class list that does not fit.
    """
    folder = os.path.abspath(os.path.expanduser(path))
    wnids = _wnids(folder)
    readers = {"train": _of_folders, "val": _of_annotations, "test": _of_nothing}
    if split not in readers:
        raise NoSuchSplit(
            f"--train_split, --test_split: expected one of {', '.join(readers)} of "
            f"tiny_imagenet:{path}. Received: {split!r}."
        )
    root = os.path.join(folder, split)
    # Read before classes are chosen: what is wrong with the folder is wrong with any of them.
    wnid_of = readers[split](root, wnids)
    name = f"tiny_imagenet:{root}"
    chosen = choose_classes(config.class_list, None if split == "test" else wnids, where=name)
    paths = sorted(wnid_of, key=os.fsencode)
    labels = None
    if chosen is not None:
        number = {wnid: i for i, wnid in enumerate(chosen)}
        paths = [file for file in paths if wnid_of[file] in number]
        labels = np.array([number[wnid_of[file]] for file in paths], np.int64)
    bad_files = check_files(root, paths, config)
    return ImageFiles(name, root, paths, bad_files, labels=labels, class_names=chosen)


def _wnids(folder: str) -> tuple[str, ...]:
    """The classes, in the order of the list."""
    path = os.path.join(folder, "wnids.txt")
    if not os.path.isfile(path):
        raise _not_as_released(folder, "wnids.txt, the list of classes", "no such file")
    return read_names(path, setting="dataset")


def _of_folders(root: str, wnids: Sequence[str]) -> dict[str, str]:
    """Training images, relative to `root`, and their class."""
    found = set(sub_folders(root))
    if found != set(wnids):
        missing, unknown = sorted(set(wnids) - found), sorted(found - set(wnids))
        received = [f"none of {_some(missing)}"] if missing else []
        received += [f"{_some(unknown)}, which the list does not have"] if unknown else []
        raise _not_as_released(
            root, "a folder for every class of wnids.txt", " and ".join(received)
        )
    files = {wnid: list_files(root, os.path.join(wnid, _IMAGES)) for wnid in wnids}
    empty = [wnid for wnid in wnids if not files[wnid]]
    if empty:
        raise _not_as_released(root, f"files in <wnid>/{_IMAGES}", f"none of {_some(empty)}")
    return {file: wnid for wnid, own in files.items() for file in own}


def _of_annotations(root: str, wnids: Sequence[str]) -> dict[str, str]:
    """Validation images, relative to `root`, and their class."""
    files = _of_nothing(root, wnids)
    wnid_of = _annotations(root, set(wnids))
    images = {os.path.relpath(file, _IMAGES) for file in files}
    unlisted, lost = sorted(images - set(wnid_of)), sorted(set(wnid_of) - images)
    expected = f"a line of {_ANNOTATIONS} for every file in {_IMAGES}, and a file for every line"
    if unlisted:
        raise _not_as_released(root, expected, f"no line for {_some(unlisted)}")
    if lost:
        raise _not_as_released(root, expected, f"no file for {_some(lost)}")
    return {file: wnid_of[os.path.relpath(file, _IMAGES)] for file in files}


def _annotations(root: str, wnids: set[str]) -> dict[str, str]:
    """File name -> class, from lines that begin with both; boxes follow."""
    path = os.path.join(root, _ANNOTATIONS)
    if not os.path.isfile(path):
        raise _not_as_released(root, f"{_ANNOTATIONS}, the classes of the files", "no such file")
    wnid_of = {}
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            name, wnid, *_ = [*line.split(), ""]
            if wnid not in wnids or name in wnid_of:
                again = f"{name} a second time" if name in wnid_of else repr(line.strip())
                raise _not_as_released(
                    root,
                    f"lines of {_ANNOTATIONS} that begin with a file's name and a wnid of "
                    "wnids.txt, each file once",
                    f"{again} in line {number}",
                )
            wnid_of[name] = wnid
    return wnid_of


def _of_nothing(root: str, wnids: Sequence[str]) -> dict[str, Optional[str]]:
    """Images of a split in one folder, relative to `root`, of which no class is known."""
    del wnids
    files = list_files(root, _IMAGES)
    if not files:
        raise _not_as_released(root, f"files in the folder {_IMAGES}", "none")
    return dict.fromkeys(files)


def _some(names: Sequence[str]) -> str:
    """The first names of many."""
    more = f", ... ({len(names)})" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


def _not_as_released(folder: str, expected: str, received: str) -> SettingsError:
    """What to say of a folder that is another one, or not whole."""
    return SettingsError(
        f"dataset: expected {expected}, in {folder}, as TinyImageNet is released. Received: "
        f"{received}. Remedy: unpack tiny-imagenet-200.zip, and name the folder tiny-imagenet-200 "
        "itself."
    )
