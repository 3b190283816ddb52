"""What a source of records is, and how one is opened by name."""

import hashlib
from typing import Any, Callable, ClassVar, Dict, Optional, Sequence, Union

import numpy as np
import tensorflow as tf

from tfssl.data.settings import DataConfig
from tfssl.settings import SettingsError

Labels = Union[None, np.ndarray, Callable[[], Optional[np.ndarray]]]


class NoSuchSplit(SettingsError):
    """The data has no split of that name."""


class Source:
    """A numbered set of images.

    A record's index is its place in the source, 0 to `num_records - 1`, and never changes: memory
    banks have one row a record. Records that cannot be read keep their index and are left out of
    `drawable`.

    Attributes:
        name: what the source is called in logs and results.
        num_records: N, the number of records, drawable or not.
        drawable: `[M]` int64, ascending, the indices that may be drawn.
        class_names: names in the order of the label values, or None.
        image_shape: `(height, width, 3)` when every record has that size, else None.
        draws: whether what a record shows is drawn; then `load_batch` takes keys beside indices.
    """

    draws: ClassVar[bool] = False

    def __init__(
        self,
        name: str,
        num_records: int,
        *,
        drawable: Optional[np.ndarray] = None,
        labels: Labels = None,
        class_names: Optional[Sequence[str]] = None,
        image_shape: Optional[tuple[int, int, int]] = None,
    ):
        """Describes the records.

        Args:
            name: name for logs.
            num_records: N >= 1.
            drawable: `[M]` integer, or None for all.
            labels: `[N]` integer, -1 where one is not known, None, or a function that reads them
                when they are first asked for (reading every record of a large dataset takes
                minutes).
            class_names: names in the order of the label values.
            image_shape: `(height, width, 3)`, or None where sizes differ.

        Raises:
            ValueError: nothing to draw, or shapes that do not fit.
        """
        drawable = np.arange(num_records) if drawable is None else np.asarray(drawable)
        if not drawable.size:
            raise ValueError(f"expected at least one image in {name}. Received: none.")
        self.name = name
        self.num_records = int(num_records)
        self.drawable = drawable.astype(np.int64)
        self.class_names = None if class_names is None else tuple(class_names)
        self.image_shape = image_shape
        self._labels = labels

    @property
    def may_have_labels(self) -> bool:
        """False where some are missing; answered without reading any, which can take minutes."""
        return self._labels is not None if callable(self._labels) else self.labels is not None

    def fingerprint(self) -> Dict[str, Any]:
        """What must stay the same while a run goes on: which record has which index."""
        return {
            "num_records": self.num_records,
            "drawable": len(self.drawable),
            "sha256": hashlib.sha256(self.drawable.tobytes() + self._order()).hexdigest(),
        }

    def _order(self) -> bytes:
        """More bytes for the fingerprint: what tells records apart beside their number."""
        return b""

    @property
    def labels(self) -> Optional[np.ndarray]:
        """`[N]` int64 class numbers, or None where the records, or some of them, have none."""
        known = self.known_labels
        return None if known is None or (known[self.drawable] < 0).any() else known

    @property
    def known_labels(self) -> Optional[np.ndarray]:
        """`[N]` int64 class numbers, -1 where one is not known, or None where none is."""
        if callable(self._labels):
            self._labels = self._labels()
        if self._labels is not None:
            self._labels = np.asarray(self._labels, np.int64)
            if self._labels.shape != (self.num_records,):
                raise ValueError(
                    f"expected one label a record of {self.name}. Received: "
                    f"labels.shape={self._labels.shape}, num_records={self.num_records}."
                )
            if (self._labels[self.drawable] < 0).all():
                return None
        return self._labels

    @property
    def targets(self) -> Optional[np.ndarray]:
        """`[N, n]` float32 numbers that a regression is to tell of each record; None: none."""
        return None

    def still(self) -> "Source":
        """The records as single images, for evaluation: this source, where they are that."""
        return self

    def read_out(self, name: str) -> "Source":
        """`still`, with other labels or targets than the source's own, by name.

        Raises:
            SettingsError: the records have nothing of that name.
        """
        raise SettingsError(
            f"readout: expected none, because records of {self.name} have nothing but their "
            f"label. Received: {name}. Remedy: drop it, or a dataset moving_mnist:<backgrounds>.",
            "readout",
        )

    def load(self, index: tf.Tensor) -> tf.Tensor:
        """Reads one record, in eager or graph code.

        Args:
            index: scalar int64, a drawable index.

        Returns:
            A scalar string with an encoded JPEG or PNG, or `[height, width, 3]` uint8 pixels.
        """
        raise NotImplementedError(f"{type(self).__name__}.load")

    def load_batch(self, indices: tf.Tensor) -> tf.Tensor:
        """Reads several records at once; sources with an `image_shape` have it.

        Args:
            indices: `[batch]` int64, drawable indices.

        Returns:
            `[batch, height, width, 3]` uint8 pixels.
        """
        raise NotImplementedError(f"{type(self).__name__}.load_batch")


class PixelSource(Source):
    """Records of one size held in memory as pixels; whole batches are one gather."""

    def __init__(self, name: str, pixels: Union[np.ndarray, tf.Tensor], **properties):
        """Holds the pixels.

        Args:
            name: name for logs.
            pixels: `[N, height, width, 3]` uint8.
            **properties: `drawable`, `labels` and `class_names` of `Source`.
        """
        # Outside any graph and on the host: tf.data captures the tensor instead of copying it.
        with tf.init_scope(), tf.device("CPU:0"):
            self._pixels = tf.convert_to_tensor(pixels, tf.uint8)
        shape = tuple(self._pixels.shape)
        super().__init__(name, shape[0], image_shape=shape[1:], **properties)

    def load(self, index: tf.Tensor) -> tf.Tensor:
        """`[height, width, 3]` uint8 pixels of one record."""
        return tf.gather(self._pixels, index)

    def load_batch(self, indices: tf.Tensor) -> tf.Tensor:
        """`[batch, height, width, 3]` uint8 pixels of the records `indices` `[batch]` int64."""
        return tf.gather(self._pixels, indices)


def open_source(config: DataConfig, split: str) -> Source:
    """Opens one split of the configured dataset.

    Args:
        config: the data settings.
        split: usually `config.train_split` or `config.test_split`.

    Returns:
        The source, ready to be read.

    Raises:
        SettingsError: the dataset, the split or the class list does not exist or does not fit; one
            sentence that says what was looked for.
    """
    prefix, _, rest = config.dataset.partition(":")
    # Imported on use: scikit-learn and tensorflow-datasets each take a second to import.
    if prefix == "digits":
        from tfssl.data import digits

        return digits.open_digits(config, split)
    if prefix == "moving_mnist":
        from tfssl.data import moving_mnist

        return moving_mnist.open_moving_mnist(config, split)
    if prefix == "tfds":
        from tfssl.data import tfds_source

        return tfds_source.open_tfds(config, split, name=rest)
    if prefix == "tiny_imagenet":
        from tfssl.data import tiny_imagenet

        return tiny_imagenet.open_tiny_imagenet(config, split, path=rest)
    from tfssl.data import folder

    return folder.open_folder(config, split, path=rest)
