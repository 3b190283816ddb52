"""The settings of the data room: which images, where they are, and which part of them."""

import dataclasses
from typing import Optional

from tfssl.settings import Settings, SettingsError, setting

_PREFIXES = ("tfds", "folder")


@dataclasses.dataclass(frozen=True)
class DataConfig(Settings):
    """Which records a run trains on and is tested on."""

    dataset: str = setting(
        "digits",
        "Where the images come from: 'digits' (embedded, nothing to download), 'tfds:<name>' (a "
        "dataset of tensorflow-datasets, prepared under --data_dir) or 'folder:<path>' (image "
        "files, class sub-folders optional).",
    )
    data_dir: Optional[str] = setting(
        None,
        "Folder with prepared tensorflow-datasets data. Default: the one of tensorflow-datasets "
        "($TFDS_DATA_DIR, or ~/tensorflow_datasets). Only with tfds:.",
    )
    download: bool = setting(
        False, "Download and prepare a dataset that is not there yet. Only with tfds:."
    )
    train_split: str = setting(
        "train",
        "Split to train on: for tfds: a split or slice such as 'train[:90%]', for folder: a "
        "sub-folder; a folder without split sub-folders is one training split.",
    )
    test_split: Optional[str] = setting(
        None,
        "Split to evaluate on, named as --train_split is. Unset: 'test' where the data has one. "
        "Empty (--test_split=): none.",
    )
    class_list: Optional[str] = setting(
        None,
        "Keep only some classes: 'imagenet100', or a text file with one class name a line "
        "('#' starts a comment).",
    )
    max_bad_fraction: float = setting(
        0.1,
        "Largest fraction of files that may be corrupt or no images before it is an error. "
        "Those files are named in the log and never drawn. Only with folder:.",
        low=0.0,
        below=1.0,
    )
    verify_images: str = setting(
        "auto",
        "How files are checked at the start: 'header' reads their first and last bytes, which "
        "finds what is no image and what is cut short; 'full' also decodes every image; 'auto' is "
        "'full' up to 2,000 files. Only with folder:.",
        choices=("auto", "header", "full"),
    )

    def check(self) -> None:
        """Raises SettingsError on an unknown dataset or on flags the dataset cannot use."""
        prefix, separator, rest = self.dataset.partition(":")
        known = self.dataset == "digits" or (prefix in _PREFIXES and separator and rest)
        if not known:
            raise SettingsError(
                "dataset: expected 'digits', 'tfds:<name>' or 'folder:<path>'. "
                f"Received: {self.dataset!r}."
            )
        if prefix != "tfds" and (self.download or self.data_dir is not None):
            raise SettingsError(
                f"data_dir and download: expected only with a tfds: dataset. Received: "
                f"dataset={self.dataset!r}, data_dir={self.data_dir!r}, download={self.download}."
            )
        for name, default in (("max_bad_fraction", 0.1), ("verify_images", "auto")):
            if prefix != "folder" and getattr(self, name) != default:
                raise SettingsError(
                    f"{name}: expected only with a folder: dataset. Received: "
                    f"dataset={self.dataset!r}, {name}={getattr(self, name)}.",
                    name,
                )
        if not self.train_split.strip():
            raise SettingsError(
                f"train_split: expected the name of a split. Received: {self.train_split!r}."
            )
