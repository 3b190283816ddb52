"""Resizing of windows of an image with antialiasing, as Pillow and torchvision do it.

An output pixel is a weighted mean of input pixels: a triangle (bilinear) or Catmull-Rom cubic
(bicubic) kernel around its centre, widened by the scale when the image shrinks. Weights are
normalised and never reach outside the window. Columns are resized before rows and bicubic
overshoot is clipped after each, which is Pillow's order.

Resizing one axis is a product with a banded matrix. `resize_windows` is for one image of any
size: it gathers the input lines of each block of output lines and multiplies block by block,
which costs about a fifth of the dense product. `resize_batch` is for batches of small images: one
dense product an axis, static shapes, compiles with XLA.
"""

from typing import Callable, NamedTuple

import tensorflow as tf

INTERPOLATIONS = ("bilinear", "bicubic")

# Output lines of one block product; smaller blocks waste fewer products with zero weights, larger
# ones waste less on overlapping input. 16 was fastest at 96 and at 224 pixels.
_BLOCK = 16


class Window(NamedTuple):
    """What is resized to what, as int32 `[..., 2]` tensors: (rows, columns).

    The input pixels `start .. start + length - 1` are resized to `resized` pixels; of those, the
    output keeps as many as it holds, beginning with number `first`.
    """

    start: tf.Tensor
    length: tf.Tensor
    resized: tf.Tensor
    first: tf.Tensor


def resize_windows(
    columns: tf.Tensor, windows: Window, *, size: int, interpolation: str
) -> list[tf.Tensor]:
    """Resizes several windows of one image to squares of one size.

    Args:
        columns: the image transposed, `[width, channels, height]`, uint8 or float in [0, 1];
            width and height may be unknown until run time. As columns are resized first, all
            windows share this transposition.
        windows: see `Window`; fields `[count, 2]`, the count static. They lie inside the image.
        size: side of the outputs in pixels.
        interpolation: "bilinear" or "bicubic".

    Returns:
        For each window `[size, size, channels]` float32 in [0, 1], within about 1/255 of Pillow
        on uint8 images.

    Raises:
        ValueError: unknown interpolation.
    """
    channels = columns.shape[1]
    unit = 1.0 / 255.0 if columns.dtype == tf.uint8 else 1.0
    inputs, weights = _block_weights(windows, size, *_kernel(interpolation), unit)
    # Matrix libraries prepare each shape of product once, so the lines get few different lengths:
    # some rows more than the window has, which the second product leaves out again.
    rows = tf.minimum(_round_up(windows.length[:, 0], _BLOCK), tf.shape(columns)[2])
    tops = tf.minimum(windows.start[:, 0], tf.shape(columns)[2] - rows)
    row_inputs = inputs[:, 0] + (windows.start[:, 0] - tops)[:, tf.newaxis, tf.newaxis]
    crops = []
    for i in range(windows.start.shape[0]):
        left, width = windows.start[i, 1], windows.length[i, 1]
        lines = columns[left : left + width, :, tops[i] : tops[i] + rows[i]]
        lines = tf.reshape(lines, [width, channels * rows[i]])
        lines = _limit(_resize_lines(lines, inputs[i, 1], weights[i, 1], size), interpolation)
        lines = tf.transpose(tf.reshape(lines, [size * channels, rows[i]]))
        lines = _limit(_resize_lines(lines, row_inputs[i], weights[i, 0], size), interpolation)
        crops.append(tf.reshape(lines, [size, size, channels]))
    return crops


def resize_batch(images: tf.Tensor, windows: Window, *, size: int, interpolation: str) -> tf.Tensor:
    """Resizes one window of each image of a batch to squares of one size.

    Args:
        images: `[batch, channels, height, width]` float in [0, 1].
        windows: see `Window`; fields `[batch, 2]`.
        size: side of the outputs in pixels.
        interpolation: "bilinear" or "bicubic".

    Returns:
        `[batch, channels, size, size]` float32 in [0, 1].

    Raises:
        ValueError: unknown interpolation.
    """
    kernel, _ = _kernel(interpolation)

    def matrix(axis: int) -> tf.Tensor:
        start, length, resized, first = (field[:, axis, tf.newaxis] for field in windows)
        scale = tf.cast(length, tf.float32) / tf.cast(resized, tf.float32)
        inputs = tf.range(tf.shape(images)[2 + axis]) - start
        centres = (tf.cast(tf.range(size) + first, tf.float32) + 0.5) * scale
        weights = _weights(tf.cast(inputs, tf.float32), centres, scale, length, kernel)
        return (weights / tf.reduce_sum(weights, axis=-1, keepdims=True))[:, tf.newaxis]

    # b: image, c: channel. [b, c, y, x] x [b, 1, x, out]; then [b, 1, out, y] x [b, c, y, x].
    columns = tf.matmul(images, matrix(1), transpose_b=True)
    columns = _limit(columns, interpolation)
    return _limit(tf.matmul(matrix(0), columns), interpolation)


def check_interpolation(interpolation: str) -> str:
    """Returns a known interpolation; raises ValueError on another."""
    if interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"expected one of {', '.join(INTERPOLATIONS)}. "
            f"Received: interpolation={interpolation!r}."
        )
    return interpolation


def _kernel(interpolation: str):
    """The kernel function and its half-width in output pixels."""
    check_interpolation(interpolation)
    return (_triangle, 1.0) if interpolation == "bilinear" else (_cubic, 2.0)


def _triangle(x: tf.Tensor) -> tf.Tensor:
    return tf.maximum(1.0 - tf.abs(x), 0.0)


def _cubic(x: tf.Tensor) -> tf.Tensor:
    """Keys' cubic with a = -0.5 (Catmull-Rom), which is Pillow's; torch tensors use -0.75."""
    x = tf.minimum(tf.abs(x), 2.0)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return tf.where(x < 1.0, near, far)


def _weights(inputs, centres, scale, length, kernel: Callable) -> tf.Tensor:
    """Weights that are not yet normalised: `[..., outputs, inputs]` float32.

    Args:
        inputs: `[..., inputs]` float32, pixels counted from the start of the window; those outside
            the window get no weight.
        centres: `[..., outputs]` float32, where in the window the output pixels lie.
        scale: input pixels for each output pixel, float32 that broadcasts with `centres`.
        length: int32 length of the window that broadcasts with `inputs`.
        kernel: from distances in output pixels (where the image shrinks) to weights.
    """
    offset = (inputs + 0.5)[..., tf.newaxis, :] - centres[..., tf.newaxis]
    weights = kernel(offset / tf.maximum(scale, 1.0)[..., tf.newaxis])
    inside = (inputs >= 0.0) & (inputs < tf.cast(length, tf.float32))
    return weights * tf.cast(inside, tf.float32)[..., tf.newaxis, :]


def _block_weights(
    windows: Window, size: int, kernel: Callable, radius: float, unit: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """The products of both axes of all windows at once, which spares many small operations.

    Args:
        windows: fields `[count, 2]`.
        size: lines of the output.
        kernel, radius: see `_kernel`.
        unit: factor on the columns, which scales pixels to [0, 1].

    Returns:
        `(inputs, weights)`: int32 `[count, 2, blocks, taps]`, the lines of the window that a block
        needs, and float32 `[count, 2, blocks, _BLOCK, taps]`.
    """
    blocks = -(-size // _BLOCK)
    scale = tf.cast(windows.length, tf.float32) / tf.cast(windows.resized, tf.float32)
    reach = radius * tf.maximum(scale, 1.0)
    taps = tf.cast(tf.reduce_max(_BLOCK * scale + 2.0 * reach), tf.int32) + 2
    taps = _round_up(taps, _BLOCK // 2)
    outputs = tf.reshape(tf.range(blocks * _BLOCK, dtype=tf.float32) + 0.5, [blocks, _BLOCK])
    scale = scale[:, :, tf.newaxis, tf.newaxis]
    centres = (outputs + tf.cast(windows.first, tf.float32)[:, :, tf.newaxis, tf.newaxis]) * scale
    lowest = tf.floor(centres[..., :1] - reach[:, :, tf.newaxis, tf.newaxis])
    inputs = lowest + tf.range(tf.cast(taps, tf.float32))
    length = windows.length[:, :, tf.newaxis, tf.newaxis]
    weights = _weights(inputs, centres, scale, length, kernel)
    factor = tf.reshape([1.0, unit], [2, 1, 1, 1])
    weights *= factor / tf.reduce_sum(weights, axis=-1, keepdims=True)
    return tf.clip_by_value(tf.cast(inputs, tf.int32), 0, length - 1), weights


def _resize_lines(lines: tf.Tensor, inputs: tf.Tensor, weights: tf.Tensor, size: int) -> tf.Tensor:
    """Resizes axis 0 of `lines` `[length, values]` to `[size, values]`, block by block."""
    products = tf.matmul(weights, tf.cast(tf.gather(lines, inputs), tf.float32))
    products = tf.reshape(products, [-1, tf.shape(lines)[1]])
    return products if size % _BLOCK == 0 else products[:size]


def _round_up(values: tf.Tensor, step: int) -> tf.Tensor:
    """The smallest multiple of `step` that is at least `values`."""
    return (values + step - 1) // step * step


def _limit(values: tf.Tensor, interpolation: str) -> tf.Tensor:
    """Clips the overshoot of the cubic kernel; the triangle has none."""
    return tf.clip_by_value(values, 0.0, 1.0) if interpolation == "bicubic" else values
