"""What methods with a queue of keys share: two encoders, the queue, and the contrast with it."""

import dataclasses
from typing import Callable, Tuple

import tensorflow as tf

from tfssl import layers, losses, ops
from tfssl.methods._instance import Embeddings, InstanceMethod, softmax_level
from tfssl.methods._key_encoder import check_groups, check_queue, queries_and_keys
from tfssl.methods._plan import Batch, Logs, Plan
from tfssl.settings import Settings, setting

# Which draw of a step a key is for; methods go on from 1.
_SHUFFLE = 0


@dataclasses.dataclass(frozen=True)
class QueueSettings(Settings):
    """Settings of such methods; a method says what its temperature is."""

    hidden_dim: int = setting(
        2048, "Width of the hidden layer in heads, linear and ReLU; 0: linear heads.", low=0
    )
    projection_dim: int = setting(128, "Width of an embedding.", low=1)
    queue_size: int = setting(65536, "Keys in the queue.", low=1)
    momentum: float = setting(
        0.999, "EMA momentum of the key encoder, constant.", low=0.0, high=1.0
    )


class QueueMethod(InstanceMethod):
    """Queries of one encoder, keys of its slowly moving copy, and a queue of keys.

    Settings have `temperature` and `bn_groups` beside those above, and `margin` where the method
    has one.

    Attributes:
        query: encoder and head that are trained.
        key: their slow copy, a `Teacher`.
        queue: the keys of earlier batches.
    """

    def __init__(
        self,
        settings: QueueSettings,
        plan: Plan,
        build_encoder: Callable[..., tf.keras.Model],
    ):
        """Builds query encoder, key encoder and queue.

        Args:
            settings: see the method.
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
    def check_plan(cls, settings: QueueSettings, plan: Plan) -> None:
        """A queue for the batch; groups that divide it evenly, and that keys can change."""
        check_queue(settings.queue_size, plan, "queue_size")
        check_groups(settings.bn_groups, plan)

    @property
    def chance_level(self) -> float:
        """The loss where positive and negatives are equally similar: ln(1 + K exp(m / tau))."""
        settings = self.settings
        return softmax_level(settings.queue_size, self._margin / settings.temperature)

    @property
    def evaluated_encoder(self) -> tf.keras.Model:
        """The query encoder."""
        return self.query.layers[0]

    @property
    def embedding_network(self) -> tf.keras.layers.Layer:
        """The query encoder, which is where the key encoder starts."""
        return self.query

    def embed(self, batch: Batch) -> Tuple[tf.Tensor, tf.Tensor]:
        """Queries of the first view and keys of the second, unit rows `[batch, dim]`."""
        return queries_and_keys(
            *(self.query, self.key, batch["views"][:2]),
            groups=self.settings.bn_groups,
            batch_size=self.plan.batch_size,
            shuffle=self.draw_key(_SHUFFLE),
        )

    def contrast(
        self, queries: tf.Tensor, keys: tf.Tensor, name: str = ""
    ) -> Tuple[tf.Tensor, Logs]:
        """The loss of queries that look for their keys among those of the queue.

        Args:
            queries, keys: unit rows `[batch, dim]`.
            name: put before the names of the logs.

        Returns:
            The batch mean in nats, and the logs: "positive" and "negative" mean cosines;
            "accuracy", the share of queries whose own key is the nearest; "information", I_NCE =
            ln(K + 1) less the loss without a margin: a lower bound of what query and key share
            where negatives are of all images, and never above ln(K + 1).
        """
        temperature = self.settings.temperature
        positive = tf.reduce_sum(queries * keys, axis=1)
        negative = tf.matmul(queries, self.queue.rows, transpose_b=True)
        options = {"temperature": temperature}
        loss = plain = losses.info_nce_from_scores(positive, negative, **options)
        if self._margin:
            loss = losses.info_nce_from_scores(positive, negative, margin=self._margin, **options)
        nearest = positive > tf.reduce_max(negative, axis=1)
        logs = {
            "positive": tf.reduce_mean(positive),
            "negative": tf.reduce_mean(negative),
            "accuracy": tf.reduce_mean(tf.cast(nearest, positive.dtype)),
            "information": softmax_level(self.settings.queue_size, 0.0) - plain,
        }
        return loss, {name + key: tf.stop_gradient(value) for key, value in logs.items()}

    def remember(self, batch: Batch, embeddings: Embeddings) -> None:
        """The batch's keys replace the oldest ones."""
        del batch
        self.queue.enqueue(ops.cross_replica_concat(embeddings.stored))

    @property
    def _margin(self) -> float:
        return getattr(self.settings, "margin", 0.0)

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
