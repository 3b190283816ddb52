"""InterCLR: images of one cluster are positives, beside a method that tells images apart.

Xie, Zhan, Liu, Ong, Loy, "Delving into Inter-Image Invariance for Unsupervised Visual
Representations", arXiv 2008.11702. Where paper and released code differ the defaults are the
paper's, except that small clusters are replaced (ODC), because they die otherwise.
"""

import dataclasses
import math
from typing import Any, Callable, List, Optional, Tuple

import tensorflow as tf

from tfssl import layers, losses, ops
from tfssl.methods._instance import Embeddings, InstanceMethod
from tfssl.methods._method import Batch, Extract, Logs, Method, Plan
from tfssl.methods.byol import BYOL
from tfssl.methods.moco import MoCo
from tfssl.methods.npid import NPID
from tfssl.settings import Settings, part, setting

_BASES = {"npid": NPID, "moco": MoCo, "byol": BYOL}
# Which draw of a step a key is for; the base has the numbers below.
_POSITIVES, _NEGATIVES = 16, 32


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """Settings of InterCLR; the defaults are those of the paper's final ImageNet models."""

    base: str = setting(
        "moco",
        "The method that tells images apart; its own flags choose the rest.",
        choices=tuple(_BASES),
    )
    base_settings: Optional[Settings] = part("base")
    intra_weight: float = setting(
        0.75,
        "lambda, the base's share of the loss. 1: the base alone, 0: pseudo-labels alone.",
        low=0.0,
        high=1.0,
    )
    num_clusters: int = setting(10000, "k, the number of clusters.", low=1)
    num_negatives: int = setting(16384, "K, bank entries of other clusters.", low=1)
    margin: float = setting(
        -0.5, "m, subtracted from the cosine of the inter-image positive.", low=-2.0, below=2.0
    )
    sampler: str = setting(
        "semi_hard",
        "Negatives: the nearest (hard), drawn from the nearest tenth (semi_hard), from all "
        "(random), or from the farthest tenth (semi_easy).",
        choices=ops.SAMPLERS,
    )
    sampling: str = setting(
        "subset",
        "Semi-hard and semi-easy negatives. subset: the nearest of a random subset of the bank, "
        "which gives the same draws at a tenth of the cost. exact: from the whole bank, also where "
        "it has fewer than 10 K entries.",
        choices=("subset", "exact"),
    )
    labels: str = setting(
        "online",
        "online: a batch is labelled anew in every step. offline: all images, every few epochs.",
        choices=("online", "offline"),
    )
    offline_epochs: int = setting(1, "Epochs between two offline labellings.", low=1)
    assign: str = setting(
        "l2",
        "A row's cluster: the nearest centroid (l2, the paper) or the largest dot product (dot, "
        "the code).",
        choices=("l2", "dot"),
    )
    publish_every: int = setting(
        1, "Steps after which centroids follow their clusters; 10 in the code.", low=1
    )
    min_cluster: int = setting(
        20, "Smaller clusters are replaced after every step; 0: never, as in the paper.", low=0
    )
    exclude_self: bool = setting(
        False, "Never draw the image's own entry as its inter-image positive."
    )
    kmeans_iterations: int = setting(20, "Iterations of a global clustering.", low=0)

    def check(self) -> None:
        """The base has its defaults where its settings are not given."""
        if self.base_settings is None:
            object.__setattr__(self, "base_settings", _BASES[self.base].Config())


class InterCLR(Method):
    """A base method whose images also attract entries of their cluster in a feature bank."""

    Config = Config
    statistics = ("intra", "inter", "changed-labels", "smallest-cluster", "largest-cluster")

    def __init__(self, settings: Config, plan: Plan, build_encoder: Callable[[], tf.keras.Model]):
        """Builds the base, the bank and the clusters.

        Args:
            settings: see `Config`.
            plan: the sizes of the run.
            build_encoder: makes a fresh backbone, images -> `[batch, dim]` features.
        """
        super().__init__(settings, plan)
        self.base: InstanceMethod = _BASES[settings.base](
            settings.base_settings, plan, build_encoder
        )
        # One clock: the base's schedules follow this method's steps.
        self.base.global_step = self.global_step
        self.bank, self.clusters = None, None
        if settings.intra_weight < 1:
            self._build_clusters()

    @property
    def chance_level(self) -> Optional[float]:
        """The loss where all are equally similar, as far as the base has such a level."""
        weight, settings = self.settings.intra_weight, self.settings
        base = self.base.chance_level
        if base is None or weight == 1:
            return base
        odds = math.exp(settings.margin / settings.base_settings.temperature)
        return weight * base + (1 - weight) * math.log1p(settings.num_negatives * odds)

    @property
    def evaluated_encoder(self) -> tf.keras.Model:
        """The base's."""
        return self.base.evaluated_encoder

    @property
    def pseudo_labels(self) -> Optional[tf.Tensor]:
        """`[num_records]` int32, the recorded clusters."""
        return None if self.clusters is None else tf.convert_to_tensor(self.clusters.labels)

    @classmethod
    def check_views(cls, settings: Config, sizes: Tuple[int, ...]) -> None:
        """Those of the base."""
        _BASES[settings.base].check_views(settings.base_settings, sizes)

    def start_epoch(self, epoch: int, extract: Extract) -> None:
        """Global clustering before the first step, and offline every few epochs."""
        if self.clusters is None:
            self.base.start_epoch(epoch, extract)
            return
        if epoch == 0:
            # The paper's start: the untrained network's embeddings of all images.
            self.bank.fill(extract(self.base.embedding_network))
            self._cluster(self.bank.features, epoch)
        elif self.settings.labels == "online":
            self.clusters.recompute(self.bank.features)
        elif epoch % self.settings.offline_epochs == 0:
            embeddings = extract(self.base.embedding_network)
            self._cluster(tf.math.l2_normalize(embeddings, axis=1), epoch)

    def before_forward(self) -> None:
        """See the base."""
        self.base.before_forward()

    def compute(self, batch: Batch) -> Tuple[tf.Tensor, Logs]:
        """lambda * intra + (1 - lambda) * inter (Eq. 6), from bank and labels before the step."""
        return self.compute_and_keep(batch)[:2]

    def compute_and_keep(self, batch: Batch) -> Tuple[tf.Tensor, Logs, Embeddings]:
        """`compute`, and the embeddings that bank and queue remember."""
        intra, _, embeddings = self.base.forward(batch)
        weight = self.settings.intra_weight
        if weight == 1:
            return intra, {"intra": intra, "inter": tf.zeros_like(intra)}, embeddings
        inter = tf.add_n(
            [self._inter(batch["index"], a, v) for v, a in enumerate(embeddings.anchors)]
        )
        loss = weight * intra + (1 - weight) * inter
        return loss, {"intra": intra, "inter": inter}, embeddings

    def after_pass(self, batch: Batch, kept: Embeddings) -> Logs:
        """Queue, bank and clusters follow the batch; how the clusters are."""
        change = self.base.remember(batch, kept)
        self.base.forwards.assign_add(1)
        if self.clusters is None:
            zero = tf.constant(0.0)
            return {"changed-labels": zero, "smallest-cluster": zero, "largest-cluster": zero}
        if change is None:
            indices = ops.cross_replica_concat(batch["index"])
            change = self.bank.update(indices, ops.cross_replica_concat(kept.stored))
        if self.settings.labels == "online":
            return self.clusters.step(change, self.bank.features)
        return {"changed-labels": tf.constant(0.0), **self.clusters.figures()}

    def after_step(self) -> None:
        """See the base."""
        self.base.after_step()

    def variables_in(self, phase: str) -> List[tf.Variable]:
        """Those of the base."""
        return self.base.variables_in(phase)

    def _build_clusters(self) -> None:
        """The bank, or the base's own, and clusters that agree with it."""
        settings, plan, dim = self.settings, self.plan, self.base.embedding_dim
        self.bank = getattr(self.base, "bank", None) or layers.FeatureBank(
            plan.num_records, dim, new_weight=1.0, seed=plan.seed, name="bank"
        )
        self.clusters = layers.OnlineClusters(
            *(plan.num_records, settings.num_clusters, dim),
            assign=settings.assign,
            publish_every=settings.publish_every,
            min_cluster=settings.min_cluster,
            name="clusters",
        )
        self.clusters.recompute(self.bank.features)

    def _cluster(self, features: Any, epoch: int) -> None:
        """Labels all records by a k-means of all features."""
        self.clusters.cluster(
            features,
            num_iterations=self.settings.kmeans_iterations,
            seed=self.plan.seed + epoch,
        )

    def _inter(self, indices: tf.Tensor, anchors: tf.Tensor, view: int) -> tf.Tensor:
        """One view's loss against an entry of its own cluster and entries of others (Eq. 5)."""
        labels, positives = self._positives(indices, view)
        if self.settings.base == "byol":
            return losses.cosine_regression(anchors, positives)
        found = ops.sample_negatives(
            *(self.settings.sampler, self.bank.features),
            *(tf.convert_to_tensor(self.clusters.labels), anchors, labels),
            num_negatives=self.settings.num_negatives,
            key=self.base.draw_key(_NEGATIVES + view),
            keys=self.base.draw_keys(_NEGATIVES + view, anchors),
            exact=self.settings.sampling == "exact",
        )
        return losses.info_nce_from_scores(
            *(tf.reduce_sum(anchors * positives, axis=1), found.scores),
            temperature=self.settings.base_settings.temperature,
            margin=self.settings.margin,
            counts=found.counts,
        )

    def _positives(self, indices: tf.Tensor, view: int) -> Tuple[tf.Tensor, tf.Tensor]:
        """This replica's labels, and a bank entry of each one's cluster."""
        # Drawn for the global batch, so that the number of replicas does not matter.
        everyone = ops.cross_replica_concat(indices)
        labels = self.clusters.labels_of(everyone)
        drawn = ops.cluster_members(
            *(tf.convert_to_tensor(self.clusters.labels), labels),
            key=self.base.draw_key(_POSITIVES + view),
            num_clusters=self.settings.num_clusters,
            exclude=tf.cast(everyone, tf.int32) if self.settings.exclude_self else None,
        )
        batch = indices.shape[0]
        return ops.local_rows(labels, batch), self.bank.rows(ops.local_rows(drawn, batch))
