"""SimCLR: two views of an image find each other in the batch.

Chen, Kornblith, Norouzi, Hinton, "A Simple Framework for Contrastive Learning of Visual
Representations", ICML 2020, arXiv 2002.05709. The head's defaults are those of the released code.
"""

import dataclasses
import math
from typing import Callable, Tuple

import tensorflow as tf

from tfssl import layers, losses, ops
from tfssl.methods._method import Method
from tfssl.methods._plan import Batch, Logs, Plan
from tfssl.settings import Settings, setting


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """Settings of SimCLR; the defaults are those of the ImageNet experiments."""

    hidden_dim: int = setting(2048, "Width of the head's hidden layer.", low=1)
    projection_dim: int = setting(128, "Width of an embedding.", low=1)
    temperature: float = setting(0.1, "tau, of the softmax over the batch.", above=0.0)


class SimCLR(Method):
    """Tells the partner of every view from all other views of the global batch."""

    Config = Config
    statistics = ("accuracy",)
    splits_batch = "its negatives are the other images of the batch"

    def __init__(self, settings: Config, plan: Plan, build_encoder: Callable[[], tf.keras.Model]):
        """Builds the network.

        Args:
            settings: see `Config`.
            plan: the sizes of the run.
            build_encoder: makes a fresh backbone, images -> `[batch, dim]` features.
        """
        super().__init__(settings, plan)
        encoder = build_encoder()
        head = layers.projector(
            encoder.feature_dim,
            hidden_dims=(settings.hidden_dim,),
            output_dim=settings.projection_dim,
            output_bias=False,
            output_norm="batch",
        )
        self.network = tf.keras.Sequential([encoder, head])
        self.network.build(encoder.input_shape)

    @property
    def chance_level(self) -> float:
        """ln(2 * batch - 1): all other views are as likely."""
        return math.log(2 * self.plan.batch_size - 1)

    @property
    def evaluated_encoder(self) -> tf.keras.Model:
        """The trained encoder."""
        return self.network.layers[0]

    @property
    def embedding_network(self) -> tf.keras.Sequential:
        """Encoder and projector."""
        return self.network

    def compute(self, batch: Batch) -> Tuple[tf.Tensor, Logs]:
        """NT-Xent over the global batch (Eq. 1); every replica computes the whole of it."""
        z1, z2 = (
            ops.cross_replica_concat(self.network(view, training=True))
            for view in batch["views"][:2]
        )
        loss = losses.nt_xent(z1, z2, temperature=self.settings.temperature)
        return loss, {"accuracy": _accuracy(z1, z2)}


def _accuracy(z1: tf.Tensor, z2: tf.Tensor) -> tf.Tensor:
    """Share of first views that are nearer to their partner than to any other second view."""
    z1, z2 = (tf.math.l2_normalize(tf.stop_gradient(z), axis=1) for z in (z1, z2))
    nearest = tf.argmax(tf.matmul(z1, z2, transpose_b=True), axis=1, output_type=tf.int32)
    hits = nearest == tf.range(tf.shape(z1)[0])
    return tf.reduce_mean(tf.cast(hits, tf.float32))
