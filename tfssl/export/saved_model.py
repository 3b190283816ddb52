"""A backbone as a SavedModel that anybody with TensorFlow can use and train on."""

import json
import math
import os
import pathlib
from typing import Any, Callable, Optional, Sequence, Union

import tensorflow as tf

import tfssl
from tfssl.export.encoder_copy import copy_encoder
from tfssl.export.folder import DESCRIPTION, FORMAT, whole_folder
from tfssl.export.preprocessing import preprocess
from tfssl.export.readme import readme
from tfssl.views.channel_map import ChannelMap, color_map
from tfssl.views.colour_spaces import COLOR_SPACES
from tfssl.views.crop import SMALL_IMAGE, resized_side
from tfssl.views.resample import check_interpolation


def export_saved_model(
    backbone: tf.keras.Model,
    path: Union[str, os.PathLike],
    *,
    image_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    color: Union[str, ChannelMap] = "rgb",
    resize_to: Optional[int] = None,
    interpolation: str = "bicubic",
) -> pathlib.Path:
    """Writes a backbone with its preprocessing, its page and its description.

    The folder holds a functional Keras model of built-in layers and TensorFlow operations. It
    loads without this library, takes uint8 images, or float images in [0, 1], of any size, and is
    trainable again. Signatures: `uint8` (also `serving_default`), `float`, `stages_uint8`,
    `stages_float`. `README.md` in it says the rest; `export.json` holds sizes, mean and std.

    Args:
        backbone: functional model, normalised images `[batch, height, width, channels]` ->
            `[batch, dim]`, built-in layers only; `stage_outputs` is read where it exists. The
            model itself is not changed. Half precision becomes float32.
        path: folder to write; an earlier export there is replaced as a whole.
        image_size: side in pixels of the images the backbone sees.
        mean, std: normalisation of each channel: of images in [0, 1], or of what `color` makes of
            them, in its units.
        color: the colour space that the backbone sees, a name in `tfssl.views.COLOR_SPACES`, or
            another map of a view family's `channel_map`. RGB is converted inside the model; "rgb"
            converts nothing.
        resize_to: pixels of an image's shorter side before the centre is cut out, at least
            `image_size`. None: 256 / 224 of it, and images of that size, up to 64 pixels, as they
            are.
        interpolation: "bicubic" or "bilinear", antialiased.

    Returns:
        The path.

    Raises:
        ValueError: a backbone that is not functional or has custom layers, numbers out of range,
            an unknown colour space or interpolation, or a path that holds something else.
    """
    path = pathlib.Path(path)
    mean, std = [float(m) for m in mean], [float(s) for s in std]
    encoder = copy_encoder(backbone)
    seen = int(encoder.inputs[0].shape[-1])
    _check_numbers(image_size, resize_to, mean, std, seen)
    channel_map = _channel_map(color, seen)
    channels = 3 if channel_map else seen
    check_interpolation(interpolation)
    images = tf.keras.Input([None, None, channels], dtype=tf.float32, name="images")
    normalised = preprocess(
        images,
        image_size=image_size,
        mean=mean,
        std=std,
        channel_map=channel_map,
        resize_to=resize_to,
        interpolation=interpolation,
    )
    outputs = encoder(normalised)
    model = tf.keras.Model(images, outputs["features"], name="encoder")
    with_stages = tf.keras.Model(images, outputs, name="encoder_with_stages")
    description = {
        "format": FORMAT,
        "image_size": int(image_size),
        "resize_to": int(resize_to or resized_side(image_size)),
        "keeps_own_size": resize_to is None and image_size <= SMALL_IMAGE,
        "interpolation": f"{interpolation}, antialiased",
        "color": channel_map.name if channel_map else "rgb",
        "color_about": channel_map.about if channel_map else "no change",
        "mean": mean,
        "std": std,
        "channels": channels,
        "dim": int(model.output_shape[-1]),
        "stages": {k: list(v.shape[1:]) for k, v in outputs.items() if k != "features"},
        "versions": {"tfssl": tfssl.__version__, "tensorflow": tf.__version__},
    }
    with whole_folder(path) as folder:
        model.save(
            str(folder),
            save_format="tf",
            include_optimizer=False,
            signatures=_signatures(model, with_stages, channels),
        )
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
        (folder / "README.md").write_text(readme(path.name, description))
    return path


def _signatures(
    model: tf.keras.Model, with_stages: tf.keras.Model, channels: int
) -> dict[str, Callable[..., Any]]:
    """Inference by name: uint8 or float images -> a dictionary of float32 tensors."""

    def from_float(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"features": model(images, training=False)}

    def stages_from_float(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return with_stages(images, training=False)

    def from_uint8(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return from_float(tf.cast(images, tf.float32) / 255.0)

    def stages_from_uint8(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return stages_from_float(tf.cast(images, tf.float32) / 255.0)

    def signature(function: Callable, dtype: tf.DType) -> Callable:
        images = tf.TensorSpec([None, None, None, channels], dtype, name="images")
        return tf.function(function, input_signature=[images], autograph=False)

    uint8 = signature(from_uint8, tf.uint8)
    return {
        "serving_default": uint8,
        "uint8": uint8,
        "float": signature(from_float, tf.float32),
        "stages_uint8": signature(stages_from_uint8, tf.uint8),
        "stages_float": signature(stages_from_float, tf.float32),
    }


def _channel_map(color: Union[str, ChannelMap], channels: int) -> Optional[ChannelMap]:
    """What becomes of RGB before a backbone of so many channels; None: nothing.

    Raises ValueError on a colour space that is unknown or that the backbone cannot see.
    """
    if isinstance(color, str):
        if color not in COLOR_SPACES:
            raise ValueError(
                f"expected a colour space out of {', '.join(COLOR_SPACES)}. Received: {color=}."
            )
        color = color_map(color)
    if not color.layers:
        return None
    if color.channels != channels:
        raise ValueError(
            f"expected a backbone of {color.channels} channels for images converted from RGB. "
            f"Received: {channels} channels, color={color.name}."
        )
    return color


def _check_numbers(
    image_size: int, resize_to: Optional[int], mean: list, std: list, channels: int
) -> None:
    """Raises ValueError on sizes or normalisation that cannot be meant."""
    if image_size < 1:
        raise ValueError(f"expected image_size >= 1. Received: image_size={image_size}.")
    if resize_to is not None and resize_to < image_size:
        raise ValueError(
            f"expected resize_to >= image_size={image_size}. Received: resize_to={resize_to}."
        )
    finite = all(math.isfinite(v) for v in (*mean, *std)) and all(s > 0 for s in std)
    if len(mean) != channels or len(std) != channels or not finite:
        raise ValueError(
            f"expected finite mean and positive std, {channels} numbers each, one a channel of the "
            f"backbone. Received: mean={mean}, std={std}."
        )
