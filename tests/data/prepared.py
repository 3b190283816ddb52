"""Small datasets on disk as tensorflow-datasets prepares them, without any generation code."""

import os
import pathlib
from typing import Any, Callable, Dict, Mapping

import tensorflow as tf
import tensorflow_datasets as tfds


def write_prepared(
    root: pathlib.Path,
    name: str,
    features: tfds.features.FeaturesDict,
    sizes: Mapping[str, int],
    example: Callable[[str, int], Dict[str, Any]],
    *,
    config: str = "",
) -> None:
    """Writes one dataset.

    Args:
        root: what `--data_dir` names.
        name: of the dataset.
        features: of its records.
        sizes: records of each split. They are in two files, so that a slice may begin in one and
            end in the other.
        example: (split, number) -> a record.
        config: of the dataset, where it has several.
    """
    folder = root / name / config / "1.0.0"
    folder.mkdir(parents=True)
    infos = []
    for split, size in sizes.items():
        lengths = [size // 3, size - size // 3]
        template = tfds.core.ShardedFileTemplate(
            data_dir=folder, dataset_name=name, split=split, filetype_suffix="tfrecord"
        )
        number = 0
        for path, length in zip(sorted(template.sharded_filepaths(2)), lengths):
            with tf.io.TFRecordWriter(os.fspath(path)) as writer:
                for _ in range(length):
                    writer.write(features.serialize_example(example(split, number)))
                    number += 1
        infos.append(
            tfds.core.SplitInfo(
                name=split, shard_lengths=lengths, num_bytes=0, filename_template=template
            )
        )
    tfds.folder_dataset.write_metadata(
        data_dir=folder, features=features, split_infos=infos, check_data=False
    )
