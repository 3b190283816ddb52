"""A generator of views as a SavedModel, for runs that contrast the views of a frozen one."""

import json
import os
import pathlib
from typing import Sequence, Union

import tensorflow as tf

import tfssl
from tfssl.export.folder import DESCRIPTION, GENERATOR_FORMAT, whole_folder


def export_generator(
    generator: tf.keras.Model,
    path: Union[str, os.PathLike],
    *,
    color: str,
    mean: Sequence[float],
    std: Sequence[float],
    output_mean: Sequence[float],
    output_std: Sequence[float],
) -> pathlib.Path:
    """Writes a generator with what standardises its channels behind it.

    Args:
        generator: functional model of built-in layers and TensorFlow operations, normalised images
            `[batch, height, width, 3]` -> as much.
        path: folder to write; an earlier generator there is replaced as a whole.
        color: the colour space of its images.
        mean, std: what they have been normalised with.
        output_mean, output_std: of the channels that it makes, on the training images; the latter
            above 0.

    Returns:
        The path.

    Raises:
        ValueError: numbers out of range, or a path that holds something else.
    """
    numbers = [[float(v) for v in values] for values in (output_mean, output_std)]
    if [len(values) for values in numbers] != [3, 3] or not min(numbers[1]) > 0:
        raise ValueError(
            "expected three means and three positive deviations of the generator's channels. "
            f"Received: output_mean={numbers[0]}, output_std={numbers[1]}."
        )
    images = tf.keras.Input((None, None, 3), name="images")
    standard = (generator(images) - numbers[0]) / numbers[1]
    model = tf.keras.Model(images, standard, name="generator")
    description = {
        "format": GENERATOR_FORMAT,
        "color": color,
        "mean": [float(v) for v in mean],
        "std": [float(v) for v in std],
        "output_mean": numbers[0],
        "output_std": numbers[1],
        "versions": {"tfssl": tfssl.__version__, "tensorflow": tf.__version__},
    }
    path = pathlib.Path(path)
    with whole_folder(path, GENERATOR_FORMAT) as folder:
        model.save(str(folder), save_format="tf", include_optimizer=False)
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
    return path
