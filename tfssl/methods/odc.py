"""ODC: a classifier and the clusters it learns change together, a batch at a time.

Zhan, Xie, Liu, Ong, Loy, "Online Deep Clustering for Unsupervised Representation Learning", CVPR
2020, arXiv 2006.10645.
"""

import dataclasses
import math
from typing import Callable, List, Optional, Tuple

import numpy as np
import tensorflow as tf

from tfssl import layers, ops
from tfssl.layers.normalization import at_least_float32
from tfssl.methods._fit import check_clusters
from tfssl.methods._instance import Embeddings, InstanceMethod
from tfssl.methods._plan import Batch, Extract, Logs, Plan
from tfssl.settings import Settings, setting

# Which draw of a step a key is for.
_DROPOUT = 0
# Of the draws of an epoch: apart from everything else that the seed decides.
_ORDER = 0x0DC
# Standard deviation of the classifier's first weights.
_STDDEV = 0.01


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """Settings of ODC; the defaults are those of the paper's ResNet-50."""

    hidden_dim: int = setting(512, "Width of the head's hidden layer.", low=1)
    projection_dim: int = setting(256, "Width of what the bank keeps and clusters.", low=1)
    dropout: float = setting(0.5, "Chance that a hidden unit is dropped.", low=0.0, below=1.0)
    num_clusters: int = setting(10000, "k, clusters and classes.", low=1)
    bank_weight: float = setting(
        0.5, "omega, the share of the new features in a bank entry.", above=0.0, high=1.0
    )
    publish_every: int = setting(10, "Steps after which centroids follow their clusters.", low=1)
    min_cluster: int = setting(
        20, "Smaller clusters are replaced after every step; 0: never.", low=0
    )
    reweight: bool = setting(
        True, "Classes count in proportion to their size to the power of -1/2; else all alike."
    )
    replacement: bool = setting(
        True, "An epoch draws its records with replacement; else it visits every record once."
    )
    kmeans_iterations: int = setting(20, "Iterations of the first clustering.", low=0)


class ODC(InstanceMethod):
    """Classifies images into clusters of a bank, whose labels follow in every step."""

    Config = Config
    statistics = ("accuracy", "changed-labels", "smallest-cluster", "largest-cluster")
    min_views = max_views = 1

    def __init__(self, settings: Config, plan: Plan, build_encoder: Callable[[], tf.keras.Model]):
        """Builds the network, the bank and the clusters.

        Args:
            settings: see `Config`.
            plan: the sizes of the run.
            build_encoder: makes a fresh backbone, images -> `[batch, dim]` features.
        """
        super().__init__(settings, plan)
        self.encoder = build_encoder()
        self.hidden = layers.projector(
            self.encoder.feature_dim,
            hidden_dims=(),
            output_dim=settings.hidden_dim,
            output_norm="batch_no_affine",
            name="hidden",
        )
        self.projection = layers.projector(
            settings.hidden_dim,
            hidden_dims=(),
            output_dim=settings.projection_dim,
            name="projection",
        )
        self.head = tf.keras.layers.Dense(
            settings.num_clusters,
            kernel_initializer=tf.keras.initializers.RandomNormal(stddev=_STDDEV),
            dtype=at_least_float32(),
            name="head",
        )
        self.head.build((None, settings.projection_dim))
        self.bank = layers.FeatureBank(
            plan.num_records,
            settings.projection_dim,
            new_weight=settings.bank_weight,
            seed=plan.seed,
            name="bank",
        )
        self.clusters = layers.OnlineClusters(
            *(plan.num_records, settings.num_clusters, settings.projection_dim),
            assign="dot",
            publish_every=settings.publish_every,
            min_cluster=settings.min_cluster,
            name="clusters",
        )
        self.clusters.recompute(self.bank.features)

    @classmethod
    def check_plan(cls, settings: Config, plan: Plan) -> None:
        """Images enough for clusters that are not small."""
        check_clusters(settings.num_clusters, plan.num_records, settings.min_cluster)

    @property
    def chance_level(self) -> float:
        """ln k, the loss of a classifier that finds all clusters as likely."""
        return math.log(self.settings.num_clusters)

    @property
    def evaluated_encoder(self) -> tf.keras.Model:
        """The trained encoder."""
        return self.encoder

    @property
    def embedding_network(self) -> tf.keras.Sequential:
        """Encoder and head up to the classifier, without dropout."""
        relus = [tf.keras.layers.ReLU() for _ in range(2)]
        return tf.keras.Sequential([self.encoder, self.hidden, relus[0], self.projection, relus[1]])

    @property
    def variables_without_momentum(self) -> List[tf.Variable]:
        """The classifier's: its clusters keep changing."""
        return self.head.trainable_variables

    @property
    def pseudo_labels(self) -> tf.Tensor:
        """`[num_records]` int32, the recorded clusters."""
        return tf.convert_to_tensor(self.clusters.labels)

    def start_epoch(self, epoch: int, extract: Extract) -> None:
        """A global clustering before the first step; later, sums without rounding errors."""
        if epoch == 0:
            self.bank.fill(extract(self.embedding_network))
            self.clusters.cluster(
                self.bank.features,
                num_iterations=self.settings.kmeans_iterations,
                seed=self.plan.seed,
            )
        else:
            self.clusters.recompute(self.bank.features)

    def record_order(self, epoch: int, records: np.ndarray) -> Optional[np.ndarray]:
        """As many records as there are, each drawn from all."""
        if not self.settings.replacement:
            return None
        key = ops.fold_key(self.plan.seed, _ORDER, epoch)
        keys = ops.fold_key(key, tf.range(len(records), dtype=tf.int64))
        return records[ops.keyed_integers(keys, 1, below=len(records))[:, 0].numpy()]

    def forward(self, batch: Batch) -> Tuple[tf.Tensor, Logs, Embeddings]:
        """The weighted mean of the cross-entropies, as PyTorch's loss has it (section 3.3).

        A class weighs n_c^(-1/2), n_c its size before the step. A common factor, such as makes
        the weights add up to 1, cancels in a weighted mean.
        """
        pooled = self.encoder(batch["views"][0], training=True)
        hidden = tf.nn.relu(self.hidden(pooled, training=True))
        keys = self.draw_keys(_DROPOUT, hidden)
        hidden = layers.keyed_dropout(hidden, keys, rate=self.settings.dropout)
        features = tf.nn.relu(self.projection(hidden, training=True))
        logits = self.head(features)
        labels = self.clusters.labels_of(batch["index"])
        entropies = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        if self.settings.reweight:
            sizes = tf.gather(tf.convert_to_tensor(self.clusters.sizes), labels)
            weights = tf.math.rsqrt(tf.cast(tf.maximum(sizes, 1), logits.dtype))
            entropies *= weights / tf.reduce_mean(ops.cross_replica_concat(weights))
        hits = tf.argmax(logits, axis=1, output_type=tf.int32) == labels
        logs = {"accuracy": tf.reduce_mean(tf.cast(hits, tf.float32))}
        return tf.reduce_mean(entropies), logs, Embeddings([], tf.stop_gradient(features))

    def remember(self, batch: Batch, embeddings: Embeddings) -> layers.BankUpdate:
        """Moves the bank entries of the global batch towards their features."""
        indices = ops.cross_replica_concat(batch["index"])
        return self.bank.update(indices, ops.cross_replica_concat(embeddings.stored))

    def after_pass(self, batch: Batch, kept: Embeddings) -> Logs:
        """Bank and labels follow the batch; how the clusters are."""
        change = self.remember(batch, kept)
        self.forwards.assign_add(1)
        return self.clusters.step(change, self.bank.features)
