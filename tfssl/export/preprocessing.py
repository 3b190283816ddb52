"""The evaluation view as symbolic TensorFlow operations, to live inside a SavedModel."""

from typing import Callable, Optional, Sequence

import tensorflow as tf

from tfssl.views.channel_map import ChannelMap
from tfssl.views.crop import SMALL_IMAGE, resized_side


def preprocess(
    images,
    *,
    image_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    channel_map: Optional[ChannelMap] = None,
    resize_to: Optional[int] = None,
    interpolation: str = "bicubic",
):
    """Resize of the shorter side (antialiased), centre crop, colours, normalisation.

    It computes what the view family "eval" computes; a test holds them together. Everything is an
    operation that Keras can find again by name, never a Python function of this library: a reader
    of the SavedModel has TensorFlow only. That is also why comparisons are spelled `tf.equal`; the
    operator `==` is lost in saving.

    Args:
        images: symbolic float32 `[batch, height, width, channels]` in [0, 1].
        image_size: side of the crop in pixels.
        mean, std: one number a channel, in the units of what the map makes.
        channel_map: what becomes of RGB; None for nothing, with any number of channels.
        resize_to: pixels of the shorter side before the crop. None: 256 / 224 of `image_size`, and
            images of that size, up to 64 pixels, are not resized.
        interpolation: "bicubic" or "bilinear".

    Returns:
        Symbolic float32 `[batch, image_size, image_size, channels]`, normalised.
    """
    channels = images.shape[-1]
    images = _refuse_other_ranges(images)
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    shorter_to = resize_to or resized_side(image_size)
    if resize_to is None and image_size <= SMALL_IMAGE:
        # A resize to the same size changes nothing, to the bit.
        has_size = tf.equal(height, image_size) & tf.equal(width, image_size)
        shorter_to = tf.where(has_size, image_size, shorter_to)
    shorter = tf.minimum(height, width)
    # The longer side is rounded down, as torchvision does.
    size = tf.stack([shorter_to * height // shorter, shorter_to * width // shorter])
    # Halves are rounded to even, as Python and torchvision do.
    first = tf.cast(tf.round(tf.cast(size - image_size, tf.float32) / 2.0), tf.int32)
    kernel = _KERNELS[interpolation]
    rows = _resize_matrix(height, size[0], first[0], image_size, kernel)
    columns = _resize_matrix(width, size[1], first[1], image_size, kernel)
    # Columns before rows, with bicubic overshoot clipped after each: Pillow's order. Not a
    # broadcast matmul: TensorFlow 2.21 on CPU reads beyond its operands for one-channel images.
    images = tf.tensordot(images, columns, axes=[[2], [1]])  # [batch, height, channel, x]
    images = tf.tensordot(tf.clip_by_value(images, 0.0, 1.0), rows, axes=[[1], [1]])
    images = tf.transpose(tf.clip_by_value(images, 0.0, 1.0), [0, 3, 2, 1])
    images = tf.ensure_shape(images, [None, image_size, image_size, channels])
    if channel_map is not None:
        images = channel_map.of_images(images)
    return (images - [float(m) for m in mean]) / [float(s) for s in std]


def _bicubic(distance):
    """Keys' cubic with a = -0.5, of distances >= 0."""
    x = tf.minimum(distance, 2.0)
    near = (x * 1.5 - 2.5) * x * x + 1.0
    far = ((x * -0.5 + 2.5) * x - 4.0) * x + 2.0
    return tf.where(x < 1.0, near, far)


def _bilinear(distance):
    """A triangle, of distances >= 0."""
    return tf.maximum(1.0 - distance, 0.0)


_KERNELS = {"bicubic": _bicubic, "bilinear": _bilinear}


def _resize_matrix(length, resized, first, count: int, kernel: Callable):
    """Weights `[count, length]` of an antialiased resize of one axis, cut to what is kept.

    The same weights as `tfssl.views.resample` has. `tf.image.resize` would round positions
    differently, and its antialiased form does not compile with XLA on CPU.

    Args:
        length: symbolic int32 scalar, pixels of the axis.
        resized: symbolic int32 scalar, pixels after the resize.
        first: symbolic int32 scalar, the first of them that is kept.
        count: how many are kept.
        kernel: symbolic weights of distances in pixels; widened here where the image shrinks.
    """
    scale = tf.cast(length, tf.float32) / tf.cast(resized, tf.float32)
    centres = (tf.cast(tf.range(first, first + count), tf.float32) + 0.5) * scale
    pixels = tf.cast(tf.range(length), tf.float32) + 0.5
    distance = tf.expand_dims(pixels, 0) - tf.expand_dims(centres, 1)
    weights = kernel(tf.abs(distance / tf.maximum(scale, 1.0)))
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)


def _refuse_other_ranges(images):
    """Images as they are in [0, 1] (a little beyond is allowed), an error for 0..255 or NaN.

    Without it a forgotten division by 255 would only show as poor features. The division by 0
    turns wrong input into Inf and NaN, which the check reports; where the check is dropped, under
    XLA, they reach the features.
    """
    inside = (tf.reduce_max(images) <= 1.5) & (tf.reduce_min(images) >= -0.5)
    return tf.debugging.check_numerics(
        images / tf.cast(inside, tf.float32),
        "expected float images in [0, 1], not normalised. Remedy: divide 0..255 by 255, or use "
        "the signature 'uint8'.",
    )
