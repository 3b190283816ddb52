"""`tfds:<name>`: datasets prepared by tensorflow-datasets, read by record number.

The prepared TFRecord files are read directly, in the order of the files: that gives every record
the same number on every machine and in every version, which the library's own readers, made for
streaming, do not promise. Nothing touches the network unless a download is asked for.
"""

import functools
import logging
import os
from typing import Any, Optional

import numpy as np
import tensorflow as tf

from tfssl.data.class_lists import choose_classes, keep_classes
from tfssl.data.image_bytes import as_jpeg_or_png, decode_rgb
from tfssl.data.settings import DataConfig
from tfssl.data.source import NoSuchSplit, PixelSource, Source
from tfssl.data.tfrecords import FileRange, read_all, read_at, scan_offsets
from tfssl.settings import SettingsError

_log = logging.getLogger(__name__)
IN_MEMORY_BYTES = 1 << 30  # Splits whose files are smaller are read once and kept.
_PIXELS_SIDE = 64  # Images of one known size up to this side are kept decoded.
_PARSE_BATCH = 1024


class EncodedSource(Source):
    """Encoded images held in memory."""

    def __init__(self, name: str, images: tf.Tensor, **properties):
        """Holds `images` `[N]` string; `properties` are `labels` and `class_names` of `Source`."""
        super().__init__(name, int(images.shape[0]), **properties)
        self._images = images

    def load(self, index: tf.Tensor) -> tf.Tensor:
        """Scalar string, one encoded JPEG or PNG."""
        return as_jpeg_or_png(tf.gather(self._images, index))


class RecordFileSource(Source):
    """Encoded images read from TFRecord files one by one, for datasets larger than memory."""

    def __init__(
        self, name: str, files: list[str], places: np.ndarray, image_key: str, **properties
    ):
        """Holds where each record is.

        Args:
            name: name for logs.
            files: paths of TFRecord files.
            places: `[N, 2]` int64: number of the file, and byte offset in it.
            image_key: feature with the encoded image.
            **properties: `labels` and `class_names` of `Source`.
        """
        super().__init__(name, len(places), **properties)
        self._image_key = image_key
        with tf.init_scope(), tf.device("CPU:0"):
            self._files, self._places = tf.constant(files), tf.constant(places, tf.int64)

    def load(self, index: tf.Tensor) -> tf.Tensor:
        """Scalar string, one encoded JPEG or PNG."""
        place = tf.gather(self._places, index)
        record = read_at(tf.gather(self._files, place[0]), place[1])
        features = {self._image_key: tf.io.FixedLenFeature([], tf.string)}
        return as_jpeg_or_png(tf.io.parse_single_example(record, features)[self._image_key])


def open_tfds(
    config: DataConfig, split: str, *, name: str, in_memory_bytes: int = IN_MEMORY_BYTES
) -> Source:
    """Opens a split of a prepared dataset.

    Args:
        config: the data settings.
        split: a split or slice, such as `train`, `train[:90%]` or `train+test`; a record's index
            is its place in it (after `class_list`, if any).
        name: `<dataset>`, `<dataset>/<config>` or `<dataset>:<version>`, and behind it
            `@<feature>` where records have several images and none of them is called "image".
        in_memory_bytes: splits in smaller files are kept in memory, in pixels if the images are
            tiny and of one size.

    Returns:
        The source. Where the files are not kept in memory, the labels are read when first asked
        for.

    Raises:
        SettingsError: not prepared, no such split, no image feature or several without a choice,
            an unsupported file format, or missing or truncated files.
    """
    prepared, at, chosen_image = name.partition("@")
    builder = _find_builder(config, prepared)
    where = f"tfds:{name}/{split}"
    image_key = _image_key(builder, prepared, chosen_image if at else None)
    label_key = _label_key(builder)
    ranges = _file_ranges(builder, split)
    places, size = _locate(ranges, where)
    in_memory = size <= in_memory_bytes
    names, labels = _class_names(builder, label_key), None
    if label_key is not None:
        labels = functools.partial(_read_labels, ranges, label_key, where)
        if in_memory or config.class_list is not None:
            labels = labels()
            if config.class_list is not None and (labels < 0).any():
                labels = None
    kept = np.arange(len(places))
    if config.class_list is not None:
        chosen = choose_classes(config.class_list, None if labels is None else names, where=where)
        kept, labels = keep_classes(labels, names, chosen)
        names = chosen
    if not kept.size:
        raise SettingsError(f"expected records in {where}. Received: none.")
    properties = {"labels": labels, "class_names": None if labels is None else names}
    if not in_memory:
        files = [piece.path for piece in ranges]
        return RecordFileSource(where, files, places[kept], image_key, **properties)
    images = tf.gather(_read_feature(ranges, image_key, tf.string), kept)
    return _in_memory(where, images, builder.info.features[image_key].shape, properties)


def _locate(ranges: list[FileRange], where: str) -> tuple[np.ndarray, int]:
    """Every record's number of range and byte offset `[N, 2]`, and the bytes of all the files."""
    try:
        offsets = scan_offsets(ranges)
        size = sum(os.path.getsize(path) for path in {piece.path for piece in ranges})
    except OSError as error:
        raise SettingsError(f"split: {where} is not complete on disk: {error}") from error
    numbers = np.repeat(np.arange(len(ranges)), [len(each) for each in offsets])
    return np.stack([numbers, np.concatenate([*offsets, np.empty(0, np.int64)])], axis=1).astype(
        np.int64
    ), size


def _in_memory(
    where: str, images: tf.Tensor, shape: tuple[Optional[int], ...], properties: dict[str, Any]
) -> Source:
    """The source for encoded `images` `[N]` of a nominal shape, decoded if that is small."""
    if shape[0] and shape[1] and max(shape[:2]) <= _PIXELS_SIDE:
        return PixelSource(where, _decode_all(images, shape[:2]), **properties)
    return EncodedSource(where, images, **properties)


def _find_builder(config: DataConfig, name: str) -> Any:
    """The builder of a prepared dataset; prepares it when a download is allowed."""
    import tensorflow_datasets as tfds

    data_dir = None if config.data_dir is None else os.path.expanduser(config.data_dir)
    try:
        return tfds.core.read_only_builder.builder_from_files(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        if not config.download:
            place = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
            raise SettingsError(
                f"dataset: expected '{name}' to be prepared by tensorflow-datasets under {place}. "
                "Received: no such folder. Name the folder that has it with --data_dir, or add "
                "--download."
            ) from error
    return _download(name, data_dir)


def _download(name: str, data_dir: Optional[str]) -> Any:
    """Downloads and prepares a dataset from its original place."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
        settings = tfds.download.DownloadConfig(try_download_gcs=False)
        builder.download_and_prepare(download_config=settings)
        return builder
    # Unknown names, the network, the disk, manual downloads: each has exceptions of its own.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SettingsError(
            f"dataset: expected tensorflow-datasets to download '{name}'. Received: {reason}"
        ) from error


def _image_key(builder: Any, name: str, chosen: Optional[str]) -> str:
    """Key of the image: the chosen one, else the only one, else the one called "image"."""
    import tensorflow_datasets as tfds

    features = dict(builder.info.features.items())
    images = sorted(key for key, f in features.items() if isinstance(f, tfds.features.Image))
    if not images:
        raise SettingsError(
            f"dataset: expected a feature that is an image in tfds:{name}. Received: none among "
            f"{', '.join(sorted(features))}."
        )
    if chosen is not None:
        if chosen not in images:
            raise SettingsError(
                f"dataset: expected an image of tfds:{name} behind the @, one of "
                f"{', '.join(images)}. Received: {chosen!r}."
            )
        return chosen
    if len(images) > 1 and "image" not in images:
        raise SettingsError(
            f"dataset: expected the choice of one image of tfds:{name}. Received: none, and its "
            f"records have {', '.join(images)}. Remedy: name one, as in tfds:{name}@{images[0]}."
        )
    return images[0] if len(images) == 1 else "image"


def _label_key(builder: Any) -> Optional[str]:
    """Key of the label, if there is one: the only one, or the one called "label"."""
    import tensorflow_datasets as tfds

    features = builder.info.features.items()
    labels = [key for key, feature in features if isinstance(feature, tfds.features.ClassLabel)]
    if len(labels) == 1:
        return labels[0]
    if "label" in labels:
        return "label"
    if labels:
        _log.warning("tfds:%s has several labels (%s): none is used.", builder.name, labels)
    return None


def _file_ranges(builder: Any, split: str) -> list[FileRange]:
    """The pieces of files that make up a split."""
    form = builder.info.file_format
    if form is not None and form.value != "tfrecord":
        raise SettingsError(
            f"dataset: expected tfds:{builder.name} prepared as TFRecord files. Received: "
            f"{form.value}."
        )
    try:
        pieces = builder.info.splits[split].file_instructions
    except (KeyError, ValueError) as error:
        raise NoSuchSplit(
            f"split: expected one of {', '.join(builder.info.splits)} of tfds:{builder.name}, or a "
            f"slice such as 'train[:90%]'. Received: {split!r}."
        ) from error
    return [FileRange(os.fspath(p.filename), p.skip, _count(p)) for p in pieces]


def _count(piece: Any) -> int:
    """Number of records of a file instruction; -1 stands for the rest of the file."""
    return piece.take if piece.take >= 0 else piece.examples_in_shard - piece.skip


def _class_names(builder: Any, label_key: Optional[str]) -> Optional[list[str]]:
    """Names in the order of the label values; numbers where the dataset has no names."""
    if label_key is None:
        return None
    feature = builder.info.features[label_key]
    return list(feature.names or map(str, range(feature.num_classes)))


def _read_feature(ranges: list[FileRange], key: str, dtype: tf.DType) -> tf.Tensor:
    """One scalar feature of all records, `[N]`, on the host."""
    features = {key: tf.io.FixedLenFeature([], dtype)}
    dataset = read_all(ranges).batch(_PARSE_BATCH)
    dataset = dataset.map(lambda batch: tf.io.parse_example(batch, features)[key])
    with tf.init_scope(), tf.device("CPU:0"):
        return tf.concat(list(dataset.prefetch(2)), axis=0)


def _read_labels(ranges: list[FileRange], key: str, where: str) -> np.ndarray:
    """`[N]` int64 labels; those that are unknown are -1."""
    _log.info("Reading the labels of %s.", where)
    labels = _read_feature(ranges, key, tf.int64).numpy()
    if (labels < 0).any():
        _log.warning("%s has records without a label: nothing is judged on it.", where)
    return labels


def _decode_all(images: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """`[N]` encoded images of one size -> `[N, height, width, 3]` uint8."""
    with tf.init_scope(), tf.device("CPU:0"):
        dataset = tf.data.Dataset.from_tensor_slices(images)
        dataset = dataset.map(
            lambda image: tf.ensure_shape(decode_rgb(image), (*size, 3)), tf.data.AUTOTUNE
        )
        return dataset.batch(int(images.shape[0])).get_single_element()
