"""Pairs of patches: two places of one image, a distance apart."""

from typing import Any

import tensorflow as tf

from tfssl.ops.keyed_random import keyed_uniform
from tfssl.views.crop import Crop
from tfssl.views.resample import Window


class PatchPair(Crop):
    """One of two squares of an image, at (x, y) and at (x + distance, y + distance).

    CMC, Tian, Krishnan, Isola 2020, arXiv 1906.05849, Figure 5 right: x and y are uniform among
    the places where both squares lie inside, and pixels stay as they are. An image that is too
    small for that is enlarged until both fit.
    """

    # Both patches of an image are drawn from one key.
    joint = True

    def __init__(self, size: int, *, patch: int, distance: int, **kwargs: Any):
        """Initialises the layer.

        Args:
            size: side of a patch in pixels, >= 1.
            patch: 0 for the one at (x, y), 1 for the other.
            distance: in pixels, right and down, >= 0; they do not overlap from `size` on.
            **kwargs: see `Crop`.
        """
        super().__init__(size, **kwargs)
        if patch not in (0, 1) or distance < 0:
            raise ValueError(
                "PatchPair: expected patch 0 or 1 and distance >= 0. "
                f"Received: {patch=}, {distance=}."
            )
        self.patch, self.distance = patch, distance

    def window(self, keys: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> Window:
        """See `Crop.window`; the two layers of a pair choose alike from one key."""
        image = tf.stack([height, width])
        # Pixels of the image for a pixel of a patch: less than 1 where it has to be enlarged.
        room = tf.cast(tf.reduce_min(image), tf.float64) / float(self.size + self.distance)
        scale = tf.minimum(room, 1.0)
        side = tf.maximum(tf.cast(tf.round(scale * self.size), tf.int32), 1)
        # Rounded down, both fit whatever the side was rounded to.
        apart = tf.minimum(
            tf.cast(tf.floor(scale * self.distance), tf.int32), tf.reduce_min(image) - side
        )
        draws = tf.cast(keyed_uniform(keys, 2, stream=self.stream), tf.float64)
        places = tf.cast(image - side - apart + 1, tf.float64)
        start = tf.cast(tf.floor(draws * places), tf.int32) + self.patch * apart
        length = tf.fill(tf.shape(start), side)
        return Window(start, length, tf.fill(tf.shape(start), self.size), tf.zeros_like(start))

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same layer again."""
        return {**super().get_config(), "patch": self.patch, "distance": self.distance}
