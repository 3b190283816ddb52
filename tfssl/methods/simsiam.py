"""SimSiam: one network, a predictor and a stop-gradient.

Chen and He, "Exploring Simple Siamese Representation Learning", CVPR 2021, arXiv 2011.10566.
"""

import dataclasses
from typing import Callable, List, Tuple

import tensorflow as tf

from tfssl import layers, losses
from tfssl.methods._method import Method
from tfssl.methods._plan import Batch, Logs, Plan
from tfssl.settings import Settings, setting


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """Settings of SimSiam; the defaults are those of the ImageNet experiments."""

    hidden_dim: int = setting(2048, "Width of the projector's two hidden layers.", low=1)
    projection_dim: int = setting(2048, "Width of a projection.", low=1)
    predictor_dim: int = setting(512, "Width of the predictor's hidden layer.", low=1)
    constant_predictor_lr: bool = setting(
        True, "The predictor keeps the peak learning rate; for the optimizers sgd and lars."
    )


class SimSiam(Method):
    """Predicts the projection of one view from the other; the projection gets no gradient."""

    Config = Config
    statistics = ("cosine",)

    def __init__(self, settings: Config, plan: Plan, build_encoder: Callable[[], tf.keras.Model]):
        """Builds network and predictor.

        Args:
            settings: see `Config`.
            plan: the sizes of the run.
            build_encoder: makes a fresh backbone, images -> `[batch, dim]` features.
        """
        super().__init__(settings, plan)
        encoder = build_encoder()
        width = settings.hidden_dim
        head = layers.projector(
            encoder.feature_dim,
            hidden_dims=(width, width),
            output_dim=settings.projection_dim,
            output_bias=False,
            output_norm="batch_no_affine",
        )
        self.network = tf.keras.Sequential([encoder, head])
        self.network.build(encoder.input_shape)
        self.predictor = layers.projector(
            settings.projection_dim,
            hidden_dims=(settings.predictor_dim,),
            output_dim=settings.projection_dim,
            name="predictor",
        )

    @property
    def evaluated_encoder(self) -> tf.keras.Model:
        """The trained encoder."""
        return self.network.layers[0]

    @property
    def embedding_network(self) -> tf.keras.Sequential:
        """Encoder and projector."""
        return self.network

    @property
    def constant_rate_variables(self) -> List[tf.Variable]:
        """The predictor: it should adapt to the newest projections to the end (section 4.2)."""
        held = self.settings.constant_predictor_lr
        return self.predictor.trainable_variables if held else []

    def compute(self, batch: Batch) -> Tuple[tf.Tensor, Logs]:
        """-1/2 [cos(p1, sg z2) + cos(p2, sg z1)], between -1 and 1 (Eq. 2)."""
        z1, z2 = (self.network(view, training=True) for view in batch["views"][:2])
        p1, p2 = (self.predictor(z, training=True) for z in (z1, z2))
        distance = losses.cosine_regression(p1, tf.stop_gradient(z2))
        distance += losses.cosine_regression(p2, tf.stop_gradient(z1))
        # Each distance is 2 - 2 cos.
        cosine = 1 - distance / 4
        return -cosine, {"cosine": cosine}
