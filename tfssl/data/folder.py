"""`folder:<path>`: image files, in class sub-folders or not."""

import logging
import os
from typing import Optional, Sequence

import numpy as np

from tfssl.data.class_lists import choose_classes
from tfssl.data.image_files import ImageFiles, check_files, list_files, sub_folders
from tfssl.data.settings import DataConfig
from tfssl.data.source import NoSuchSplit
from tfssl.settings import SettingsError

_log = logging.getLogger(__name__)


def open_folder(config: DataConfig, split: str, *, path: str) -> ImageFiles:
    """Opens a folder of images.

    Sub-folders named by `--train_split` and `--test_split` are splits; without either, the folder
    itself is the training split. The sub-folders of a split are its classes, numbered in the order
    of their names over both splits; images directly in the folder mean there are no classes.
    Every file that is not hidden is a record, ordered by the bytes of its relative path. Files
    that are no readable JPEG, PNG, BMP or GIF are logged and never drawn. EXIF rotation is
    ignored, as everywhere in TensorFlow.

    Args:
        config: the data settings.
        split: a sub-folder, `.` for the folder itself, or `config.train_split`.
        path: the folder.

    Returns:
        The source; `labels` is None where there are no classes.

    Raises:
        SettingsError: no such folder or split, nothing to draw, unknown classes in the class list,
            or more bad files than `max_bad_fraction`.
    """
    folder = os.path.abspath(os.path.expanduser(path))
    if not os.path.isdir(folder):
        raise SettingsError(
            f"dataset: expected a folder of images. Received: folder:{path}, and there is no "
            f"folder {folder}."
        )
    root = _split_root(config, split, folder)
    known = _class_names(config, folder, root)
    classes = choose_classes(config.class_list, known or None, where=f"folder {root}")
    if config.class_list is None:
        paths = list_files(root)
    else:
        paths = [file for name in classes for file in list_files(root, name)]
        paths.sort(key=os.fsencode)
    if not paths:
        raise SettingsError(
            f"dataset: expected images in {root}. Received: no file at all. Remedy: name a folder "
            "with JPEG, PNG, BMP or GIF files, --dataset=folder:<path>."
        )
    bad_files = check_files(root, paths, config)
    labels = _labels(paths, bad_files, classes)
    if labels is None:
        classes = None
    name = f"folder:{root}"
    return ImageFiles(name, root, paths, bad_files, labels=labels, class_names=classes)


def _split_root(config: DataConfig, split: str, folder: str) -> str:
    """The folder of a split, see `open_folder`."""
    if os.path.isdir(os.path.join(folder, split)):
        return os.path.normpath(os.path.join(folder, split))
    if split == config.train_split and not any(
        os.path.isdir(os.path.join(folder, name)) for name in _named_splits(config)
    ):
        return folder
    found = sub_folders(folder)
    shown = ", ".join(found[:10]) + (", ..." if len(found) > 10 else "") or "no sub-folder"
    raise NoSuchSplit(
        f"--train_split, --test_split: expected a sub-folder '{split}' of {folder} for that split. "
        f"Received: {shown}."
    )


def _named_splits(config: DataConfig) -> tuple[str, str]:
    """Sub-folders that are splits where they exist."""
    return config.train_split, config.test_split or "test"


def _class_names(config: DataConfig, folder: str, root: str) -> tuple[str, ...]:
    """Class folders of all splits: a class that is missing in one keeps its number in both."""
    roots = {root}
    if root != folder:
        roots |= {os.path.join(folder, name) for name in _named_splits(config)}
    names = {name for each in roots for name in sub_folders(each)}
    return tuple(sorted(names, key=os.fsencode))


def _labels(
    paths: Sequence[str], bad_files: dict[str, str], classes: Optional[Sequence[str]]
) -> Optional[np.ndarray]:
    """`[N]` class numbers, -1 for files outside the classes; None without classes."""
    number = {name: i for i, name in enumerate(classes or ())}
    labels = np.array([number.get(_first_part(path), -1) for path in paths], np.int64)
    loose = [path for path, label in zip(paths, labels) if label < 0 and path not in bad_files]
    if loose and len(loose) == len(paths) - len(bad_files):
        return None
    if loose:
        _log.warning(
            "Nothing is judged on images without a label: %d of them, %s for one, lie outside the "
            "class folders.",
            *(len(loose), loose[0]),
        )
    return labels


def _first_part(path: str) -> Optional[str]:
    """The class folder of a relative path, None for a file directly in the root."""
    head, separator, _ = path.partition(os.sep)
    return head if separator else None
