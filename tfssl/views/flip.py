"""Horizontal flip."""

import tensorflow as tf

from tfssl.views.layer import ViewLayer


class HorizontalFlip(ViewLayer):
    """Mirrors images left to right; fires with probability 0.5 in all recipes."""

    # As a branch of its own: fused with what comes after it, XLA reads pixels one by one.
    per_image = True

    def change(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """See `ViewLayer.change`."""
        del draws
        return tf.reverse(images, axis=[3])
