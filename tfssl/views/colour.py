"""Colour changes: jitter, greyscale, solarisation, with the arithmetic of torchvision.

On floats it is that of torchvision's tensors; with `levels`, that of Pillow's pictures of 8 bits.
"""

import itertools
from typing import Any, Union

import numpy as np
import tensorflow as tf

from tfssl.views.layer import ViewLayer
from tfssl.views.levels import (
    brighten_levels,
    contrast_levels,
    from_levels,
    grey_levels,
    saturate_levels,
    shift_hue_levels,
    to_levels,
)

_OPERATIONS = ("brightness", "contrast", "saturation", "hue")


def grey(images: tf.Tensor) -> tf.Tensor:
    """Luma of planar RGB images, ITU-R 601 weights: `[batch, 3, h, w]` -> `[batch, 1, h, w]`."""
    return 0.299 * images[:, 0:1] + 0.587 * images[:, 1:2] + 0.114 * images[:, 2:3]


def adjust_brightness(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blends planar images with black: `factor * image`, clipped."""
    return tf.minimum(images * factor, 1.0)


def adjust_contrast(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blends planar images with the mean of their grey version, clipped."""
    mean = tf.reduce_mean(grey(images), axis=[1, 2, 3], keepdims=True)
    return tf.clip_by_value(images * factor + mean * (1.0 - factor), 0.0, 1.0)


def adjust_saturation(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blends planar images with their grey version, clipped."""
    return tf.clip_by_value(images * factor + grey(images) * (1.0 - factor), 0.0, 1.0)


def adjust_hue(images: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """Rotates the hue of planar RGB images, with value and saturation of HSV unchanged.

    Args:
        images: `[batch, 3, height, width]` in [0, 1].
        shift: in turns, in [-0.5, 0.5]; broadcasts with one channel.

    Returns:
        Images of the same shape. Grey pixels stay as they are.
    """
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    high = tf.maximum(tf.maximum(red, green), blue)
    chroma = high - tf.minimum(tf.minimum(red, green), blue)
    inverse = 1.0 / tf.where(chroma > 0.0, chroma, 1.0)
    # Hue in sixths of a turn: 0 red, 2 green, 4 blue.
    hue = tf.where(
        high == red,
        (green - blue) * inverse,
        tf.where(high == green, (blue - red) * inverse + 2.0, (red - green) * inverse + 4.0),
    )
    hue = hue + 6.0 * shift

    def channel(offset: float) -> tf.Tensor:
        # A channel falls from `high` by the chroma over one sixth, stays, and rises again.
        angle = (hue + offset) * (1.0 / 6.0)
        angle = (angle - tf.floor(angle)) * 6.0
        return high - chroma * tf.clip_by_value(tf.minimum(angle, 4.0 - angle), 0.0, 1.0)

    return tf.concat([channel(5.0), channel(3.0), channel(1.0)], axis=1)


def solarize(images: tf.Tensor, threshold: Union[float, tf.Tensor]) -> tf.Tensor:
    """Inverts values of at least a threshold 0..256, compared as if rounded to whole levels."""
    return tf.where(images >= (threshold - 0.5) / 255.0, 1.0 - images, images)


class ColorJitter(ViewLayer):
    """Changes brightness, contrast, saturation and hue by random factors, in random order.

    The order is drawn anew for each image, and values are clipped to [0, 1] after each operation.
    Factors of the first three are uniform in [max(0, 1 - strength), 1 + strength], the hue shift
    in [-strength, strength] turns. An operation of strength 0 is left out.
    """

    num_draws = 5
    # Each image needs only the operations of its own order, one after the other.
    per_image = True

    def __init__(
        self,
        *,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        levels: bool = False,
        **kwargs: Any,
    ):
        """Initialises the layer.

        Args:
            brightness, contrast, saturation: strengths, >= 0.
            hue: largest shift in turns, in [0, 0.5].
            levels: whether images are rounded to whole levels of 8 bits first, and each operation
                is Pillow's, to the bit.
            **kwargs: see `ViewLayer`.
        """
        super().__init__(**kwargs)
        self.levels = levels
        self.strengths = dict(zip(_OPERATIONS, (brightness, contrast, saturation, hue)))
        if min(self.strengths.values()) < 0 or hue > 0.5:
            raise ValueError(
                "ColorJitter: expected strengths >= 0 and a hue of at most 0.5 turns. "
                f"Received: {self.strengths}."
            )

    def change(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Applies the operations to one image, see `ViewLayer.change`."""
        branches = [
            lambda x, change=change, factor=factor: change(x, factor)
            for change, factor in self._operations(draws)
        ]
        count = len(branches)
        if not count:
            return images
        orders = np.array(list(itertools.permutations(range(count))), np.int32)
        chosen = tf.cast(draws[0, 4] * len(orders), tf.int32)
        order = tf.gather(tf.constant(orders), chosen)
        # A loop, not four switches in a row: XLA compiles its body once.
        changed = tf.while_loop(
            lambda slot, _: slot < count,
            lambda slot, x: (
                slot + 1,
                tf.switch_case(order[slot], [lambda b=b: b(x) for b in branches]),
            ),
            (0, to_levels(images) if self.levels else images),
            maximum_iterations=count,
        )[1]
        return from_levels(changed) if self.levels else changed

    def _operations(self, draws: tf.Tensor):
        """(function, factor) of every operation that has a strength."""
        functions = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)
        if self.levels:
            functions = (brighten_levels, contrast_levels, saturate_levels, shift_hue_levels)
        for i, (name, function) in enumerate(zip(_OPERATIONS, functions)):
            strength = self.strengths[name]
            low, high = -strength, strength
            if name != "hue":
                low, high = max(0.0, 1.0 - strength), 1.0 + strength
            if strength:
                yield function, low + draws[0, i] * (high - low)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same layer again."""
        return {**super().get_config(), **self.strengths, "levels": self.levels}


class Grayscale(ViewLayer):
    """Replaces RGB by its luma, repeated on the three channels."""

    def __init__(self, *, levels: bool = False, **kwargs: Any):
        """Initialises the layer.

        Args:
            levels: whether images are rounded to whole levels of 8 bits first, and the luma too, as
                Pillow does it.
            **kwargs: see `ViewLayer`.
        """
        super().__init__(**kwargs)
        self.levels = levels

    def change(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """See `ViewLayer.change`."""
        del draws
        luma = from_levels(grey_levels(to_levels(images))) if self.levels else grey(images)
        return tf.repeat(luma, 3, axis=1)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same layer again."""
        return {**super().get_config(), "levels": self.levels}


class Solarize(ViewLayer):
    """Inverts the values that are at least a threshold."""

    def __init__(self, *, threshold: int = 128, **kwargs: Any):
        """Initialises the layer.

        Args:
            threshold: on the scale 0..255. Values are compared as if rounded to that scale.
            **kwargs: see `ViewLayer`.
        """
        super().__init__(**kwargs)
        self.threshold = threshold

    def change(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """See `ViewLayer.change`."""
        del draws
        return solarize(images, self.threshold)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same layer again."""
        return {**super().get_config(), "threshold": self.threshold}
