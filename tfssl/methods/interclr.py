"""InterCLR: images of one cluster are positives, beside a method that tells images apart.

Xie, Zhan, Liu, Ong, Loy, "Delving into Inter-Image Invariance for Unsupervised Visual
Representations", arXiv 2008.11702. Where paper and released code differ the defaults are the
paper's, except that small clusters are replaced (ODC), because they die otherwise.
"""

import dataclasses
from typing import Any, Callable, List, Optional, Tuple

import tensorflow as tf

from tfssl import layers, losses, ops
from tfssl.methods import npid
from tfssl.methods._fit import check_clusters, check_warm_start
from tfssl.methods._instance import Embeddings, InstanceMethod, softmax_level
from tfssl.methods._method import Method
from tfssl.methods._plan import Batch, Extract, Logs, Plan
from tfssl.methods.byol import BYOL
from tfssl.methods.moco import MoCo
from tfssl.settings import Settings, SettingsError, flags_named, part, setting
from tfssl.views import ViewFamily

_BASES = {"npid": npid.NPID, "moco": MoCo, "byol": BYOL}
_NPID_V2 = dict(loss="softmax", num_negatives=16384, hidden_dim=2048, temperature=0.1)
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
    warm_start_epochs: int = setting(
        0,
        "Epochs of the base alone. Then the bank is clustered anew, and pseudo-labels count. It "
        "may help where clusters of the untrained network are no better than random ones.",
        low=0,
    )
    num_clusters: int = setting(10000, "k, the number of clusters.", low=2)
    num_negatives: int = setting(
        16384, "K, bank entries of other clusters; BYOL has no negatives.", low=1
    )
    margin: float = setting(
        -0.5,
        "m, subtracted from the cosine of the inter-image positive; not with BYOL.",
        low=-2.0,
        below=2.0,
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
        "which gives nearly the same draws at a tenth of the cost while clusters are small. exact: "
        "from the whole bank, also where it has fewer than 10 K entries.",
        choices=("subset", "exact"),
    )
    labels: str = setting(
        "online",
        "online: a batch is labelled anew in every step. offline: all images, every few epochs.",
        choices=("online", "offline"),
    )
    offline_epochs: int = setting(1, "Epochs between two labellings, with offline labels.", low=1)
    assign: str = setting(
        "l2",
        "A row's cluster, with online labels: the nearest centroid (l2, the paper) or the largest "
        "dot product (dot, the code).",
        choices=("l2", "dot"),
    )
    publish_every: int = setting(
        1,
        "Batches after which centroids follow their clusters, with online labels; 10 in the code.",
        low=1,
    )
    min_cluster: int = setting(
        20,
        "Smaller clusters are replaced after every batch, with online labels; 0: never, as in the "
        "paper.",
        low=0,
    )
    exclude_self: bool = setting(
        False, "Never draw the image's own entry as its inter-image positive."
    )
    kmeans_iterations: int = setting(20, "Iterations of a global clustering.", low=0)

    def check(self) -> None:
        """Settings without an effect are refused; the base has defaults where none are given."""
        base = _BASES[self.base].Config
        if self.base_settings is None:
            chosen = base(**(_NPID_V2 if self.base == "npid" else {}))
            object.__setattr__(self, "base_settings", chosen)
        if type(self.base_settings) is not base:
            raise SettingsError(
                f"base_settings: expected those of {self.base}. Received: {self.base_settings}."
            )
        if self.base == "npid" and self.base_settings.loss == "nce" and self.intra_weight < 1:
            raise SettingsError(
                "base npid: expected loss softmax, because the bank starts with embeddings, for "
                "which the constant of nce is far too large. Received: nce. Remedy: NPIDv2, which "
                f"is {' '.join(f'--npid_{name}={value}' for name, value in _NPID_V2.items())}."
            )
        if self.base == "byol":
            self.refuse("BYOL has no negatives", "margin", "num_negatives", "sampler", "sampling")
        if self.sampler in ("hard", "random"):
            self.refuse(f"sampler {self.sampler} has no pool to draw from", "sampling")
        if self.labels == "online":
            self.refuse("labels are online", "offline_epochs")
        else:
            self.refuse("labels are offline", "assign", "publish_every")


class InterCLR(Method):
    """A base method whose images also attract entries of their cluster in a feature bank."""

    Config = Config

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
    def statistics(self) -> Tuple[str, ...]:
        """What there is to tell: without clusters the base's loss alone."""
        if self.clusters is None:
            return ("intra",)
        changed = ("changed-labels",) if self.settings.labels == "online" else ()
        return ("intra", "inter", *changed, "smallest-cluster", "largest-cluster")

    @property
    def chance_level(self) -> Optional[float]:
        """The loss where all are equally similar; None where the base has no such level.

        With a warm start too, because the level changes after it.
        """
        weight, settings = self.settings.intra_weight, self.settings
        base = self.base.chance_level
        if base is None or weight == 1:
            return base
        if settings.warm_start_epochs:
            return None
        log_odds = settings.margin / settings.base_settings.temperature
        inter = softmax_level(settings.num_negatives, log_odds)
        return weight * base + (1 - weight) * inter

    @property
    def evaluated_encoder(self) -> tf.keras.Model:
        """The base's."""
        return self.base.evaluated_encoder

    @property
    def embedding_network(self) -> tf.keras.Model:
        """The base's."""
        return self.base.embedding_network

    @property
    def pseudo_labels(self) -> Optional[tf.Tensor]:
        """`[num_records]` int32, the recorded clusters."""
        return None if self.clusters is None else tf.convert_to_tensor(self.clusters.labels)

    @classmethod
    def check_views(cls, settings: Config, family: ViewFamily) -> None:
        """Those of the base."""
        with flags_named(f"{settings.base}_"):
            _BASES[settings.base].check_views(settings.base_settings, family)

    @classmethod
    def check_plan(cls, settings: Config, plan: Plan) -> None:
        """As of the base, with images enough for the clusters and steps after the warm start."""
        with flags_named(f"{settings.base}_"):
            _BASES[settings.base].check_plan(settings.base_settings, plan)
        if settings.intra_weight < 1:
            check_clusters(settings.num_clusters, plan.num_records, _min_cluster(settings))
            check_warm_start(settings.warm_start_epochs, plan.steps_per_epoch, plan.total_steps)

    def phase(self, step: int) -> str:
        """The base alone until the warm start is over."""
        warm = step < self.settings.warm_start_epochs * self.plan.steps_per_epoch
        return "warm_start" if warm else "both"

    def start_epoch(self, epoch: int, extract: Extract) -> None:
        """Global clustering before the first step and after a warm start; offline again then."""
        if self.clusters is None:
            self.base.start_epoch(epoch, extract)
            return
        after_warm_start = epoch - self.settings.warm_start_epochs
        if epoch == 0:
            # The paper's start: the untrained network's embeddings of all images.
            self.bank.fill(extract(self.base.embedding_network))
            self._cluster(self.bank.features, epoch)
        elif self.settings.labels == "online" and after_warm_start == 0:
            self._cluster(self.bank.features, epoch)
        elif self.settings.labels == "online":
            self.clusters.recompute(self.bank.features)
        elif after_warm_start >= 0 and after_warm_start % self.settings.offline_epochs == 0:
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
            return intra, {"intra": intra}, embeddings
        if self.current_phase == "warm_start":
            return intra, {"intra": intra, "inter": tf.constant(0.0)}, embeddings
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
            return {}
        if change is None:
            indices = ops.cross_replica_concat(batch["index"])
            change = self.bank.update(indices, ops.cross_replica_concat(kept.stored))
        if self.settings.labels == "online":
            return self.clusters.step(change, self.bank.features)
        return self.clusters.figures()

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
            min_cluster=_min_cluster(settings),
            name="clusters",
        )
        self.clusters.recompute(self.bank.features)

    def _cluster(self, features: Any, epoch: int) -> None:
        """Labels all records by a k-means of all features."""
        self.clusters.cluster(
            features,
            num_iterations=self.settings.kmeans_iterations,
            seed=int(ops.fold_key(self.plan.seed, epoch)),
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


def _min_cluster(settings: Config) -> int:
    """The size below which clusters are replaced: of offline labels none is."""
    return settings.min_cluster if settings.labels == "online" else 0
