"""Affine maps of one image: where its pixels come from, and interpolation at those places."""

from typing import Sequence, Union

import numpy as np
import tensorflow as tf

# Pixels that `sample` wants on every side of the image: a cubic kernel reaches two pixels far.
MARGIN = 2

# Two rows of three numbers, see `source_positions`.
Matrix = Union[tf.Tensor, Sequence[Sequence[Union[float, tf.Tensor]]]]


def source_positions(matrix: Matrix, height: int, width: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The place in the input that each pixel of the output shows.

    Args:
        matrix: ((a, b, c), (d, e, f)). The pixel that lies `down` and `right` of the middle of the
            image shows what is a * down + b * right + c below the middle and
            d * down + e * right + f to the right of it. All in pixels.
        height, width: size of input and output.

    Returns:
        Rows and columns in the input, `[height, width]` float32 each or of a shape that broadcasts
        to it; whole numbers are the centres of pixels.
    """
    middle = ((height - 1) / 2.0, (width - 1) / 2.0)
    down = tf.range(height, dtype=tf.float32)[:, tf.newaxis] - middle[0]
    right = tf.range(width, dtype=tf.float32) - middle[1]
    row = middle[0] + matrix[0][2] + matrix[0][0] * down + matrix[0][1] * right
    column = middle[1] + matrix[1][2] + matrix[1][1] * right + matrix[1][0] * down
    return row, column


def sample(padded: tf.Tensor, row: tf.Tensor, column: tf.Tensor, *, cubic: bool) -> tf.Tensor:
    """Interpolates an image between its pixels.

    Args:
        padded: `[channels, height + 2 * MARGIN, width + 2 * MARGIN]` float32, the image with a
            margin on every side that continues it.
        row, column: `[height, width]` places in the image without its margin. Rows within
            [-2, height] for bilinear and [-1, height) for cubic interpolation; columns likewise.
        cubic: whether to take Pillow's cubic kernel over 4 x 4 pixels, or the 2 x 2 neighbours.

    Returns:
        `[channels, height, width]` float32; cubic interpolation can leave the range of its input.

    Notes:
        The kernel of Pillow's `Image.transform` is Keys' with the parameter -1. (Its `resize`
        has -0.5.)
    """
    stride = padded.shape[2]
    flat = tf.reshape(padded, [padded.shape[0], -1])
    row, column = row + MARGIN, column + MARGIN
    top, left = tf.floor(row), tf.floor(column)
    corner = tf.cast(top, tf.int32) * stride + tf.cast(left, tf.int32)
    vertical, horizontal = _taps(row - top, cubic), _taps(column - left, cubic)

    def line(down: int) -> tf.Tensor:
        return tf.add_n(
            [
                weight * tf.gather(flat, corner + down * stride + right, axis=1)
                for right, weight in horizontal
            ]
        )

    return tf.add_n([weight * line(down) for down, weight in vertical])


def transform_affine(
    images: tf.Tensor, matrix: Matrix, *, fill: Sequence[float], cubic: bool
) -> tf.Tensor:
    """Maps one image as Pillow's `Image.transform` does, at the same size.

    Where the map leaves the image, the output has the fill colour, without a soft edge. Up to half
    a pixel beyond the outermost centres still belongs to the image; there its border is repeated.

    Args:
        images: `[1, channels, height, width]` float32 in [0, 1].
        matrix: see `source_positions`.
        fill: colour of the outside, one number in [0, 1] for each channel.
        cubic: cubic or bilinear interpolation; the former is clipped to [0, 1].

    Returns:
        An image of the same shape.
    """
    height, width = images.shape[2:]
    row, column = source_positions(matrix, height, width)
    inside = (row >= -0.5) & (row < height - 0.5) & (column >= -0.5) & (column < width - 0.5)
    # Outside the value is thrown away; the gather only has to stay in the margin.
    row = tf.clip_by_value(row, -0.5, height - 0.5)
    column = tf.clip_by_value(column, -0.5, width - 0.5)
    rows = np.clip(np.arange(-MARGIN, height + MARGIN), 0, height - 1)
    columns = np.clip(np.arange(-MARGIN, width + MARGIN), 0, width - 1)
    padded = tf.gather(tf.gather(images[0], rows, axis=1), columns, axis=2)
    result = sample(padded, row, column, cubic=cubic)
    if cubic:
        result = tf.clip_by_value(result, 0.0, 1.0)
    outside = tf.constant(fill, tf.float32)[:, tf.newaxis, tf.newaxis]
    return tf.where(inside, result, outside)[tf.newaxis]


def _taps(past: tf.Tensor, cubic: bool) -> list[tuple[int, tf.Tensor]]:
    """(offset, weight) of the pixels that count at `past` in [0, 1] beyond pixel 0."""
    if not cubic:
        return [(0, 1.0 - past), (1, past)]
    square = tf.square(past)
    cube = square * past
    return [
        (-1, 2.0 * square - past - cube),
        (0, 1.0 - 2.0 * square + cube),
        (1, past + square - cube),
        (2, cube - square),
    ]
