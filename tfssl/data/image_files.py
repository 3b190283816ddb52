"""Image files on disk: which there are, which of them can be read, and a source of them."""

import concurrent.futures
import logging
import os
from typing import Sequence

import numpy as np
import tensorflow as tf

from tfssl.data.image_bytes import as_jpeg_or_png
from tfssl.data.image_check import why_bad
from tfssl.data.settings import DataConfig
from tfssl.data.source import Source
from tfssl.settings import SettingsError

_log = logging.getLogger(__name__)
_CHECK_THREADS = 16
_NAMES_SHOWN = 5
_AUTO_FULL_FILES = 2000  # Decoding these takes some seconds.


class ImageFiles(Source):
    """Encoded image files, read when they are drawn.

    Attributes:
        paths: the files, relative to `root`, in index order.
        bad_files: relative path -> reason, for the files that are never drawn.
    """

    def __init__(
        self, name: str, root: str, paths: Sequence[str], bad_files: dict[str, str], **properties
    ):
        """Holds the list of files.

        Args:
            name: name for logs.
            root: the folder.
            paths: files relative to it; the position is the record's index.
            bad_files: relative path -> reason.
            **properties: `labels` and `class_names` of `Source`.
        """
        drawable = np.array([i for i, path in enumerate(paths) if path not in bad_files], np.int64)
        super().__init__(name, len(paths), drawable=drawable, **properties)
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


def sub_folders(folder: str) -> list[str]:
    """Names of the visible sub-folders, ordered by their bytes; none where there is no folder."""
    if not os.path.isdir(folder):
        return []
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
    return sorted(names, key=os.fsencode)


def list_files(root: str, below: str = "") -> list[str]:
    """Visible files under `root/below`, relative to `root`, ordered by the bytes of their path."""
    return sorted(_files_below(root, below, ()), key=os.fsencode)


def _files_below(root: str, below: str, above: tuple[str, ...]) -> list[str]:
    here = os.path.realpath(os.path.join(root, below))
    if here in above or not os.path.isdir(here):  # A link to a folder above would never end.
        return []
    files = []
    with os.scandir(here) as entries:
        for entry in entries:
            name = os.path.join(below, entry.name)
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                files += _files_below(root, name, above + (here,))
            else:
                files.append(name)
    return files


def check_files(root: str, paths: Sequence[str], config: DataConfig) -> dict[str, str]:
    """Finds the files that cannot be used as images, and names them in the log.

    Args:
        root: the folder.
        paths: files relative to it.
        config: the data settings, of which `verify_images` and `max_bad_fraction` are read.

    Returns:
        Relative path -> reason, for the bad files.

    Raises:
        SettingsError: there are too many of them.
    """
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
