"""The operations of RandAugment, each a function of an image and a strength.

The strength is a tenth of RandAugment's magnitude, so it lies in [0, 1]: a float64 scalar, as
Python's numbers are. What an operation makes of it follows the op set of "rand-n2-m10-mstd0.5" in
timm: 1 is the strongest map, the fewest bits, and an enhancement by the factor 1.9.

Images are `[1, channels, height, width]` in whole levels, see `tfssl.views.levels`, and results are
Pillow's, to the bit.

Reference: Cubuk, Zoph, Shlens, Le 2020, "RandAugment: practical automated data augmentation with a
reduced search space", arXiv 1909.13719.
"""

import math
from typing import Callable

import numpy as np
import tensorflow as tf

from tfssl.views.affine import Coefficients
from tfssl.views.levels import (
    blend_levels,
    brighten_levels,
    contrast_levels,
    rounded_product,
    rounded_quotient,
    saturate_levels,
)

# The operations that leave the colours alone, which CMC uses, and the fifteen of InfoMin.
CMC_OPERATIONS = (
    "AutoContrast",
    "Identity",
    "Rotate",
    "Sharpness",
    "ShearX",
    "ShearY",
    "TranslateXRel",
    "TranslateYRel",
)
INFOMIN_OPERATIONS = (
    "AutoContrast",
    "Equalize",
    "Invert",
    "Rotate",
    "Posterize",
    "Solarize",
    "SolarizeAdd",
    "Color",
    "Contrast",
    "Brightness",
    "Sharpness",
    "ShearX",
    "ShearY",
    "TranslateXRel",
    "TranslateYRel",
)

# At full strength: degrees, slope, part of the side, levels.
_DEGREES = 30.0
_SHEAR = 0.3
_TRANSLATION = 0.45
_ADDITION = 110.0


def auto_contrast(levels: tf.Tensor) -> tf.Tensor:
    """Stretches each channel so that its darkest level is 0 and its brightest 255.

    A channel of a single level stays as it is.
    """
    low, high = (
        tf.cast(reduce(levels, axis=[2, 3], keepdims=True), tf.float64)
        for reduce in (tf.reduce_min, tf.reduce_max)
    )
    scale = 255.0 / tf.maximum(high - low, 1.0)
    stretched = rounded_product(tf.cast(levels, tf.float64), scale) - rounded_product(low, scale)
    # Cut towards 0, as Python's int does: some 254.99999 do not become 255.
    stretched = tf.floor(tf.clip_by_value(stretched, 0.0, 255.0))
    return tf.where(high > low, tf.cast(stretched, tf.float32), levels)


def equalize(levels: tf.Tensor) -> tf.Tensor:
    """Maps the levels of each channel so that they are used about equally often.

    A channel with fewer than 255 pixels below its brightest level stays as it is.
    """
    channels, pixels = levels.shape[1], levels.shape[2] * levels.shape[3]
    first = 256 * np.arange(channels, dtype=np.int32)[:, np.newaxis]
    rows = tf.cast(tf.reshape(levels[0], [channels, pixels]), tf.int32)
    counts = tf.math.unsorted_segment_sum(
        tf.ones([channels * pixels], tf.int32), tf.reshape(rows + first, [-1]), 256 * channels
    )
    counts = tf.reshape(counts, [channels, 256])
    brightest = tf.reduce_max(rows, axis=1, keepdims=True)
    # So many pixels share a new level. Pillow leaves the brightest out of the sum.
    step = (pixels - tf.gather(counts, brightest, axis=1, batch_dims=1)) // 255
    table = (step // 2 + tf.cumsum(counts, axis=1, exclusive=True)) // tf.maximum(step, 1)
    table = tf.cast(tf.minimum(table, 255), tf.float32)
    equal = tf.reshape(tf.gather(tf.reshape(table, [-1]), rows + first), levels.shape)
    return tf.where((step > 0)[tf.newaxis, ..., tf.newaxis], equal, levels)


def posterize(levels: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Keeps the highest bits of each level: the whole part of 4 * strength."""
    bits = tf.cast(4.0 * strength, tf.int32)
    step = tf.gather(tf.constant([256.0, 128.0, 64.0, 32.0, 16.0]), bits)
    return tf.floor(levels / step) * step


def sharpen(levels: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Moves an image away from, or towards, its smoothed version; its outermost pixels stay.

    The smooth version is a mean over 3 x 3 pixels in which the middle one counts five times.
    """
    height, width = levels.shape[2:]
    if min(height, width) < 3:
        return levels
    inner = levels[:, :, 1:-1, 1:-1]
    total = 4.0 * inner
    for top in range(3):
        for left in range(3):
            total += levels[:, :, top : top + height - 2, left : left + width - 2]
    # The sum is a whole number: no rounding error comes near the next half.
    smooth = tf.floor(total * (1.0 / 13.0) + 0.5)
    edge = [[0, 0], [0, 0], [1, 1], [1, 1]]
    smooth = levels + tf.pad(smooth - inner, edge)
    return blend_levels(smooth, levels, _factor(strength))


def solarize(levels: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Inverts levels of at least the whole part of 256 * strength."""
    threshold = tf.cast(tf.floor(256.0 * strength), tf.float32)
    return tf.where(levels >= threshold, 255.0 - levels, levels)


def solarize_add(levels: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Adds up to 110 levels to all below 128."""
    added = tf.cast(tf.floor(_ADDITION * strength), tf.float32)
    return tf.where(levels < 128.0, tf.minimum(levels + added, 255.0), levels)


def _factor(strength: tf.Tensor) -> tf.Tensor:
    """The factor of Pillow's enhancers."""
    return rounded_product(strength, tf.constant(1.8, tf.float64)) + 0.1


def _rotate(amount: tf.Tensor, height: int, width: int) -> Coefficients:
    """Against the clock, about the middle; 15 decimals of sine and cosine as Pillow has."""
    angle = -(amount * _DEGREES) * (math.pi / 180.0)
    cos, sin = (rounded_quotient(tf.round(f(angle) * 1e15), 1e15) for f in (tf.cos, tf.sin))
    x, y = width / 2.0, height / 2.0
    c = rounded_product(cos, -x) + rounded_product(sin, -y) + x
    f = rounded_product(-sin, -x) + rounded_product(cos, -y) + y
    return cos, sin, c, -sin, cos, f


def _shear_x(amount: tf.Tensor, height: int, width: int) -> Coefficients:
    """The upper edge of the image stays in place, not its middle."""
    del height, width
    return 1.0, _SHEAR * amount, 0.0, 0.0, 1.0, 0.0


def _shear_y(amount: tf.Tensor, height: int, width: int) -> Coefficients:
    """The left edge of the image stays in place, not its middle."""
    del height, width
    return 1.0, 0.0, 0.0, _SHEAR * amount, 1.0, 0.0


def _translate_x(amount: tf.Tensor, height: int, width: int) -> Coefficients:
    """By a part of the width."""
    del height
    return 1.0, 0.0, _TRANSLATION * amount * width, 0.0, 1.0, 0.0


def _translate_y(amount: tf.Tensor, height: int, width: int) -> Coefficients:
    """By a part of the height."""
    del width
    return 1.0, 0.0, 0.0, 0.0, 1.0, _TRANSLATION * amount * height


# Functions of (levels, strength).
POINT_OPERATIONS: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "AutoContrast": lambda levels, strength: auto_contrast(levels),
    "Brightness": lambda levels, strength: brighten_levels(levels, _factor(strength)),
    "Color": lambda levels, strength: saturate_levels(levels, _factor(strength)),
    "Contrast": lambda levels, strength: contrast_levels(levels, _factor(strength)),
    "Equalize": lambda levels, strength: equalize(levels),
    "Identity": lambda levels, strength: levels,
    "Invert": lambda levels, strength: 255.0 - levels,
    "Posterize": posterize,
    "Sharpness": sharpen,
    "Solarize": solarize,
    "SolarizeAdd": solarize_add,
}

# Coefficients of a map from (strength with a sign, height, width of the image).
AFFINE_OPERATIONS: dict[str, Callable[[tf.Tensor, int, int], Coefficients]] = {
    "Rotate": _rotate,
    "ShearX": _shear_x,
    "ShearY": _shear_y,
    "TranslateXRel": _translate_x,
    "TranslateYRel": _translate_y,
}
