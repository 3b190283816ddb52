"""Encoded images in graph code: one set of formats in, JPEG or PNG out."""

import tensorflow as tf

_PNG = b"\x89PNG"


def decode_rgb(contents: tf.Tensor) -> tf.Tensor:
    """Decodes one image.

    Args:
        contents: scalar string, an encoded JPEG, PNG, BMP or GIF. Of an animation the first frame
            is taken; transparency is dropped.

    Returns:
        `[height, width, 3]` uint8.
    """
    # The accurate transform is the one other libraries use; the default differs by a few levels.
    return tf.cond(
        tf.io.is_jpeg(contents),
        lambda: tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(contents, channels=3, expand_animations=False),
    )


def as_jpeg_or_png(contents: tf.Tensor) -> tf.Tensor:
    """Leaves a JPEG or PNG as it is and re-encodes other formats as PNG, which loses nothing.

    Views then only need to know formats whose decoders work on a scalar string without surprises.

    Args:
        contents: scalar string, an encoded JPEG, PNG, BMP or GIF.

    Returns:
        Scalar string.
    """
    known = tf.logical_or(
        tf.io.is_jpeg(contents), tf.equal(tf.strings.substr(contents, 0, len(_PNG)), _PNG)
    )
    return tf.cond(
        known,
        lambda: tf.identity(contents),
        lambda: tf.io.encode_png(decode_rgb(contents), compression=1),
    )
