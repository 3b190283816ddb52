"""PIRL: an image and its jigsaw look alike to a memory bank.

Misra, van der Maaten, "Self-Supervised Learning of Pretext-Invariant Representations", CVPR 2020,
arXiv 1912.01991.
"""

import dataclasses
from typing import Callable, Tuple

import tensorflow as tf

from tfssl import layers, losses, ops
from tfssl.methods._bank import BankMethod, BankSettings
from tfssl.methods._instance import Embeddings
from tfssl.methods._plan import Batch, Logs, Plan
from tfssl.settings import setting

# Which draw of a pass a key is for; 0 is that of the negatives.
_PERMUTATIONS = 1


@dataclasses.dataclass(frozen=True)
class Config(BankSettings):
    """Settings of PIRL; the defaults are those of the paper's 800 epochs on ImageNet."""

    loss: str = setting(
        "nce",
        "nce: the paper's noise-contrastive estimation, with shares of a softmax as probabilities. "
        "softmax: cross-entropy of the own entry among the drawn ones.",
        choices=("nce", "softmax"),
    )
    num_negatives: int = setting(32000, "K, bank entries drawn for each image.", low=1)
    hidden_dim: int = setting(
        0,
        "Width of a hidden layer in the image's head and, before each patch's projection, in the "
        "jigsaw's; 0: none.",
        low=0,
    )
    projection_dim: int = setting(128, "Width of an embedding and of a projected patch.", low=1)
    jigsaw_weight: float = setting(
        0.5,
        "lambda, the share of the jigsaw in the loss; without it this is NPID.",
        above=0.0,
        high=1.0,
    )


class PIRL(BankMethod):
    """Tells every image, and its shuffled patches, from all others by what a bank holds of it."""

    Config = Config
    statistics = (
        "image",
        "jigsaw",
        "positive",
        "negative",
        "jigsaw-positive",
        "jigsaw-negative",
    )

    def __init__(self, settings: Config, plan: Plan, build_encoder: Callable[[], tf.keras.Model]):
        """Builds the network, the bank and the jigsaw's head.

        Args:
            settings: see `Config`.
            plan: the sizes of the run.
            build_encoder: makes a fresh backbone, images -> `[batch, dim]` features.
        """
        super().__init__(settings, plan, build_encoder)
        self.jigsaw_head = layers.JigsawHead(
            self.evaluated_encoder.feature_dim,
            hidden_dim=settings.hidden_dim,
            patch_dim=settings.projection_dim,
            output_dim=settings.projection_dim,
        )

    @classmethod
    def needs_patches(cls, settings: Config) -> bool:
        """Always."""
        del settings
        return True

    def forward(self, batch: Batch) -> Tuple[tf.Tensor, Logs, Embeddings]:
        """Image and jigsaw, each against the image's bank entry and the same others (Eq. 5)."""
        # The image first: evaluation uses batch statistics that the patches moved last.
        images = tf.math.l2_normalize(self.network(batch["views"][0], training=True), axis=1)
        jigsaws = tf.math.l2_normalize(self._jigsaw(batch["patches"]), axis=1)
        drawn = self.draw_negatives(batch["index"])
        image, jigsaw = (
            self.contrast(anchors, batch["index"], drawn, self._loss())
            for anchors in (images, jigsaws)
        )
        weight = self.settings.jigsaw_weight
        logs = {
            "image": image.loss,
            "jigsaw": jigsaw.loss,
            "positive": tf.reduce_mean(image.positive),
            "jigsaw-positive": tf.reduce_mean(jigsaw.positive),
            "negative": tf.reduce_mean(image.negative),
            "jigsaw-negative": tf.reduce_mean(jigsaw.negative),
        }
        # The bank keeps what it holds of images alone.
        embeddings = Embeddings([images, jigsaws], tf.stop_gradient(images))
        return (1 - weight) * image.loss + weight * jigsaw.loss, logs, embeddings

    def _jigsaw(self, patches: tf.Tensor) -> tf.Tensor:
        """Embeddings `[batch, dim]` of patches `[batch, 9, size, size, channels]`, shuffled."""
        features = layers.patch_features(self.evaluated_encoder, patches)
        keys = self.draw_keys(_PERMUTATIONS, patches)
        return self.jigsaw_head(features, ops.keyed_permutations(keys, patches.shape[1]))

    def _loss(self) -> ops.RowLoss:
        """The loss of rows of cosines, of either branch."""
        temperature = self.settings.temperature
        if self.settings.loss == "softmax":
            return losses.decomposed_info_nce(temperature=temperature)

        def softmax_nce(negative, positive, counts=None):
            options = {"temperature": temperature, "counts": counts, "reduction": "none"}
            return losses.softmax_nce(positive, negative, **options)

        return softmax_nce
