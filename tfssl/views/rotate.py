"""Rotation by a small angle."""

import math
from typing import Any

import tensorflow as tf

from tfssl.views.affine import MARGIN, sample
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
        height, width = images.shape[2:]
        cos, sin = tf.cos(angle), tf.sin(angle)
        middle = ((height - 1) / 2.0, (width - 1) / 2.0)
        down = tf.range(height, dtype=tf.float32)[:, tf.newaxis] - middle[0]
        right = tf.range(width, dtype=tf.float32) - middle[1]
        row = middle[0] + cos * down + sin * right
        column = middle[1] + cos * right - sin * down
        # Zeros on every side: whatever lies outside finds all its four neighbours there.
        margin = [MARGIN, MARGIN]
        padded = tf.pad(images[0], [[0, 0], margin, margin])
        row = tf.clip_by_value(row, -2.0, height)
        column = tf.clip_by_value(column, -2.0, width)
        return sample(padded, row, column, cubic=False)[tf.newaxis]

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same layer again."""
        return {**super().get_config(), "degrees": self.degrees}
