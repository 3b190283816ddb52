"""Colour spaces by name: conversion from RGB, and statistics to normalise the result with."""

import dataclasses
from typing import Any, Callable, Optional, Sequence

import numpy as np
import tensorflow as tf

from tfssl.views import colour_formulas as formulas
from tfssl.views.normalize import IMAGENET_MEAN, IMAGENET_STD

Statistics = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class ColorSpace:
    """A colour space: a curve on each channel of RGB, then a map of the three channels.

    Attributes:
        mix: three planes after the curve -> three planes in the units of the space.
        mean, std: of each channel, in the units of the space. They bring all colours to [-1, 1]
            where they are the middle and the half of the channel's range over all colours.
        curve: applied to red, green and blue in [0, 1]; None for none.
        levels: what the curve makes of 0/255, 1/255, ... 255/255.
        level_curve: the curve of uint8 levels in arithmetic that XLA does for many pixels at once,
            so faster than `levels` where the pixels of a channel lie side by side.
    """

    mix: formulas.PlaneMap
    mean: Statistics
    std: Statistics
    curve: Optional[Callable[[tf.Tensor], tf.Tensor]] = None
    levels: Optional[tuple[float, ...]] = None
    level_curve: Optional[Callable[[tf.Tensor], tf.Tensor]] = None

    def convert_planes(self, images: tf.Tensor, axis: int) -> tf.Tensor:
        """Converts images of any layout.

        Args:
            images: RGB, uint8, or float32 or float64 in [0, 1].
            axis: where the channels are.

        Returns:
            As much, float64 for float64 and otherwise float32.
        """
        if images.dtype == tf.uint8 and self.level_curve is not None:
            images = self.level_curve(images)
        else:
            images = self._curved(images)
        return tf.stack(self.mix(*tf.unstack(images, num=3, axis=axis)), axis=axis)

    def convert_pixels(self, images: tf.Tensor) -> tf.Tensor:
        """Converts images with channels last; see `convert_planes`."""
        if not isinstance(self.mix, formulas.LinearMap):
            planes = self.mix(*tf.split(self._curved(images), 3, axis=-1))
            return formulas.interleaved(planes)
        if images.dtype == tf.uint8:
            return self.mix.of_levels(images, self.levels or _LEVELS)
        return self.mix.of_pixels(self._curved(images))

    def _curved(self, images: tf.Tensor) -> tf.Tensor:
        """Floating values after the curve."""
        if images.dtype != tf.uint8:
            return images if self.curve is None else self.curve(images)
        if self.levels is None:
            return tf.cast(images, tf.float32) * (1.0 / 255.0)
        return tf.gather(np.array(self.levels, np.float32), tf.cast(images, tf.int32))


def convert_color(images: Any, space: str, *, channel_axis: int = -1) -> tf.Tensor:
    """Converts RGB images to a colour space, in the units of the space.

    The definitions are scikit-image's of release 0.26: Lab is CIE L*a*b* under D65 with L in
    0..100, YCbCr has Y in 16..235, hue is in turns, and hed is colour deconvolution with the
    natural logarithm. sRGB is linearised for lab, luv and xyz alone.

    Args:
        images: RGB of any shape with 3 channels, sizes known or not; uint8, or floating in [0, 1].
            A tensor, a NumPy array, or a symbolic tensor of Keras: a model with this in it is
            saved and loaded without this library.
        space: a name in `COLOR_SPACES`.
        channel_axis: where the channels are.

    Returns:
        Tensor of the same shape, float64 for float64 and otherwise float32. Not normalised.

    Raises:
        ValueError: an unknown space, other than 3 channels, or another type.

    Notes:
        Gradients are finite everywhere, also at black, white and grey, where some of these maps
        have a corner. In float32 Lab is right to about 2e-4. Nothing is compiled here: under
        `tf.function(jit_compile=True)` it is many times faster, and there with the channels before
        the pixels mostly faster than with channels last, up to three times for hsv.

    Reference:
        Tian, Krishnan, Isola, "Contrastive Multiview Coding", arXiv 1906.05849, Figure 5.

    Example:
        >>> convert_color(np.array([255, 0, 0], np.uint8), "ydbdr").numpy().round(3)
        array([ 0.299, -0.45 , -1.333], dtype=float32)
    """
    if space not in COLOR_SPACES:
        raise ValueError(
            f"expected a colour space out of {', '.join(COLOR_SPACES)}. Received: space={space!r}."
        )
    if not hasattr(images, "dtype"):
        images = tf.convert_to_tensor(images)
    dtype = tf.as_dtype(images.dtype)
    _check(images.shape, dtype, channel_axis)
    if dtype not in (tf.uint8, tf.float64):
        images = tf.cast(images, tf.float32)
    definition = COLOR_SPACES[space]
    if channel_axis in (-1, len(images.shape) - 1):
        return definition.convert_pixels(images)
    return definition.convert_planes(images, channel_axis)


def _check(shape: Any, dtype: tf.DType, channel_axis: int) -> None:
    """Raises ValueError on what is not images of three channels."""
    if dtype != tf.uint8 and not dtype.is_floating:
        raise ValueError(f"expected uint8 or floating images. Received: dtype={dtype.name}.")
    shape = tf.TensorShape(shape)
    rank = shape.rank
    if rank is None or not -rank <= channel_axis < rank or shape[channel_axis] not in (3, None):
        raise ValueError(
            f"expected images with 3 channels on the given axis. "
            f"Received: shape={shape}, channel_axis={channel_axis}."
        )


def _middle_and_half(low: Sequence[float], high: Sequence[float]) -> dict[str, Statistics]:
    """The mean and standard deviation that bring ranges to [-1, 1]."""
    pairs = [(float(a), float(b)) for a, b in zip(low, high)]
    return {
        "mean": tuple((b + a) / 2.0 for a, b in pairs),
        "std": tuple((b - a) / 2.0 for a, b in pairs),
    }


def _linear(matrix: Any, offset: Sequence[float] = (0.0, 0.0, 0.0), **fields: Any) -> ColorSpace:
    """A space linear in what the curve makes of RGB: values in [0, 1], whence its exact ranges."""
    low, high = (np.sum(part(matrix, 0.0), axis=1) + offset for part in (np.minimum, np.maximum))
    mix = formulas.LinearMap(matrix, offset)
    return ColorSpace(mix, **{**_middle_and_half(low, high), **fields})


_LEVELS = np.arange(256) / 255.0
_LIGHT = {
    "curve": formulas.light,
    "levels": tuple(formulas.light_of(_LEVELS).tolist()),
    "level_curve": formulas.light_of_levels,
}
_DENSITY = {
    "curve": formulas.density,
    "levels": tuple(formulas.density_of(_LEVELS).tolist()),
    "level_curve": formulas.density_of_levels,
}
_LUMA = (0.299, 0.587, 0.114)
# CIE 1931: the primaries of CIE RGB in XYZ.
_XYZ_OF_RGBCIE = (
    np.array([[0.49, 0.31, 0.20], [0.17697, 0.81240, 0.01063], [0.00, 0.01, 0.99]]) / 0.17697
)
_STAIN_LIMITS = np.maximum(formulas.STAINS_OF_DENSITY, 0.0).sum(axis=1)

COLOR_SPACES: dict[str, ColorSpace] = {
    "rgb": ColorSpace(lambda *planes: planes, IMAGENET_MEAN, IMAGENET_STD),
    # Statistics of lab, ycbcr and ydbdr are CMC's; only lab's are those of the exact ranges.
    "lab": ColorSpace(
        formulas.lab, mean=(50.0, 6.025, -6.6895), std=(50.0, 92.208, 101.1675), **_LIGHT
    ),
    "ycbcr": _linear(
        [(65.481, 128.553, 24.966), (-37.797, -74.203, 112.0), (112.0, -93.786, -18.214)],
        (16.0, 128.0, 128.0),
        mean=(116.151, 121.080, 132.342),
        std=(109.500, 111.855, 111.964),
    ),
    "ydbdr": _linear(
        [_LUMA, (-0.45, -0.883, 1.333), (-1.333, 1.116, 0.217)],
        mean=(0.457, -0.082, -0.052),
        std=(0.500, 1.331, 1.333),
    ),
    "yiq": _linear(
        [
            _LUMA,
            (0.59590059, -0.27455667, -0.32134392),
            (0.21153661, -0.52273617, 0.31119955),
        ]
    ),
    "yuv": _linear(
        [
            _LUMA,
            (-0.14714119, -0.28886916, 0.43601035),
            (0.61497538, -0.51496512, -0.10001026),
        ]
    ),
    "ypbpr": _linear([_LUMA, (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312)]),
    # The range over all 256^3 colours, rounded outwards.
    "luv": ColorSpace(
        formulas.luv,
        **_middle_and_half((0.0, -83.078, -134.098), (100.0, 175.0145, 107.3991)),
        **_LIGHT,
    ),
    "xyz": _linear(formulas.XYZ_OF_LIGHT, **_LIGHT),
    "hsv": ColorSpace(formulas.hsv, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    # Negative amounts of a stain become 0.
    "hed": ColorSpace(
        formulas.LinearMap(formulas.STAINS_OF_DENSITY, least=0.0),
        **_middle_and_half((0, 0, 0), _STAIN_LIMITS),
        **_DENSITY,
    ),
    # scikit-image applies it without linearising.
    "rgbcie": _linear(np.linalg.inv(_XYZ_OF_RGBCIE) @ formulas.XYZ_OF_LIGHT),
}
