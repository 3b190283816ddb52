"""The settings of the data room: which images, where they are, and which part of them."""

import dataclasses
from typing import Optional, Tuple

from tfssl.settings import Settings, SettingsError, setting

_PREFIXES = ("tfds", "folder", "tiny_imagenet", "moving_mnist")
_OF_FILES = ("folder", "tiny_imagenet")
# What the two views of a clip may have in common.
FACTORS = ("digit", "position", "background")
_OF_CLIPS = ("moving_shared", "moving_speed_ref", "moving_backgrounds")


@dataclasses.dataclass(frozen=True)
class DataConfig(Settings):
    """Which records a run trains on and is tested on."""

    dataset: str = setting(
        "digits",
        "Where the images come from: 'digits' (embedded, nothing to download), 'tfds:<name>' (a "
        "dataset of tensorflow-datasets, prepared under --data_dir; 'tfds:<name>@<feature>' where "
        "its records have several images, such as tfds:div2k@hr), 'folder:<path>' (image "
        "files, class sub-folders optional), 'tiny_imagenet:<path>' (the folder tiny-imagenet-200 "
        "as it is released) or 'moving_mnist:<backgrounds>' (clips of MNIST's digits, prepared by "
        "tensorflow-datasets, that move over images of one of the former).",
    )
    data_dir: Optional[str] = setting(
        None,
        "Folder with prepared tensorflow-datasets data. Default: the one of tensorflow-datasets "
        "($TFDS_DATA_DIR, or ~/tensorflow_datasets). Only with tfds: and moving_mnist:.",
    )
    download: bool = setting(
        False,
        "Download and prepare a dataset that is not there yet. Only with tfds: and moving_mnist:.",
    )
    train_split: str = setting(
        "train",
        "Split to train on: for tfds: a split or slice such as 'train[:90%]', for folder: a "
        "sub-folder; a folder without split sub-folders is one training split. tiny_imagenet: has "
        "train, val and test, the last without labels.",
    )
    test_split: Optional[str] = setting(
        None,
        "Split to evaluate on, named as --train_split is. Unset: 'test' where the data has one, "
        "and 'val' of tiny_imagenet:. Empty (--test_split=): none.",
    )
    class_list: Optional[str] = setting(
        None,
        "Keep only some classes: 'imagenet100', or a text file with one class name a line "
        "('#' starts a comment).",
    )
    labelled_records: Optional[int] = setting(
        None,
        "Training records whose labels a method may learn from, about as many of every class, "
        "chosen by the seed. Unset: all that have one. Only for methods that learn from labels.",
        low=1,
    )
    max_bad_fraction: float = setting(
        0.1,
        "Largest fraction of files that may be corrupt or no images before it is an error. "
        "Those files are named in the log and never drawn. Only with folder: and tiny_imagenet:.",
        low=0.0,
        below=1.0,
    )
    verify_images: str = setting(
        "auto",
        "How files are checked at the start: 'header' reads their first and last bytes, which "
        "finds what is no image and what is cut short; 'full' also decodes every image; 'auto' is "
        "'full' up to 2,000 files. Only with folder: and tiny_imagenet:.",
        choices=("auto", "header", "full"),
    )
    moving_shared: str = setting(
        ",".join(FACTORS),
        "What the second view, a single frame, has in common with frame 20 of the clip: some of "
        "digit, position and background, separated by commas; the others are drawn anew. Only with "
        "moving_mnist:.",
    )
    moving_speed_ref: float = setting(
        64.0,
        "Pixels of which a digit moves a tenth in every frame: 64 is the side of the canvas, 36 "
        "the way that a digit has on it. Only with moving_mnist:.",
        low=0.0,
    )
    moving_backgrounds: int = setting(
        8000,
        "Use so many background images of a split, spread evenly over it; 27 kB each are kept in "
        "memory. Only with moving_mnist:.",
        low=1,
    )

    @property
    def usual_test_split(self) -> str:
        """The split to evaluate on where none is named; TinyImageNet's test has no labels."""
        return "val" if self.dataset.startswith("tiny_imagenet:") else "test"

    @property
    def gives_clips(self) -> bool:
        """Whether a record is a clip beside a single frame, and not an image."""
        return self.dataset.startswith("moving_mnist:")

    @property
    def backgrounds(self) -> "DataConfig":
        """The settings of the images behind the moving digits; raises SettingsError."""
        dataset = self.dataset.partition(":")[2]
        try:
            of_tfds = dataset.startswith("tfds:")
            return dataclasses.replace(
                self,
                dataset=dataset,
                data_dir=self.data_dir if of_tfds else None,
                download=self.download and of_tfds,
                **{f.name: f.default for f in dataclasses.fields(self) if f.name in _OF_CLIPS},
            )
        except SettingsError as error:
            raise SettingsError(f"backgrounds of {self.dataset}: {error}") from error

    def shared_factors(self) -> Tuple[str, ...]:
        """The factors of `moving_shared`, in the order of `FACTORS`; raises SettingsError."""
        words = [word.strip() for word in self.moving_shared.split(",")]
        if len(set(words)) < len(words) or not set(words) <= set(FACTORS):
            raise SettingsError(
                f"moving_shared: expected some of {', '.join(FACTORS)}, each once, separated by "
                f"commas. Received: {self.moving_shared!r}.",
                "moving_shared",
            )
        return tuple(factor for factor in FACTORS if factor in words)

    def check(self) -> None:
        """Raises SettingsError on an unknown dataset or on flags the dataset cannot use."""
        prefix, separator, rest = self.dataset.partition(":")
        known = self.dataset == "digits" or (prefix in _PREFIXES and separator and rest)
        if not known:
            raise SettingsError(
                "dataset: expected 'digits', 'tfds:<name>', 'folder:<path>', "
                "'tiny_imagenet:<path>' or 'moving_mnist:<backgrounds>'. Received: "
                f"{self.dataset!r}."
            )
        if self.gives_clips:
            self._check_clips()
            return
        self.refuse("only moving_mnist: has clips", *_OF_CLIPS)
        if prefix != "tfds" and (self.download or self.data_dir is not None):
            raise SettingsError(
                f"data_dir and download: expected only with a tfds: dataset. Received: "
                f"dataset={self.dataset!r}, data_dir={self.data_dir!r}, download={self.download}."
            )
        for name, default in (("max_bad_fraction", 0.1), ("verify_images", "auto")):
            if prefix not in _OF_FILES and getattr(self, name) != default:
                raise SettingsError(
                    f"{name}: expected only with a folder: or tiny_imagenet: dataset. Received: "
                    f"dataset={self.dataset!r}, {name}={getattr(self, name)}.",
                    name,
                )
        if not self.train_split.strip():
            raise SettingsError(
                f"train_split: expected the name of a split. Received: {self.train_split!r}."
            )

    def _check_clips(self) -> None:
        """What a dataset of clips refuses, its backgrounds included."""
        self.shared_factors()
        self.refuse("all digits move, over images of all classes", "class_list")
        if self.backgrounds.gives_clips:
            raise SettingsError(
                "dataset: expected images behind the digits, such as moving_mnist:tfds:stl10. "
                f"Received: {self.dataset!r}."
            )
