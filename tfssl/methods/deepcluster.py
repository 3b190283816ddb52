"""DeepCluster: a classifier learns the clusters of the features, which are then clustered anew.

Caron, Bojanowski, Joulin, Douze, "Deep Clustering for Unsupervised Learning of Visual Features",
ECCV 2018, arXiv 1807.05520. The defaults are those of the ResNet-50 in OpenMMLab's mmselfsup: a
linear classifier on the pooled features. The paper's classifiers have a ReLU before their last
layer; pooled features come out of one and are never negative.
"""

import dataclasses
import math
from typing import Callable, List, Optional, Tuple

import numpy as np
import tensorflow as tf

from tfssl import layers, ops
from tfssl.layers.normalization import at_least_float32
from tfssl.methods._fit import check_clusters
from tfssl.methods._method import Method
from tfssl.methods._plan import Batch, Extract, Logs, Plan
from tfssl.settings import Settings, setting

# Standard deviation of a new classifier's weights.
_STDDEV = 0.01


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """Settings of DeepCluster."""

    num_clusters: int = setting(10000, "k, clusters and classes.", low=1)
    cluster_epochs: int = setting(1, "Epochs between two clusterings.", low=1)
    pca_dim: int = setting(
        256, "Principal components that are clustered; all where features have fewer.", low=1
    )
    kmeans_iterations: int = setting(20, "Iterations of a clustering.", low=0)
    uniform: bool = setting(
        True,
        "An epoch visits every cluster as often, whatever its size; else every record once.",
    )
    sobel: bool = setting(True, "The encoder sees gradients of the grey image, and no colours.")


class DeepCluster(Method):
    """Trains encoder and classifier on cluster numbers that every epoch starts with."""

    Config = Config
    statistics = ("accuracy",)
    min_views = max_views = 1

    def __init__(self, settings: Config, plan: Plan, build_encoder: Callable[..., tf.keras.Model]):
        """Builds the network and the labels.

        Args:
            settings: see `Config`.
            plan: the sizes of the run.
            build_encoder: makes a fresh backbone, images -> `[batch, dim]` features; `sobel` is
                among its keywords.
        """
        super().__init__(settings, plan)
        self.encoder = self.fresh_encoder(build_encoder)
        self.head = tf.keras.layers.Dense(
            settings.num_clusters,
            kernel_initializer=tf.keras.initializers.RandomNormal(stddev=_STDDEV),
            dtype=at_least_float32(),
            name="head",
        )
        self.head.build((None, self.encoder.feature_dim))
        self.labels = layers.mirrored_state(
            tf.range(plan.num_records) % settings.num_clusters, "labels"
        )

    @classmethod
    def check_plan(cls, settings: Config, plan: Plan) -> None:
        """An image or more for every cluster."""
        check_clusters(settings.num_clusters, plan.num_records)

    @property
    def chance_level(self) -> float:
        """ln k, where all clusters are as likely."""
        return math.log(self.settings.num_clusters)

    @property
    def evaluated_encoder(self) -> tf.keras.Model:
        """The trained encoder."""
        return self.encoder

    def fresh_encoder(self, build_encoder: Callable[..., tf.keras.Model]) -> tf.keras.Model:
        """With the Sobel filters inside where they are chosen, so that it takes images."""
        return build_encoder(sobel=True) if self.settings.sobel else build_encoder()

    @property
    def variables_without_momentum(self) -> List[tf.Variable]:
        """The classifier's: what earlier clusters were called does not matter."""
        return self.head.trainable_variables

    @property
    def pseudo_labels(self) -> tf.Tensor:
        """`[num_records]` int32, clusters of the last clustering; before it, without a meaning."""
        return tf.convert_to_tensor(self.labels)

    def start_epoch(self, epoch: int, extract: Extract) -> None:
        """Clusters all records and starts a new classifier, every `cluster_epochs` epochs."""
        settings = self.settings
        if epoch % settings.cluster_epochs:
            return
        features = ops.pca_whiten(extract(self.encoder), dim=settings.pca_dim)
        _, labels = ops.kmeans(
            tf.math.l2_normalize(features, axis=1),
            num_clusters=settings.num_clusters,
            num_iterations=settings.kmeans_iterations,
            seed=int(ops.fold_key(self.plan.seed, epoch)),
        )
        self.labels.assign(labels)
        seed = tf.constant([self.plan.seed, epoch], tf.int64)
        kernel, bias = self.head.kernel, self.head.bias
        normal = tf.random.stateless_normal(kernel.shape, seed, stddev=_STDDEV, dtype=kernel.dtype)
        kernel.assign(normal)
        bias.assign(tf.zeros_like(bias))

    def record_order(self, epoch: int, records: np.ndarray) -> Optional[np.ndarray]:
        """Every cluster as often, small ones with replacement."""
        if not self.settings.uniform:
            return None
        labels = self.pseudo_labels.numpy()[records]
        return records[ops.balanced_draws(labels, key=ops.fold_key(self.plan.seed, epoch))]

    def compute(self, batch: Batch) -> Tuple[tf.Tensor, Logs]:
        """Cross-entropy of the records' clusters (Eq. 1)."""
        logits = self.head(self.encoder(batch["views"][0], training=True))
        labels = tf.gather(self.labels, batch["index"])
        entropies = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        hits = tf.argmax(logits, axis=1, output_type=tf.int32) == labels
        return tf.reduce_mean(entropies), {"accuracy": tf.reduce_mean(tf.cast(hits, tf.float32))}
