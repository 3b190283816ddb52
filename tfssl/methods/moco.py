"""MoCo: a queue of keys from a slowly moving encoder.

He, Fan, Wu, Xie, Girshick, "Momentum Contrast for Unsupervised Visual Representation Learning",
CVPR 2020, arXiv 1911.05722; version 2, Chen, Fan, Girshick, He 2020, arXiv 2003.04297.
"""

import dataclasses
from typing import Callable, List, Tuple

import tensorflow as tf

from tfssl import layers, losses, ops
from tfssl.methods._instance import Embeddings, InstanceMethod, softmax_level
from tfssl.methods._key_encoder import check_groups, check_queue, queries_and_keys
from tfssl.methods._plan import Batch, Logs, Plan
from tfssl.settings import Settings, setting

# Which draw of a step a key is for.
_SHUFFLE = 0


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """Settings of MoCo; the defaults are those of version 2 on ImageNet."""

    hidden_dim: int = setting(
        2048, "Width of the head's hidden layer; 0: a linear head, as in version 1.", low=0
    )
    projection_dim: int = setting(128, "Width of an embedding.", low=1)
    queue_size: int = setting(65536, "Keys in the queue.", low=1)
    temperature: float = setting(0.2, "tau, of the softmax; 0.07 in version 1.", above=0.0)
    margin: float = setting(
        0.0, "m, subtracted from the positive's cosine (MarginNCE).", low=-2.0, below=2.0
    )
    momentum: float = setting(
        0.999, "EMA momentum of the key encoder, constant.", low=0.0, high=1.0
    )
    bn_groups: int = setting(
        1,
        "Groups of the global batch with batch statistics of their own, shuffled for the keys, as "
        "on so many GPUs; a multiple of the replicas. 8 in the paper. 1: the whole batch.",
        low=1,
    )


class MoCo(InstanceMethod):
    """Tells the key of an image's second view from the keys of earlier batches."""

    Config = Config
    statistics = ("positive", "negative")

    def __init__(self, settings: Config, plan: Plan, build_encoder: Callable[..., tf.keras.Model]):
        """Builds query encoder, key encoder and queue.

        Args:
            settings: see `Config`.
            plan: the sizes of the run.
            build_encoder: makes a fresh backbone, images -> `[batch, dim]` features; synchronized:
                whether replicas share batch statistics.
        """
        super().__init__(settings, plan)
        self.query = self._build_network(build_encoder)
        self.key = layers.Teacher(lambda: self._build_network(build_encoder), self.query)
        self.queue = layers.Queue(
            settings.queue_size, settings.projection_dim, seed=plan.seed, name="queue"
        )

    @classmethod
    def check_plan(cls, settings: Config, plan: Plan) -> None:
        """A queue for the batch; groups that divide it evenly, and that keys can change."""
        check_queue(settings.queue_size, plan, "queue_size")
        check_groups(settings.bn_groups, plan)

    @property
    def chance_level(self) -> float:
        """The loss where positive and negatives are equally similar: ln(1 + K exp(m / tau))."""
        settings = self.settings
        return softmax_level(settings.queue_size, settings.margin / settings.temperature)

    @property
    def evaluated_encoder(self) -> tf.keras.Model:
        """The query encoder."""
        return self.query.layers[0]

    @property
    def embedding_network(self) -> tf.keras.layers.Layer:
        """The query encoder, which is where the key encoder starts."""
        return self.query

    def before_forward(self) -> None:
        """The key encoder follows the query encoder as it is before this step's update."""
        self.key.update(self.settings.momentum)

    def variables_in(self, phase: str) -> List[tf.Variable]:
        """The query encoder."""
        del phase
        return self.query.trainable_variables

    def forward(self, batch: Batch) -> Tuple[tf.Tensor, Logs, Embeddings]:
        """Queries of the first view against keys of the second and of the queue (Eq. 1)."""
        queries, keys = queries_and_keys(
            *(self.query, self.key, batch["views"][:2]),
            groups=self.settings.bn_groups,
            batch_size=self.plan.batch_size,
            shuffle=self.draw_key(_SHUFFLE),
        )
        positive = tf.reduce_sum(queries * keys, axis=1)
        negative = tf.matmul(queries, self.queue.rows, transpose_b=True)
        loss = losses.info_nce_from_scores(
            *(positive, negative),
            temperature=self.settings.temperature,
            margin=self.settings.margin,
        )
        logs = {"positive": tf.reduce_mean(positive), "negative": tf.reduce_mean(negative)}
        return loss, logs, Embeddings([queries], keys)

    def remember(self, batch: Batch, embeddings: Embeddings) -> None:
        """The batch's keys replace the oldest ones."""
        del batch
        self.queue.enqueue(ops.cross_replica_concat(embeddings.stored))

    def _build_network(self, build_encoder: Callable[..., tf.keras.Model]) -> tf.keras.Sequential:
        # Groups have their own statistics, also where replicas would share them.
        encoder = build_encoder(synchronized=None if self.settings.bn_groups == 1 else False)
        width = self.settings.hidden_dim
        head = layers.projector(
            encoder.feature_dim,
            hidden_dims=(width,) if width else (),
            output_dim=self.settings.projection_dim,
            hidden_bias=True,
            hidden_norm=False,
        )
        network = tf.keras.Sequential([encoder, head])
        network.build(encoder.input_shape)
        return network
