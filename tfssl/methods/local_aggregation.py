"""Local Aggregation: an image's neighbours in a bank, those of its clusters against the others.

Zhuang, Zhai, Yamins, "Local Aggregation for Unsupervised Learning of Visual Embeddings", ICCV
2019, arXiv 1903.12355. It starts as NPID, whose bank it keeps.
"""

import dataclasses
from typing import Callable, Optional, Tuple

import tensorflow as tf

from tfssl import layers, losses, ops
from tfssl.methods import npid
from tfssl.methods._fit import check_clusters, check_warm_start
from tfssl.methods._plan import Extract, Logs, Plan
from tfssl.settings import setting


@dataclasses.dataclass(frozen=True)
class Config(npid.Config):
    """Settings of the warm start, which are NPID's, and those of the aggregation."""

    warm_start_epochs: int = setting(
        10,
        "Epochs of NPID, with its loss and negatives, before the aggregation. 0: none, and the "
        "bank begins with what the untrained network makes of all images.",
        low=0,
    )
    num_clusters: int = setting(30000, "k of each clustering.", low=1)
    num_clusterings: int = setting(
        10, "H; an image is close to all that share a cluster with it in any of them.", low=1
    )
    kmeans_iterations: int = setting(20, "Iterations of a clustering.", low=0)
    num_neighbors: int = setting(
        4096, "Background neighbours: the bank entries nearest to the embedding.", low=1
    )


class LocalAggregation(npid.NPID):
    """Draws close neighbours nearer, and the rest of the neighbourhood away.

    An image's own entry is one of its close neighbours. Where none of them is among the background
    neighbours, the own entry joins those, so that the loss is finite; the authors' code adds 1e-7
    to the probability there, which has no gradient.

    Costs: of an epoch, H clusterings of the bank with 2 N k D operations in an iteration of each;
    of a step: 2 batch N D for the similarities, and about ten `[batch, N]` of 4 bytes, 6.6 GB for
    128 images and the 1,281,167 records of ImageNet. Labels: 4 H N bytes, 51 MB there.
    """

    Config = Config
    statistics = ("positive", "negative", "close-neighbors")

    def __init__(self, settings: Config, plan: Plan, build_encoder: Callable[[], tf.keras.Model]):
        """Builds NPID and the labels; see `NPID`."""
        super().__init__(settings, plan, build_encoder)
        numbers = tf.range(plan.num_records) % settings.num_clusters
        self.labels = layers.mirrored_state(
            tf.tile(numbers[tf.newaxis], [settings.num_clusterings, 1]), "labels"
        )

    @classmethod
    def check_plan(cls, settings: Config, plan: Plan) -> None:
        """As of NPID, with an image or more for every cluster and steps after the warm start."""
        super().check_plan(settings, plan)
        check_clusters(settings.num_clusters, plan.num_records)
        check_warm_start(settings.warm_start_epochs, plan.steps_per_epoch, plan.total_steps)

    @property
    def chance_level(self) -> Optional[float]:
        """None: it depends on how many neighbours are close."""
        return None

    @property
    def pseudo_labels(self) -> tf.Tensor:
        """`[num_records]` int32, the first clustering; without a meaning in the warm start."""
        return tf.convert_to_tensor(self.labels)[0]

    def phase(self, step: int) -> str:
        """NPID until the warm start is over."""
        warm = step < self.settings.warm_start_epochs * self.plan.steps_per_epoch
        return "warm_start" if warm else "aggregation"

    def start_epoch(self, epoch: int, extract: Extract) -> None:
        """Clusters the bank H times, each from other rows.

        Without a warm start the bank begins with the embeddings of the untrained network.
        """
        settings = self.settings
        if epoch < settings.warm_start_epochs:
            super().start_epoch(epoch, extract)
            return
        if epoch == 0:
            self.bank.fill(extract(self.embedding_network))
        runs = [
            ops.kmeans(
                self.bank.features,
                num_clusters=settings.num_clusters,
                num_iterations=settings.kmeans_iterations,
                seed=int(ops.fold_key(self.plan.seed, epoch, run)),
            )
            for run in range(settings.num_clusterings)
        ]
        self.labels.assign(tf.stack([labels for _, labels in runs]))

    def discriminate(self, anchors: tf.Tensor, indices: tf.Tensor) -> Tuple[tf.Tensor, Logs]:
        """See `NPID.discriminate`; after the warm start, Eq. 5 of this paper."""
        if self.current_phase == "warm_start":
            loss, logs = super().discriminate(anchors, indices)
            return loss, {**logs, "close-neighbors": tf.constant(0.0)}
        bank = self.bank.rows(tf.range(self.plan.num_records))
        scores = tf.matmul(anchors, bank, transpose_b=True)
        # Cosines in float32 are enough to say which are nearest.
        similar = tf.cast(tf.stop_gradient(scores), tf.float32)
        background = ops.largest_mask(similar, tf.constant(self.settings.num_neighbors))
        close = _share_a_cluster(tf.convert_to_tensor(self.labels), indices)
        own = tf.range(self.plan.num_records, dtype=indices.dtype) == indices[:, tf.newaxis]
        alone = ~tf.reduce_any(close & background, axis=1, keepdims=True)
        background |= own & alone
        loss = losses.local_aggregation(
            scores, close, background, temperature=self.settings.temperature
        )
        return loss, {
            "positive": _mean(scores, own),
            "negative": _mean(scores, background & ~close),
            "close-neighbors": tf.reduce_mean(
                tf.reduce_sum(tf.cast(close & background, tf.float32), axis=1)
            ),
        }


@tf.function(jit_compile=True, autograph=False)
def _share_a_cluster(labels, indices):
    """`[batch, N]` bool: which records share a cluster with a row's in any clustering.

    Compiled, because a plain graph would hold `[H, batch, N]`.
    """
    own = tf.gather(labels, indices, axis=1)
    return tf.reduce_any(labels[:, tf.newaxis] == own[:, :, tf.newaxis], axis=0)


def _mean(scores: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The batch mean of each row's mean of marked scores, 0 for a row without one."""
    weights = tf.cast(mask, scores.dtype)
    sums = tf.reduce_sum(tf.stop_gradient(scores) * weights, axis=1)
    return tf.reduce_mean(sums / tf.maximum(tf.reduce_sum(weights, axis=1), 1.0))
