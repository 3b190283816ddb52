"""The base of all view layers: keras-cv's augmentation layer with stateless draws."""

from typing import Any

import keras_cv
import tensorflow as tf

from tfssl.ops.keyed_random import keyed_uniform

# Every view layer, in order of definition; a test checks that each subclasses keras-cv's base.
VIEW_LAYERS: list[type["ViewLayer"]] = []


class ViewLayer(keras_cv.layers.VectorizedBaseImageAugmentationLayer):
    """A random change of images whose draws are a pure function of a key of each image.

    keras-cv's layers draw from stateful generators, so a view would depend on what was drawn
    before it. Here each image brings an int64 key (`tfssl.ops.fold_key`), and the layer's `stream`
    number keeps its draws apart from those of the other layers. The same key and image give the
    same view whatever else is in the batch; an image on which the layer does not fire comes back
    bit for bit.

    Called on `{"images": [batch, height, width, channels] float in [0, 1], "keys": [batch] int64,
    ...}` (or one image without the batch axis), it returns the same dictionary with new images;
    other entries pass through. `transform` is the same on planar images and is what view families
    chain. The arithmetic is float32 whatever the precision policy.

    A subclass writes `change`, says in `num_draws` how many uniform numbers it wants, and sets
    `per_image` where it needs control flow that differs from image to image.
    """

    num_draws = 0
    per_image = False

    def __init__(self, *, probability: float = 1.0, stream: int = 0, **kwargs: Any):
        """Initialises the layer.

        Args:
            probability: chance that the layer fires on an image, in [0, 1].
            stream: number of the layer's random stream; layers that share keys must differ.
            **kwargs: `name` of the Keras layer.
        """
        # A seed other than 0 keeps keras-cv off TensorFlow's global generator; nothing is drawn.
        super().__init__(seed=1, **{**kwargs, "dtype": "float32"})
        if not 0.0 <= probability <= 1.0:
            raise ValueError(
                f"{type(self).__name__}: expected a probability in [0, 1]. "
                f"Received: probability={probability!r}."
            )
        self.probability = probability
        self.stream = stream

    def __init_subclass__(cls, **kwargs: Any):
        """Enters the subclass in the registry."""
        super().__init_subclass__(**kwargs)
        VIEW_LAYERS.append(cls)

    def change(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Changes images on which the layer fires.

        Args:
            images: `[batch, channels, height, width]` float32 in [0, 1]; batch is 1 where
                `per_image`.
            draws: `[batch, num_draws]` float32, uniform in [0, 1).

        Returns:
            Images of the same batch and channels.
        """
        raise NotImplementedError(f"{type(self).__name__} must write change.")

    def transform(self, images: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        """The layer on planar images `[batch, channels, height, width]` and keys `[batch]`."""
        if self.probability == 0.0:
            return images
        draws = keyed_uniform(keys, 1 + self.num_draws, stream=self.stream)
        if not self.per_image:
            changed = self.change(images, draws[:, 1:])
            if self.probability == 1.0:
                return changed
            fires = draws[:, 0] < self.probability
            return tf.where(fires[:, tf.newaxis, tf.newaxis, tf.newaxis], changed, images)
        if images.shape[0] == 1:
            return self._maybe_change(images, draws)
        return tf.map_fn(
            lambda pair: self._maybe_change(pair[0][tf.newaxis], pair[1][tf.newaxis])[0],
            (images, draws),
            fn_output_signature=tf.TensorSpec(images.shape[1:], tf.float32),
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same layer again."""
        config = super().get_config()
        config.pop("dtype")
        return {**config, "probability": self.probability, "stream": self.stream}

    def _maybe_change(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Changes one image `[1, ...]`, or does no work on it."""
        if self.probability == 1.0:
            return self.change(images, draws[:, 1:])
        return tf.cond(
            draws[0, 0] < self.probability,
            lambda: self.change(images, draws[:, 1:]),
            lambda: images,
        )

    def _batch_augment(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """keras-cv's hook for a batch; the base calls it for single images too."""
        if "keys" not in inputs:
            raise ValueError(
                f"{type(self).__name__}: expected {{'images', 'keys', ...}}. "
                f"Received: entries={sorted(inputs)}."
            )
        planar = tf.transpose(inputs["images"], [0, 3, 1, 2])
        planar = self.transform(planar, inputs["keys"])
        return {**inputs, "images": tf.transpose(planar, [0, 2, 3, 1])}
