"""Squares of pixels as they are: one at a random place, or two of them a distance apart."""

from typing import Any

import tensorflow as tf

from tfssl.ops.keyed_random import keyed_uniform
from tfssl.views.crop import Crop
from tfssl.views.resample import Window


class RandomCrop(Crop):
    """A square of pixels as they are, at a uniform place.

    CMC, Tian, Krishnan, Isola 2020, arXiv 1906.05849, on STL-10. An image that is too small for
    the square is enlarged until it fits.
    """

    def window(self, keys: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> Window:
        """See `Crop.window`."""
        return self._square(keys, tf.stack([height, width]))

    def _square(self, keys: tf.Tensor, image: tf.Tensor, distance: int = 0, further: int = 0):
        """The window at (x, y), or `further` times the distance right and down of it."""
        # Pixels of the image for a pixel of a square: less than 1 where it has to be enlarged.
        room = tf.cast(tf.reduce_min(image), tf.float64) / float(self.size + distance)
        scale = tf.minimum(room, 1.0)
        side = tf.maximum(tf.cast(tf.round(scale * self.size), tf.int32), 1)
        # Rounded down, both fit whatever the side was rounded to.
        apart = tf.minimum(
            tf.cast(tf.floor(scale * distance), tf.int32), tf.reduce_min(image) - side
        )
        draws = tf.cast(keyed_uniform(keys, 2, stream=self.stream), tf.float64)
        places = tf.cast(image - side - apart + 1, tf.float64)
        start = tf.cast(tf.floor(draws * places), tf.int32) + further * apart
        length = tf.fill(tf.shape(start), side)
        return Window(start, length, tf.fill(tf.shape(start), self.size), tf.zeros_like(start))


class PatchPair(RandomCrop):
    """One of two squares of an image, at (x, y) and at (x + distance, y + distance).

    CMC, Figure 5 right: x and y are uniform among the places where both squares lie inside, and
    pixels stay as they are. An image that is too small for that is enlarged until both fit, and
    the distance with it.
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
        return self._square(keys, tf.stack([height, width]), self.distance, self.patch)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same layer again."""
        return {**super().get_config(), "patch": self.patch, "distance": self.distance}
