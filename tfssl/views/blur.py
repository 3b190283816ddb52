"""Gaussian blur, as Pillow computes it or with a window of a given length."""

import math
from typing import Any, Optional

import numpy as np
import tensorflow as tf

from tfssl.views.layer import ViewLayer
from tfssl.views.levels import from_levels, to_levels

_BOXES = 3


class GaussianBlur(ViewLayer):
    """Blurs with a Gaussian whose standard deviation is drawn for each image.

    Without `window` the kernel is Pillow's: three extended box filters whose variances add up to
    that of the Gaussian, with edge pixels extended. With `window` it is the Gaussian itself, cut
    to so many pixels and normalised, with the image reflected at its edges.

    Reference: Gwosdek, Grewenig, Bruhn, Weickert 2011, "Theoretical foundations of Gaussian
    convolution by extended box filtering".
    """

    num_draws = 1
    per_image = True

    def __init__(
        self,
        *,
        sigma: tuple[float, float] = (0.1, 2.0),
        window: Optional[int] = None,
        levels: bool = False,
        **kwargs: Any,
    ):
        """Initialises the layer.

        Args:
            sigma: range of the standard deviation in pixels, uniform; above 0.
            window: length of the kernel in pixels, odd; None for Pillow's kernel.
            levels: whether what was blurred is rounded to whole levels of 8 bits.
            **kwargs: see `ViewLayer`.
        """
        super().__init__(**kwargs)
        if not 0 < sigma[0] <= sigma[1] or (window is not None and window % 2 != 1):
            raise ValueError(
                "GaussianBlur: expected 0 < sigma[0] <= sigma[1] and an odd window. "
                f"Received: sigma={sigma}, window={window}."
            )
        self.sigma = tuple(sigma)
        self.window = window
        self.levels = levels

    def change(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Blurs one image, see `ViewLayer.change`."""
        sigma = self.sigma[0] + draws[0, 0] * (self.sigma[1] - self.sigma[0])
        weights = self._kernel(sigma)
        passes = [lambda x, axis=axis: self._blur_axis(x, weights, axis) for axis in (2, 3)]
        # A loop keeps XLA from fusing both passes into one, which squares the work.
        blurred = tf.while_loop(
            lambda i, _: i < 2,
            lambda i, x: (i + 1, tf.switch_case(i, [lambda p=p: p(x) for p in passes])),
            (tf.constant(0), images),
            maximum_iterations=2,
        )[1]
        return from_levels(to_levels(blurred)) if self.levels else blurred

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same layer again."""
        own = {"sigma": self.sigma, "window": self.window, "levels": self.levels}
        return {**super().get_config(), **own}

    def _kernel(self, sigma: tf.Tensor) -> tf.Tensor:
        """Weights of a kernel's centre and of its right half: `[radius + 1]`."""
        if self.window is None:
            return _three_boxes(sigma, self.sigma[1])
        offsets = tf.range(self.window // 2 + 1, dtype=tf.float32)
        half = tf.exp(-0.5 * tf.square(offsets / sigma))
        return half / (2.0 * tf.reduce_sum(half) - half[0])

    def _blur_axis(self, images: tf.Tensor, weights: tf.Tensor, axis: int) -> tf.Tensor:
        """A weighted sum of the image shifted along one axis."""
        length, radius = images.shape[axis], weights.shape[0] - 1
        padded = self._pad(images, radius, axis)

        def shifted(by: int) -> tf.Tensor:
            begin = radius + by
            rows = slice(begin, begin + length)
            return padded[:, :, rows] if axis == 2 else padded[:, :, :, rows]

        total = weights[0] * shifted(0)
        for by in range(1, radius + 1):
            total += weights[by] * (shifted(by) + shifted(-by))
        return total

    def _pad(self, images: tf.Tensor, radius: int, axis: int) -> tf.Tensor:
        """Continues the image beyond its edges along one axis."""
        length = images.shape[axis]
        outside = np.arange(-radius, length + radius)
        if self.window is None:
            inside = np.clip(outside, 0, length - 1)
        else:
            inside = reflected(outside, length)
        before = tf.gather(images, inside[:radius], axis=axis)
        after = tf.gather(images, inside[length + radius :], axis=axis)
        return tf.concat([before, images, after], axis=axis)


def reflected(places: np.ndarray, length: int) -> np.ndarray:
    """Places 0..length - 1 that places beyond the ends stand for, the end itself not repeated.

    They are folded as often as it takes.
    """
    period = max(2 * (length - 1), 1)
    return np.abs((places + length - 1) % period - (length - 1))


def _three_boxes(sigma: tf.Tensor, largest: float) -> tf.Tensor:
    """The right half of three extended box filters in a row, with the variance of a Gaussian.

    An extended box has 2 l + 1 weights of one height and a smaller one at either end. l is the
    largest for which the plain box is not too wide; the ends make up the variance exactly.

    Args:
        sigma: standard deviation in pixels, scalar tensor.
        largest: upper bound of sigma, a Python float; sets the static length.

    Returns:
        `[radius + 1]` float32; centre weight first.
    """
    # Four decimals of a pixel lie between a bound and the next length of box.
    reach = int((math.sqrt(12.0 * largest**2 / _BOXES + 1.0) - 1.0) / 2.0 + 1e-4) + 1
    variance = tf.square(sigma) / _BOXES
    half = tf.floor((tf.sqrt(12.0 * variance + 1.0) - 1.0) / 2.0)
    end = (2.0 * half + 1.0) * (half * (half + 1.0) - 3.0 * variance)
    end = end / (6.0 * (variance - tf.square(half + 1.0)))
    distance = tf.abs(tf.range(-reach, reach + 1, dtype=tf.float32))
    box = tf.where(distance <= half, 1.0, tf.where(distance == half + 1.0, end, 0.0))
    box = box / (2.0 * half + 1.0 + 2.0 * end)
    taps = box
    for _ in range(_BOXES - 1):
        taps = _convolve(taps, box)
    return taps[taps.shape[0] // 2 :]


def _convolve(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Full convolution of two short vectors of static length."""
    rows = a.shape[0]
    length = rows + b.shape[0] - 1
    # A row a step lower in each line of a padded outer product: reading it with one column less
    # shears it, and the columns sum up to the convolution.
    outer = tf.pad(a[:, tf.newaxis] * b[tf.newaxis], [[0, 0], [0, rows]])
    sheared = tf.reshape(tf.reshape(outer, [-1])[: rows * length], [rows, length])
    return tf.reduce_sum(sheared, axis=0)
