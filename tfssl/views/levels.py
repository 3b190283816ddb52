"""Images in whole levels of 8 bits, and Pillow's arithmetic on them, to the bit.

Levels are float32 tensors that hold whole numbers 0..255: a float32 has room for all sums here, and
TensorFlow's vector units work on it. Where Pillow computes in double precision, or rounds a float
to single precision on the way, so do these functions: what is cut off behind the point decides the
level.
"""

import tensorflow as tf

from tfssl.views.layer import ViewLayer

# No number in an image comes near it.
_BEYOND = 1e30


def to_levels(images: tf.Tensor) -> tf.Tensor:
    """The nearest whole levels of floats in [0, 1]."""
    return tf.floor(images * 255.0 + 0.5)


def from_levels(levels: tf.Tensor) -> tf.Tensor:
    """Levels as floats in [0, 1]; `to_levels` gives back the same levels."""
    return levels * (1.0 / 255.0)


def rounded_product(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """A product that is rounded before anything is added to it.

    XLA would compute a product and a sum in one operation that rounds once, and Pillow rounds
    twice: a difference where the result is nearly a whole number.
    """
    return tf.minimum(a * b, tf.constant(_BEYOND, a.dtype))


def rounded_quotient(a: tf.Tensor, b: float) -> tf.Tensor:
    """a / b, rounded once: XLA would multiply with 1 / b, which is rounded before."""
    # It does not know that this is b.
    return a / (b + tf.minimum(tf.abs(a), 0.0))


def grey_levels(levels: tf.Tensor) -> tf.Tensor:
    """Luma of planar RGB levels, ITU-R 601 in 16 bits behind the point: one channel."""
    red, green, blue = (tf.cast(levels[:, i : i + 1], tf.int32) for i in range(3))
    luma = tf.bitwise.right_shift(red * 19595 + green * 38470 + blue * 7471 + 0x8000, 16)
    return tf.cast(luma, tf.float32)


def blend_levels(plain: tf.Tensor, levels: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """plain + factor (levels - plain), clipped, and what is behind the point cut off.

    Args:
        plain: levels that broadcast with `levels`; what a factor of 0 gives.
        levels: what a factor of 1 gives.
        factor: scalar, >= 0; rounded to float32, as Pillow does.
    """
    factor = tf.cast(factor, tf.float32)
    mixed = plain + rounded_product(factor, levels - plain)
    return tf.floor(tf.clip_by_value(mixed, 0.0, 255.0))


def brighten_levels(levels: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Pillow's `ImageEnhance.Brightness`: a blend with black."""
    return blend_levels(tf.zeros_like(levels), levels, factor)


def contrast_levels(levels: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Pillow's `ImageEnhance.Contrast`: a blend with the mean luma, rounded, of each image."""
    luma = tf.cast(grey_levels(levels), tf.int32)
    pixels = luma.shape[2] * luma.shape[3]
    total = tf.reduce_sum(luma, axis=[1, 2, 3], keepdims=True)
    mean = (2 * total + pixels) // (2 * pixels)
    return blend_levels(tf.cast(mean, tf.float32), levels, factor)


def saturate_levels(levels: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Pillow's `ImageEnhance.Color`: a blend with the luma."""
    return blend_levels(grey_levels(levels), levels, factor)


def shift_hue_levels(levels: tf.Tensor, turns: tf.Tensor) -> tf.Tensor:
    """torchvision's `adjust_hue` of a Pillow image: hue, saturation and value have 8 bits each.

    Args:
        levels: planar RGB, `[batch, 3, height, width]`.
        turns: scalar, float64, in [-0.5, 0.5]; 1 is 255 levels of hue, what is behind the point
            cut off.
    """
    hue, saturation, value = _hsv_of_levels(levels)
    # Shifted hues wrap at 256, though a turn has 255 levels.
    steps = tf.cast(turns * 255.0, tf.int32)
    hue = tf.cast(tf.bitwise.bitwise_and(tf.cast(hue, tf.int32) + steps, 255), tf.float64)
    return _levels_of_hsv(hue, saturation, value)


def _hsv_of_levels(levels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Hue (float64), saturation and value (float32), whole numbers 0..255, one channel each."""
    red, green, blue = (levels[:, i : i + 1] for i in range(3))
    value = tf.maximum(tf.maximum(red, green), blue)
    chroma = value - tf.minimum(tf.minimum(red, green), blue)
    divisor = tf.maximum(chroma, 1.0)
    red_gap, green_gap, blue_gap = ((value - c) / divisor for c in (red, green, blue))
    double = [tf.cast(gap, tf.float64) for gap in (red_gap, green_gap, blue_gap)]
    sixths = tf.where(
        red == value,
        tf.cast(blue_gap - green_gap, tf.float64),
        tf.where(green == value, 2.0 + double[0] - double[2], 4.0 + double[1] - double[0]),
    )
    # In single precision twice on the way, as Pillow's variables are.
    turns = rounded_quotient(tf.cast(tf.cast(sixths, tf.float32), tf.float64), 6.0) + 1.0
    turns = tf.cast(tf.cast(turns - tf.floor(turns), tf.float32), tf.float64)
    hue = tf.floor(tf.where(chroma > 0.0, turns, tf.zeros_like(turns)) * 255.0)
    share = tf.cast(chroma / tf.maximum(value, 1.0), tf.float64)
    return hue, tf.cast(tf.floor(share * 255.0), tf.float32), value


def _levels_of_hsv(hue: tf.Tensor, saturation: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """The inverse, as exact as 8 bits each can be; three channels."""
    place = rounded_quotient(hue * 6.0, 255.0)
    sixth = tf.floor(place)
    past = tf.cast(place - sixth, tf.float32)
    share = tf.cast(rounded_quotient(tf.cast(saturation, tf.float64), 255.0), tf.float32)

    def less(part: tf.Tensor) -> tf.Tensor:
        left = tf.cast(value, tf.float64) * (1.0 - tf.cast(part, tf.float64))
        return tf.cast(tf.floor(left + 0.5), tf.float32)

    low, falling = less(share), less(share * past)
    rising = less(tf.cast(share, tf.float64) * (1.0 - tf.cast(past, tf.float64)))
    sixth = tf.cast(sixth, tf.int32) % 6
    # Red, green and blue in each sixth of a turn.
    orders = (
        (value, rising, low),
        (falling, value, low),
        (low, value, rising),
        (low, falling, value),
        (rising, low, value),
        (value, low, falling),
    )
    colour = list(orders[5])
    for number, order in enumerate(orders[:5]):
        colour = [tf.where(sixth == number, new, old) for new, old in zip(order, colour)]
    grey = saturation == 0.0
    return tf.concat([tf.where(grey, value, channel) for channel in colour], axis=1)


class Levels(ViewLayer):
    """Rounds pixels to whole levels of 8 bits, as a picture of Pillow has them."""

    def change(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """See `ViewLayer.change`."""
        del draws
        return from_levels(to_levels(images))
