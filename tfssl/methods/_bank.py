"""Methods that tell an image from others by a memory bank of embeddings: NPID and its relatives."""

import dataclasses
import math
from typing import Callable, NamedTuple, Optional

import tensorflow as tf

from tfssl import layers, ops
from tfssl.methods._instance import Embeddings, InstanceMethod, softmax_level
from tfssl.methods._plan import Batch, Extract, Plan
from tfssl.settings import Settings, setting

# Which draw of a pass a key is for; subclasses count on from 1.
_NEGATIVES = 0


@dataclasses.dataclass(frozen=True)
class BankSettings(Settings):
    """Settings of bank and embedding; a method adds `loss`, nce or softmax, and its own."""

    num_negatives: int = setting(4096, "K, bank entries drawn for each image.", low=1)
    negatives: str = setting(
        "own",
        "own: each image draws its negatives. shared: one draw serves the batch, at a fraction of "
        "the cost.",
        choices=("own", "shared"),
    )
    projection_dim: int = setting(128, "Width of an embedding.", low=1)
    hidden_dim: int = setting(
        0, "Width of the head's hidden layer; 0: a linear head. 2048 in NPIDv2.", low=0
    )
    temperature: float = setting(0.07, "tau, of the softmax.", above=0.0)
    bank_weight: float = setting(
        0.5, "omega, the share of the new embedding in a bank entry.", above=0.0, high=1.0
    )
    bank_start: str = setting(
        "random",
        "What the bank holds at first. random: unit vectors, as in the paper. embeddings: those of "
        "all images from the untrained network; short runs lose their first epochs otherwise.",
        choices=("random", "embeddings"),
    )
    bank_dtype: Optional[str] = setting(
        None,
        "Type of the bank, to halve its memory. Unset: float32.",
        choices=("float16", "bfloat16"),
    )


class Drawn(NamedTuple):
    """Bank entries that are negatives.

    Attributes:
        records: int32, `[K]` for all images, or `[batch, K]`.
        counts: `[batch, K]` bool, which are of other images; None: all.
    """

    records: tf.Tensor
    counts: Optional[tf.Tensor]


class Contrast(NamedTuple):
    """The loss of a batch, and cosines with its own entries `[batch]` and others `[batch, K]`."""

    loss: tf.Tensor
    positive: tf.Tensor
    negative: tf.Tensor


class BankMethod(InstanceMethod):
    """A method with one network, encoder and head, whose embeddings of images a bank keeps."""

    min_views = max_views = 1

    def __init__(
        self, settings: BankSettings, plan: Plan, build_encoder: Callable[[], tf.keras.Model]
    ):
        """Builds the network and the bank.

        Args:
            settings: the method's.
            plan: the sizes of the run.
            build_encoder: makes a fresh backbone, images -> `[batch, dim]` features.
        """
        super().__init__(settings, plan)
        encoder = build_encoder()
        head = layers.projector(
            encoder.feature_dim,
            hidden_dims=(settings.hidden_dim,) if settings.hidden_dim else (),
            output_dim=settings.projection_dim,
            hidden_bias=True,
            hidden_norm=False,
        )
        self.network = tf.keras.Sequential([encoder, head])
        self.network.build(encoder.input_shape)
        self.bank = layers.FeatureBank(
            plan.num_records,
            settings.projection_dim,
            new_weight=settings.bank_weight,
            seed=plan.seed,
            dtype=settings.bank_dtype,
            name="bank",
        )

    @property
    def chance_level(self) -> float:
        """The loss of an embedding that has nothing to do with the bank's."""
        return self.level_at(0.0)

    def level_at(self, margin: float) -> float:
        """`chance_level` where the loss subtracts a margin from the cosine of the own entry."""
        # A random cosine s has the variance 1 / dim; this is the logarithm of the mean of
        # exp(s / tau).
        settings, k = self.settings, self.settings.num_negatives
        log_mean = 1 / (2 * settings.projection_dim * settings.temperature**2)
        positive = softmax_level(k, log_mean + margin / settings.temperature)
        return positive if settings.loss == "softmax" else positive + k * math.log1p(1 / k)

    @property
    def evaluated_encoder(self) -> tf.keras.Model:
        """The trained encoder."""
        return self.network.layers[0]

    @property
    def embedding_network(self) -> tf.keras.Sequential:
        """Encoder and head."""
        return self.network

    def start_epoch(self, epoch: int, extract: Extract) -> None:
        """Embeds all images before the first step, where the settings ask for it."""
        if epoch == 0 and self.settings.bank_start == "embeddings":
            self.bank.fill(extract(self.embedding_network))

    def remember(self, batch: Batch, embeddings: Embeddings) -> layers.BankUpdate:
        """Moves the bank entries of the global batch towards their embeddings."""
        indices = ops.cross_replica_concat(batch["index"])
        return self.bank.update(indices, ops.cross_replica_concat(embeddings.stored))

    def draw_negatives(self, indices: tf.Tensor) -> Drawn:
        """Entries of other images, for `[batch]` records of this replica's rows."""
        number, records = self.settings.num_negatives, self.plan.num_records
        if self.settings.negatives == "shared":
            drawn = ops.keyed_integers(self.draw_key(_NEGATIVES), number, below=records)
            return Drawn(drawn, tf.cast(drawn, indices.dtype) != indices[:, tf.newaxis])
        keys = self.draw_keys(_NEGATIVES, indices)
        drawn = ops.keyed_integers(keys, number, below=records - 1)
        # One number less, and the numbers from the own one on move up.
        drawn += tf.cast(tf.cast(drawn, indices.dtype) >= indices[:, tf.newaxis], drawn.dtype)
        return Drawn(drawn, None)

    def contrast(
        self, anchors: tf.Tensor, indices: tf.Tensor, drawn: Drawn, loss: ops.RowLoss
    ) -> Contrast:
        """The loss of embeddings against the bank as it was before this step.

        Args:
            anchors: `[batch, dim]` unit rows with gradient.
            indices: `[batch]` records.
            drawn: the negatives.
            loss: function (negative `[rows, K]`, positive `[rows]`, counts by name) -> `[rows]`,
                as `ops.bank_losses` takes it.
        """
        positive = self.positive_scores(anchors, indices)
        if drawn.counts is not None:
            negative = self.negative_scores(anchors, drawn)
            each = loss(negative, positive, counts=drawn.counts)
            return Contrast(tf.reduce_mean(each), positive, negative)
        each, negative = ops.bank_losses(loss, anchors, self.bank.features, drawn.records, positive)
        return Contrast(tf.reduce_mean(each), positive, negative)

    def positive_scores(self, anchors: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
        """`[batch]` cosines of embeddings with their own entries."""
        return tf.reduce_sum(anchors * self.bank.rows(indices), axis=1)

    def negative_scores(self, anchors: tf.Tensor, drawn: Drawn) -> tf.Tensor:
        """`[batch, K]` cosines of embeddings with drawn entries."""
        if drawn.counts is not None:
            return tf.matmul(anchors, self.bank.rows(drawn.records), transpose_b=True)
        return ops.bank_scores(anchors, self.bank.features, drawn.records)
