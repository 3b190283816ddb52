"""The operations of RandAugment, each a function of an image and a strength.

The strength is a tenth of RandAugment's magnitude, so it lies in [0, 1]. What an operation makes
of it follows the op set of "rand-n2-m10-mstd0.5" in timm: 1 is the strongest map, the fewest bits,
and an enhancement by the factor 1.9.

Arithmetic is Pillow's without the rounding to whole numbers after each operation. Where Pillow
counts or compares levels 0..255 (AutoContrast, Equalize, Posterize, Solarize, SolarizeAdd), values
are taken as if rounded to that scale.

Reference: Cubuk, Zoph, Shlens, Le 2020, "RandAugment: practical automated data augmentation with a
reduced search space", arXiv 1909.13719.
"""

import math
from typing import Callable

import numpy as np
import tensorflow as tf

from tfssl.views.affine import Matrix
from tfssl.views.colour import adjust_brightness, adjust_contrast, adjust_saturation, solarize

# At full strength: degrees, slope, part of the side, levels.
_DEGREES = 30.0
_SHEAR = 0.3
_TRANSLATION = 0.45
_ADDITION = 110.0


def auto_contrast(images: tf.Tensor) -> tf.Tensor:
    """Stretches each channel so that its darkest level is 0 and its brightest 1.

    A channel of a single level stays as it is: anything else would blow up rounding errors.
    """
    low = _levels(tf.reduce_min(images, axis=[2, 3], keepdims=True))
    spread = _levels(tf.reduce_max(images, axis=[2, 3], keepdims=True)) - low
    stretched = (images * 255.0 - low) / tf.maximum(spread, 1.0)
    return tf.where(spread > 0.0, tf.clip_by_value(stretched, 0.0, 1.0), images)


def equalize(images: tf.Tensor) -> tf.Tensor:
    """Maps the levels of each channel so that they are used about equally often.

    A channel with fewer than 255 pixels below its brightest level stays as it is.

    Args:
        images: `[1, channels, height, width]` in [0, 1].

    Returns:
        An image of the same shape.
    """
    channels, pixels = images.shape[1], images.shape[2] * images.shape[3]
    first = 256 * np.arange(channels, dtype=np.int32)[:, np.newaxis]
    levels = tf.cast(_levels(tf.reshape(images[0], [channels, pixels])), tf.int32)
    counts = tf.math.unsorted_segment_sum(
        tf.ones([channels * pixels], tf.int32), tf.reshape(levels + first, [-1]), 256 * channels
    )
    counts = tf.reshape(counts, [channels, 256])
    brightest = tf.reduce_max(levels, axis=1, keepdims=True)
    # So many pixels share a new level. Pillow leaves the brightest out of the sum.
    step = (pixels - tf.gather(counts, brightest, axis=1, batch_dims=1)) // 255
    table = (step // 2 + tf.cumsum(counts, axis=1, exclusive=True)) // tf.maximum(step, 1)
    table = tf.cast(tf.minimum(table, 255), tf.float32) / 255.0
    equal = tf.reshape(tf.gather(tf.reshape(table, [-1]), levels + first), images.shape)
    return tf.where((step > 0)[tf.newaxis, ..., tf.newaxis], equal, images)


def posterize(images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Keeps the highest bits of each level: the whole part of 4 * strength."""
    bits = tf.cast(4.0 * strength, tf.int32)
    step = tf.gather(tf.constant([256.0, 128.0, 64.0, 32.0, 16.0]), bits)
    return tf.floor(_levels(images) / step) * (step / 255.0)


def sharpen(images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Moves an image away from, or towards, its smoothed version; its outermost pixels stay.

    The smooth version is a mean over 3 x 3 pixels in which the middle one counts five times.
    """
    height, width = images.shape[2:]
    if min(height, width) < 3:
        return images
    inner = images[:, :, 1:-1, 1:-1]
    total = 4.0 * inner
    for top in range(3):
        for left in range(3):
            total += images[:, :, top : top + height - 2, left : left + width - 2]
    detail = tf.pad(inner - total / 13.0, [[0, 0], [0, 0], [1, 1], [1, 1]])
    return tf.clip_by_value(images + (_factor(strength) - 1.0) * detail, 0.0, 1.0)


def solarize_add(images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Adds up to 110 levels to all below 128, clipped."""
    added = tf.floor(_ADDITION * strength) / 255.0
    return tf.where(images < 127.5 / 255.0, tf.minimum(images + added, 1.0), images)


def _factor(strength: tf.Tensor) -> tf.Tensor:
    """The factor of Pillow's enhancers."""
    return 0.1 + 1.8 * strength


def _levels(images: tf.Tensor) -> tf.Tensor:
    """Values on the scale 0..255, rounded."""
    return tf.floor(images * 255.0 + 0.5)


def _rotate(amount: tf.Tensor, height: int, width: int) -> Matrix:
    """Against the clock."""
    del height, width
    angle = math.radians(_DEGREES) * amount
    cos, sin = tf.cos(angle), tf.sin(angle)
    return (cos, sin, 0.0), (-sin, cos, 0.0)


def _shear_x(amount: tf.Tensor, height: int, width: int) -> Matrix:
    """The upper edge of the image stays in place, not its middle."""
    del width
    slope = _SHEAR * amount
    return (1.0, 0.0, 0.0), (slope, 1.0, slope * (height / 2.0))


def _shear_y(amount: tf.Tensor, height: int, width: int) -> Matrix:
    """The left edge of the image stays in place, not its middle."""
    del height
    slope = _SHEAR * amount
    return (1.0, slope, slope * (width / 2.0)), (0.0, 1.0, 0.0)


def _translate_x(amount: tf.Tensor, height: int, width: int) -> Matrix:
    """By a part of the width."""
    del height
    return (1.0, 0.0, 0.0), (0.0, 1.0, _TRANSLATION * amount * width)


def _translate_y(amount: tf.Tensor, height: int, width: int) -> Matrix:
    """By a part of the height."""
    del width
    return (1.0, 0.0, _TRANSLATION * amount * height), (0.0, 1.0, 0.0)


# Functions of (image, strength).
POINT_OPERATIONS: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "AutoContrast": lambda images, strength: auto_contrast(images),
    "Brightness": lambda images, strength: adjust_brightness(images, _factor(strength)),
    "Color": lambda images, strength: adjust_saturation(images, _factor(strength)),
    "Contrast": lambda images, strength: adjust_contrast(images, _factor(strength)),
    "Equalize": lambda images, strength: equalize(images),
    "Identity": lambda images, strength: images,
    "Invert": lambda images, strength: 1.0 - images,
    "Posterize": posterize,
    "Sharpness": sharpen,
    "Solarize": lambda images, strength: solarize(images, tf.floor(256.0 * strength)),
    "SolarizeAdd": solarize_add,
}

# The matrix of a map from (strength with a sign, height, width of the image).
AFFINE_OPERATIONS: dict[str, Callable[[tf.Tensor, int, int], Matrix]] = {
    "Rotate": _rotate,
    "ShearX": _shear_x,
    "ShearY": _shear_y,
    "TranslateXRel": _translate_x,
    "TranslateYRel": _translate_y,
}
