"""Normalisation by fixed channel statistics."""

from typing import Any, Sequence

import tensorflow as tf

from tfssl.views.layer import ViewLayer

IMAGENET_MEAN = (0.485, 0.456, 0.406)
# 0.229 for red as in torchvision; 0.228 in some copies is a slip (MIRA, section on DALI).
IMAGENET_STD = (0.229, 0.224, 0.225)
CIFAR_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR_STD = (0.247, 0.243, 0.261)


class Normalize(ViewLayer):
    """Subtracts the mean and divides by the standard deviation of each channel."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], **kwargs: Any):
        """Initialises the layer.

        Args:
            mean: per channel, of images in [0, 1].
            std: per channel, above 0.
            **kwargs: see `ViewLayer`.
        """
        super().__init__(**kwargs)
        if len(mean) != len(std) or min(std) <= 0:
            raise ValueError(
                f"Normalize: expected as many means as positive standard deviations. "
                f"Received: mean={tuple(mean)}, std={tuple(std)}."
            )
        self.mean = tuple(mean)
        self.std = tuple(std)

    def change(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """(image - mean) / std, as one product and one sum."""
        del draws
        inverse = tf.reshape([1.0 / s for s in self.std], [1, -1, 1, 1])
        shift = tf.reshape([-m / s for m, s in zip(self.mean, self.std)], [1, -1, 1, 1])
        return images * inverse + shift

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same layer again."""
        return {**super().get_config(), "mean": self.mean, "std": self.std}
