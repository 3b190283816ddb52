"""Encoded image bytes to pixels, all of them or only a part.

JPEG pixels are those of Pillow. Of an animation the first frame is taken; grey images get three
equal channels and an alpha channel is dropped, as in Pillow's conversion to RGB.
"""

import tensorflow as tf

# The outermost columns of a partial JPEG decode can differ from those of a whole one, because
# colour is upsampled from its neighbours. So much more is decoded on each side; 2 is enough.
_MARGIN = 4


def open_image(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads the size of an image; of a JPEG from its header alone.

    Args:
        encoded: scalar string, the bytes of a JPEG, PNG, GIF or BMP file.

    Returns:
        `(shape, pixels)`: int32 `[2]`, (height, width), and what had to be decoded to know them,
        uint8 `[height, width, 3]`; empty for a JPEG.
    """

    def jpeg():
        return tf.io.extract_jpeg_shape(encoded)[:2], tf.zeros([0, 0, 3], tf.uint8)

    def bitmap():
        # The decoder refuses another number of channels than the file's: one, three or four.
        pixels = tf.io.decode_bmp(encoded)
        return tf.shape(pixels)[:2], tf.tile(pixels, [1, 1, 3])[:, :, :3]

    def other():
        pixels = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        return tf.shape(pixels)[:2], pixels

    is_bitmap = tf.equal(tf.strings.substr(encoded, 0, 2), b"BM")
    shape, pixels = tf.cond(tf.io.is_jpeg(encoded), jpeg, lambda: tf.cond(is_bitmap, bitmap, other))
    return tf.ensure_shape(shape, [2]), tf.ensure_shape(pixels, [None, None, 3])


def decode_part(
    encoded: tf.Tensor, shape: tf.Tensor, pixels: tf.Tensor, low: tf.Tensor, high: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes at least the part of an image between two corners.

    Args:
        encoded: scalar string, the bytes given to `open_image`.
        shape, pixels: what `open_image` returned.
        low, high: int32 `[2]`, (row, column) of the first pixel needed and behind the last one.

    Returns:
        `(part, origin)`: uint8 `[height, width, 3]`, and where in the image its first pixel lies:
        int32 `[2]`, (row, column).
    """

    def jpeg():
        first = tf.maximum(low - _MARGIN, 0)
        window = tf.concat([first, tf.minimum(high + _MARGIN, shape) - first], 0)
        # libjpeg's accurate transform, which Pillow uses too.
        part = tf.io.decode_and_crop_jpeg(
            encoded, window, channels=3, dct_method="INTEGER_ACCURATE"
        )
        return part, first

    part, origin = tf.cond(
        tf.equal(tf.size(pixels), 0), jpeg, lambda: (pixels, tf.zeros([2], tf.int32))
    )
    return tf.ensure_shape(part, [None, None, 3]), origin
