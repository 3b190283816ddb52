"""Random access to the records of TFRecord files.

A TFRecord is framed by its length (8 bytes), a checksum of the length (4), the data, and a
checksum of the data (4). Reading the lengths of all records once gives every record's offset.
"""

import concurrent.futures
import os
import struct
from typing import NamedTuple, Sequence

import numpy as np
import tensorflow as tf

_HEADER = 12
_FOOTER = 4


class FileRange(NamedTuple):
    """Records `first` to `first + count - 1` of one file."""

    path: str
    first: int
    count: int


def scan_offsets(ranges: Sequence[FileRange]) -> list[np.ndarray]:
    """The byte offsets of the records of each range; only the frame headers are read.

    Args:
        ranges: pieces of uncompressed TFRecord files.

    Returns:
        One `[count]` int64 array a range.

    Raises:
        OSError: a file is missing, or ends before its last record does.
    """
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return list(pool.map(_scan, ranges))


def _scan(piece: FileRange) -> np.ndarray:
    """The offsets of one range."""
    offsets = np.empty(piece.count, np.int64)
    end = piece.first + piece.count
    with open(piece.path, "rb", buffering=0) as file:
        size, offset = os.fstat(file.fileno()).st_size, 0
        for number in range(end):
            if number >= piece.first:
                offsets[number - piece.first] = offset
            file.seek(offset)
            header = file.read(_HEADER)
            if len(header) == _HEADER:
                offset += _HEADER + struct.unpack("<Q", header[:8])[0] + _FOOTER
            if len(header) < _HEADER or offset > size:
                raise OSError(
                    f"expected {end} whole records in {piece.path}. Received: {number} records "
                    f"in {size} bytes."
                )
    return offsets


def read_all(ranges: Sequence[FileRange]) -> tf.data.Dataset:
    """The serialized records of all ranges, in order: a dataset of scalar strings."""
    paths, first, count = (list(column) for column in zip(*ranges))
    pieces = tf.data.Dataset.from_tensor_slices(
        (paths, tf.constant(first, tf.int64), tf.constant(count, tf.int64))
    )
    return pieces.flat_map(
        lambda path, first, count: tf.data.TFRecordDataset(path).skip(first).take(count)
    )


def read_at(path: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Reads one record, in eager or graph code.

    Args:
        path: scalar string.
        offset: scalar int64, where its header starts.

    Returns:
        Scalar string, the serialized record.
    """
    # The raw op, because `tf.data.TFRecordDataset` does not pass offsets on. Unbuffered: a buffer
    # would fetch the neighbours of every record, which are not wanted.
    variant = tf.raw_ops.TFRecordDatasetV2(
        filenames=[path],
        compression_type="",
        buffer_size=tf.constant(0, tf.int64),
        byte_offsets=[offset],
    )
    rest = tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string))
    return rest.take(1).get_single_element()
