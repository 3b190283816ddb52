"""`folder:<path>`: image files, in class sub-folders or not."""

import concurrent.futures
import logging
import os
from typing import Optional, Sequence

import numpy as np
import tensorflow as tf

from tfssl.data.class_lists import choose_classes
from tfssl.data.image_bytes import as_jpeg_or_png
from tfssl.data.image_check import why_bad
from tfssl.data.settings import DataConfig
from tfssl.data.source import NoSuchSplit, Source
from tfssl.settings import SettingsError

_log = logging.getLogger(__name__)
_CHECK_THREADS = 16
_NAMES_SHOWN = 5
_AUTO_FULL_FILES = 2000  # Decoding these takes some seconds.


class FolderSource(Source):
    """Encoded image files, read when they are drawn.

    Attributes:
        paths: the files, relative to `root`, in index order.
        bad_files: relative path -> reason, for the files that are never drawn.
    """

    def __init__(self, root: str, paths: Sequence[str], bad_files: dict[str, str], **properties):
        """Holds the list of files.

        Args:
            root: the folder.
            paths: files relative to it; the position is the record's index.
            bad_files: relative path -> reason.
            **properties: `labels` and `class_names` of `Source`.
        """
        drawable = np.array([i for i, path in enumerate(paths) if path not in bad_files], np.int64)
        super().__init__(f"folder:{root}", len(paths), drawable=drawable, **properties)
        self.root = root
        self.paths = tuple(paths)
        self.bad_files = dict(bad_files)
        # Bytes, so that names which are no valid UTF-8 work too.
        names = [os.fsencode(os.path.join(root, path)) for path in paths]
        with tf.init_scope(), tf.device("CPU:0"):
            self._files = tf.constant(names)

    def _order(self) -> bytes:
        return b"\0".join(os.fsencode(path) for path in self.paths)

    def load(self, index: tf.Tensor) -> tf.Tensor:
        """Scalar string: the file as it is (JPEG, PNG), or re-encoded as PNG (BMP, GIF)."""
        return as_jpeg_or_png(tf.io.read_file(tf.gather(self._files, index)))


def open_folder(config: DataConfig, split: str, *, path: str) -> FolderSource:
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
        paths = _list_files(root)
    else:
        paths = [file for name in classes for file in _list_files(root, name)]
        paths.sort(key=os.fsencode)
    if not paths:
        raise SettingsError(
            f"dataset: expected images in {root}. Received: no file at all. Remedy: name a folder "
            "with JPEG, PNG, BMP or GIF files, --dataset=folder:<path>."
        )
    bad_files = _check_files(root, paths, config)
    labels = _labels(paths, bad_files, classes)
    if labels is None:
        classes = None
    return FolderSource(root, paths, bad_files, labels=labels, class_names=classes)


def _split_root(config: DataConfig, split: str, folder: str) -> str:
    """The folder of a split, see `open_folder`."""
    if os.path.isdir(os.path.join(folder, split)):
        return os.path.normpath(os.path.join(folder, split))
    if split == config.train_split and not any(
        os.path.isdir(os.path.join(folder, name)) for name in _named_splits(config)
    ):
        return folder
    found = _sub_folders(folder)
    shown = ", ".join(found[:10]) + (", ..." if len(found) > 10 else "") or "no sub-folder"
    raise NoSuchSplit(
        f"--train_split, --test_split: expected a sub-folder '{split}' of {folder} for that split. "
        f"Received: {shown}."
    )


def _named_splits(config: DataConfig) -> tuple[str, str]:
    """Sub-folders that are splits where they exist."""
    return config.train_split, config.test_split or "test"


def _sub_folders(folder: str) -> list[str]:
    """Names of the visible sub-folders, ordered by their bytes; none where there is no folder."""
    if not os.path.isdir(folder):
        return []
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
    return sorted(names, key=os.fsencode)


def _class_names(config: DataConfig, folder: str, root: str) -> tuple[str, ...]:
    """Class folders of all splits: a class that is missing in one keeps its number in both."""
    roots = {root}
    if root != folder:
        roots |= {os.path.join(folder, name) for name in _named_splits(config)}
    names = {name for each in roots for name in _sub_folders(each)}
    return tuple(sorted(names, key=os.fsencode))


def _list_files(root: str, below: str = "", _above: tuple[str, ...] = ()) -> list[str]:
    """Visible files under `root/below`, relative to `root`, ordered by the bytes of their path."""
    here = os.path.realpath(os.path.join(root, below))
    if here in _above or not os.path.isdir(here):  # A link to a folder above would never end.
        return []
    files = []
    with os.scandir(here) as entries:
        for entry in entries:
            name = os.path.join(below, entry.name)
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                files += _list_files(root, name, _above + (here,))
            else:
                files.append(name)
    return files if _above else sorted(files, key=os.fsencode)


def _check_files(root: str, paths: Sequence[str], config: DataConfig) -> dict[str, str]:
    """Relative path -> reason of the bad files; raises when there are too many of them."""
    verify = config.verify_images
    if verify == "auto":
        verify = "full" if len(paths) <= _AUTO_FULL_FILES else "header"
    with concurrent.futures.ThreadPoolExecutor(_CHECK_THREADS) as pool:
        full_paths = (os.path.join(root, path) for path in paths)
        reasons = list(pool.map(lambda path: why_bad(path, verify), full_paths))
    bad_files = {path: reason for path, reason in zip(paths, reasons) if reason is not None}
    if not bad_files:
        return bad_files
    for path, reason in bad_files.items():
        _log.warning("%s is never drawn: %s.", os.path.join(root, path), reason)
    share = len(bad_files) / len(paths)
    count = f"{len(bad_files)} of {len(paths)} files ({share:.1%}) in {root}"
    _log.warning("%s are no readable images.", count)
    if len(bad_files) == len(paths) or share > config.max_bad_fraction:
        shown = [f"{path} ({reason})" for path, reason in list(bad_files.items())[:_NAMES_SHOWN]]
        more = ", ..." if len(bad_files) > _NAMES_SHOWN else ""
        raise SettingsError(
            f"dataset: expected at most {config.max_bad_fraction:.1%} unreadable images. Received: "
            f"{count}: "
            f"{', '.join(shown)}{more}. Remove them or raise --max_bad_fraction."
        )
    return bad_files


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
