"""Affine maps of one image, as Pillow computes them, and interpolation between pixels."""

from typing import Sequence, Union

import numpy as np
import tensorflow as tf

from tfssl.views.levels import rounded_product

# Pixels that `sample` wants on every side of the image: a cubic kernel reaches two pixels far.
MARGIN = 2

# Six numbers a, b, c, d, e, f: the place (x, y) shows what is at (a x + b y + c, d x + e y + f).
# Places are those of the middles of pixels, in pixels from the corner above and left of the first.
Coefficients = Union[tf.Tensor, Sequence[Union[float, tf.Tensor]]]


def source_positions(
    coefficients: Coefficients, height: int, width: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """The place in the input that each pixel of the output shows.

    Args:
        coefficients: see `Coefficients`, float64.
        height, width: size of input and output.

    Returns:
        Rows and columns in the input, `[height, width]` float64 each; 0.5 is the first pixel's
        middle.
    """
    a, b, c, d, e, f = tf.unstack(tf.cast(coefficients, tf.float64), num=6)
    y = tf.constant(np.arange(height)[:, np.newaxis] + 0.5)
    x = tf.constant(np.arange(width)[np.newaxis] + 0.5)
    column = rounded_product(a, x) + rounded_product(b, y) + c
    row = rounded_product(d, x) + rounded_product(e, y) + f
    return row, column


def sample(padded: tf.Tensor, row: tf.Tensor, column: tf.Tensor, *, cubic: bool) -> tf.Tensor:
    """Interpolates an image between its pixels.

    Args:
        padded: `[channels, height + 2 * MARGIN, width + 2 * MARGIN]` floating, the image with a
            margin on every side that continues it.
        row, column: `[height, width]` places in the image without its margin, of the same type;
            0 is the middle of the first pixel. Rows within [-2, height] for bilinear and
            [-1, height) for cubic interpolation; columns likewise.
        cubic: whether to take Pillow's cubic kernel over 4 x 4 pixels, or the 2 x 2 neighbours.

    Returns:
        `[channels, height, width]` of the same type; cubic interpolation can leave the range of
        its input.

    Notes:
        The kernel of Pillow's `Image.transform` is Keys' with the parameter -1. (Its `resize`
        has -0.5.)
    """
    stride = padded.shape[2]
    flat = tf.reshape(padded, [padded.shape[0], -1])
    top, left = tf.floor(row), tf.floor(column)
    down, right = row - top, column - left
    corner = (tf.cast(top, tf.int32) + MARGIN) * stride + tf.cast(left, tf.int32) + MARGIN
    between = _between_four if cubic else _between_two
    offsets = (-1, 0, 1, 2) if cubic else (0, 1)
    lines = [
        between([tf.gather(flat, corner + y * stride + x, axis=1) for x in offsets], right)
        for y in offsets
    ]
    return between(lines, down)


def transform_levels(
    levels: tf.Tensor, coefficients: Coefficients, *, fill: Sequence[float], cubic: bool
) -> tf.Tensor:
    """Pillow's `Image.transform` with an affine map, at the same size, to the bit.

    Where the map leaves the image, the output has the fill colour, without a soft edge. Up to half
    a pixel beyond the outermost middles still belongs to the image; there its border is repeated.

    Args:
        levels: `[1, channels, height, width]` float32, whole numbers 0..255.
        coefficients: see `Coefficients`, float64.
        fill: level of the outside, one for each channel.
        cubic: cubic or bilinear interpolation.

    Returns:
        Levels of the same shape; what is behind the point is cut off.
    """
    height, width = levels.shape[2:]
    row, column = source_positions(coefficients, height, width)
    inside = (row >= 0.0) & (row < height) & (column >= 0.0) & (column < width)
    # Outside the value is thrown away; the gather only has to stay in the margin.
    row = tf.clip_by_value(row, 0.0, float(height)) - 0.5
    column = tf.clip_by_value(column, 0.0, float(width)) - 0.5
    rows = np.clip(np.arange(-MARGIN, height + MARGIN), 0, height - 1)
    columns = np.clip(np.arange(-MARGIN, width + MARGIN), 0, width - 1)
    padded = tf.gather(tf.gather(levels[0], rows, axis=1), columns, axis=2)
    result = sample(tf.cast(padded, tf.float64), row, column, cubic=cubic)
    result = tf.cast(tf.floor(tf.clip_by_value(result, 0.0, 255.0)), tf.float32)
    outside = tf.constant(fill, tf.float32)[:, tf.newaxis, tf.newaxis]
    return tf.where(inside, result, outside)[tf.newaxis]


def _between_two(values: Sequence[tf.Tensor], past: tf.Tensor) -> tf.Tensor:
    """Between two neighbours, `past` in [0, 1] beyond the first."""
    first, second = values
    return first + rounded_product(second - first, past)


def _between_four(values: Sequence[tf.Tensor], past: tf.Tensor) -> tf.Tensor:
    """The cubic through four neighbours, `past` in [0, 1] beyond the second."""
    a, b, c, d = values
    line, square, cube = c - a, 2.0 * (a - b) + c - d, b - a - c + d
    inner = square + rounded_product(past, cube)
    return b + rounded_product(past, line + rounded_product(past, inner))
