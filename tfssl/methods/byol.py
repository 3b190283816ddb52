"""BYOL: an online network predicts what a slowly moving copy of it makes of another view.

Grill et al., "Bootstrap Your Own Latent", NeurIPS 2020, arXiv 2006.07733.
"""

import dataclasses
from typing import Callable, List, Tuple

import tensorflow as tf

from tfssl import layers, losses, ops
from tfssl.methods._instance import Embeddings, InstanceMethod
from tfssl.methods._plan import Batch, Logs, Plan
from tfssl.settings import Settings, setting


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """Settings of BYOL; the defaults are those of the 300-epoch ImageNet recipe."""

    hidden_dim: int = setting(4096, "Width of the hidden layer of projector and predictor.", low=1)
    projection_dim: int = setting(256, "Width of a projection.", low=1)
    momentum: float = setting(
        0.99,
        "EMA momentum of the target at the start of the run, then cosine to 1.",
        low=0.0,
        high=1.0,
    )


class BYOL(InstanceMethod):
    """Predicts the target's projection of one view from the other view; no negatives."""

    Config = Config
    statistics = ("momentum",)

    def __init__(self, settings: Config, plan: Plan, build_encoder: Callable[[], tf.keras.Model]):
        """Builds online network, predictor and target.

        Args:
            settings: see `Config`.
            plan: the sizes of the run, for the schedule.
            build_encoder: makes a fresh backbone, images -> `[batch, dim]` features.
        """
        super().__init__(settings, plan)
        self.online = self._build_network(build_encoder)
        self.predictor = self._build_head(settings.projection_dim, "predictor")
        self.target = layers.Teacher(lambda: self._build_network(build_encoder), self.online)

    @property
    def evaluated_encoder(self) -> tf.keras.Model:
        """The online encoder."""
        return self.online.layers[0]

    @property
    def embedding_network(self) -> tf.keras.layers.Layer:
        """Encoder and projector of the online network, which is where the target starts."""
        return self.online

    def forward(self, batch: Batch) -> Tuple[tf.Tensor, Logs, Embeddings]:
        """Both views predict the other's target (Eq. 2 and its swap)."""
        views = batch["views"][:2]
        predictions = [self.predictor(self.online(v, training=True), training=True) for v in views]
        targets = [self.target(view, training=True) for view in views]
        loss = losses.cosine_regression(predictions[0], targets[1])
        loss += losses.cosine_regression(predictions[1], targets[0])
        anchors = [tf.math.l2_normalize(p, axis=1) for p in predictions]
        stored = tf.math.l2_normalize(targets[1], axis=1)
        return loss, {"momentum": self._momentum()}, Embeddings(anchors, stored)

    def after_step(self) -> None:
        """The target follows the online network as the optimizer has left it."""
        self.target.update(self._momentum())

    def variables_in(self, phase: str) -> List[tf.Variable]:
        """Online network and predictor."""
        del phase
        return self.online.trainable_variables + self.predictor.trainable_variables

    def _momentum(self) -> tf.Tensor:
        """tau of this step: 1 - (1 - tau_0) (cos(pi t / T) + 1) / 2."""
        return ops.cosine(
            self.global_step,
            start=self.settings.momentum,
            end=1.0,
            total_steps=self.plan.total_steps,
        )

    def _build_network(self, build_encoder: Callable[[], tf.keras.Model]) -> tf.keras.Sequential:
        encoder = build_encoder()
        network = tf.keras.Sequential([encoder, self._build_head(encoder.feature_dim, "projector")])
        network.build(encoder.input_shape)
        return network

    def _build_head(self, input_dim: int, name: str) -> tf.keras.Model:
        return layers.projector(
            input_dim,
            hidden_dims=(self.settings.hidden_dim,),
            output_dim=self.settings.projection_dim,
            hidden_bias=True,
            output_bias=False,
            name=name,
        )
