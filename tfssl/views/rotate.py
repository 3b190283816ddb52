"""Rotation by a small angle."""

import math
from typing import Any

import tensorflow as tf

from tfssl.views.layer import ViewLayer


class Rotation(ViewLayer):
    """Turns images about their centre by an angle that is drawn for each; the size stays.

    Pixels are interpolated bilinearly, and there are zeros beyond the edges. (torchvision's
    rotation, which DeepCluster's recipe uses, takes the nearest pixel.)
    """

    num_draws = 1
    per_image = True

    def __init__(self, *, degrees: float, **kwargs: Any):
        """Initialises the layer.

        Args:
            degrees: the angle is uniform in [-degrees, degrees]; >= 0, positive against the clock.
            **kwargs: see `ViewLayer`.
        """
        super().__init__(**kwargs)
        if not 0 <= degrees < math.inf:
            raise ValueError(f"Rotation: expected degrees >= 0. Received: {degrees=}.")
        self.degrees = float(degrees)

    def change(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Turns one image, see `ViewLayer.change`."""
        angle = (2.0 * draws[0, 0] - 1.0) * math.radians(self.degrees)
        channels, height, width = images.shape[1:]
        middle = ((height - 1) / 2.0, (width - 1) / 2.0)
        down = tf.range(height, dtype=tf.float32)[:, tf.newaxis] - middle[0]
        right = tf.range(width, dtype=tf.float32) - middle[1]
        cos, sin = tf.cos(angle), tf.sin(angle)
        # Where each pixel comes from.
        row = middle[0] + cos * down + sin * right
        column = middle[1] + cos * right - sin * down
        # Two zeros on every side: whatever lies outside finds all its four neighbours there.
        padded = tf.pad(images[0], [[0, 0], [2, 2], [2, 2]])
        flat = tf.reshape(padded, [channels, -1])
        row = tf.clip_by_value(row, -2.0, height) + 2.0
        column = tf.clip_by_value(column, -2.0, width) + 2.0
        top, left = tf.floor(row), tf.floor(column)
        corner = tf.cast(top, tf.int32) * (width + 4) + tf.cast(left, tf.int32)
        below, beside = row - top, column - left

        def pixels(offset: int) -> tf.Tensor:
            return tf.gather(flat, corner + offset, axis=1)

        upper = (1.0 - beside) * pixels(0) + beside * pixels(1)
        lower = (1.0 - beside) * pixels(width + 4) + beside * pixels(width + 5)
        return ((1.0 - below) * upper + below * lower)[tf.newaxis]

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same layer again."""
        return {**super().get_config(), "degrees": self.degrees}
