"""The head of a jigsaw: one embedding of an image from the features of its shuffled patches."""

from typing import Callable

import tensorflow as tf

from tfssl.layers.projector import projector


def patch_features(encoder: Callable[..., tf.Tensor], patches: tf.Tensor) -> tf.Tensor:
    """Features `[batch, patches, dim]` of `[batch, patches, size, size, channels]`, in training.

    Args:
        encoder: images and `training` -> `[n, dim]`; sees all patches as one batch.
        patches: floating, sizes known statically.
    """
    batch, number, *shape = patches.shape
    features = encoder(tf.reshape(patches, [-1, *shape]), training=True)
    return tf.reshape(features, [batch, number, -1])


class JigsawHead(tf.keras.layers.Layer):
    """A projection of every patch, the patches of an image in another order, and a linear map.

    PIRL, Misra and van der Maaten 2020, arXiv 1912.01991, section 3; with a hidden layer, InfoMin,
    Tian et al. 2020, arXiv 2005.10243. Nothing is between the two maps. Weights and biases start
    as those of `projector`. With 2048 features, ResNet-50's: 409,856 weights, or 4,606,208 with a
    hidden layer of 2048.

    Args:
        input_dim: features of a patch, at least 1.
        num_patches: patches of an image, at least 1.
        hidden_dim: units of a hidden layer, linear and ReLU, before the projection of a patch; 0
            for none.
        patch_dim: width of a projected patch, at least 1.
        output_dim: width of the embedding, at least 1.
        name: the layer's name.

    Raises:
        ValueError: a dimension out of range.
    """

    def __init__(
        self,
        input_dim: int,
        *,
        num_patches: int = 9,
        hidden_dim: int = 0,
        patch_dim: int = 128,
        output_dim: int = 128,
        name: str = "jigsaw_head",
    ):
        """Makes both maps with all their weights."""
        super().__init__(name=name)
        self.patch_projector = projector(
            input_dim,
            hidden_dims=(hidden_dim,) if hidden_dim else (),
            output_dim=patch_dim,
            hidden_bias=True,
            hidden_norm=False,
            name="patch_projector",
        )
        self.joint_projector = projector(
            num_patches * patch_dim,
            hidden_dims=(),
            output_dim=output_dim,
            name="joint_projector",
        )

    def call(self, features: tf.Tensor, permutations: tf.Tensor) -> tf.Tensor:
        """Embeds images.

        Args:
            features: `[batch, num_patches, input_dim]` floating, in raster order.
            permutations: `[batch, num_patches]` integers, each row an order of 0..num_patches - 1:
                place p of the concatenation holds patch permutations[p].

        Returns:
            `[batch, output_dim]` float32 (float64 under a float64 policy), not L2-normalised.
        """
        batch, patches, dim = features.shape
        projected = self.patch_projector(tf.reshape(features, [batch * patches, dim]))
        # Numbers among all patches of the batch: a plain gather has a gradient of static shape.
        first = patches * tf.range(batch, dtype=permutations.dtype)
        order = tf.reshape(permutations + first[:, tf.newaxis], [-1])
        shuffled = tf.gather(projected, order)
        return self.joint_projector(tf.reshape(shuffled, [batch, -1]))
