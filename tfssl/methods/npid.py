"""NPID: non-parametric instance discrimination with a memory bank.

Wu, Xiong, Yu, Lin, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination",
CVPR 2018, arXiv 1805.01978. NPIDv2 (InterCLR, Xie et al., arXiv 2008.11702) is a configuration:
softmax over 16,384 negatives, a hidden layer, temperature 0.1.
"""

import dataclasses
from typing import Callable, Optional, Tuple

import tensorflow as tf

from tfssl import losses, ops
from tfssl.methods._bank import BankMethod, BankSettings, Drawn
from tfssl.methods._instance import Embeddings
from tfssl.methods._partition import Partition, check_temperature
from tfssl.methods._plan import Batch, Logs, Plan
from tfssl.settings import SettingsError, setting


@dataclasses.dataclass(frozen=True)
class Config(BankSettings):
    """Settings of NPID; the defaults are those of the paper's ImageNet experiments."""

    loss: str = setting(
        "nce",
        "nce: noise-contrastive estimation with a constant partition sum, as in the paper. "
        "softmax: cross-entropy of the own entry among the drawn ones.",
        choices=("nce", "softmax"),
    )
    margin: float = setting(
        0.0,
        "m, subtracted from the own entry's cosine (MarginNCE); for the softmax.",
        low=-2.0,
        below=2.0,
    )

    def check(self) -> None:
        """The noise-contrastive loss has no margin, and needs a bank of scattered rows."""
        if self.loss != "nce":
            return
        if self.margin:
            raise SettingsError(
                f"margin: expected 0 with loss nce. Received: {self.margin:g}. Remedy: loss "
                "softmax.",
                "margin",
            )
        if self.bank_start == "embeddings":
            # Z is what the first batch gives and stays: of nearly parallel rows far too much.
            raise SettingsError(
                "bank_start: expected random with loss nce, whose constant the first batch "
                "decides. Received: embeddings. Remedy: loss softmax.",
                "bank_start",
            )


class NPID(BankMethod):
    """Tells every image from all others, by the embeddings that were last seen of them."""

    Config = Config
    statistics = ("positive", "negative")

    def __init__(self, settings: Config, plan: Plan, build_encoder: Callable[[], tf.keras.Model]):
        """Builds the network and the bank.

        Args:
            settings: see `Config`.
            plan: the sizes of the run.
            build_encoder: makes a fresh backbone, images -> `[batch, dim]` features.
        """
        super().__init__(settings, plan, build_encoder)
        self.partition = Partition() if settings.loss == "nce" else None

    @classmethod
    def check_plan(cls, settings: Config, plan: Plan) -> None:
        """A noise-contrastive loss whose Z is a float32 number."""
        if settings.loss == "nce":
            check_temperature(settings.temperature, plan.num_records)

    @property
    def chance_level(self) -> float:
        """See `BankMethod`."""
        return self.level_at(self.settings.margin)

    def forward(self, batch: Batch) -> Tuple[tf.Tensor, Logs, Embeddings]:
        """The embeddings of the batch, and how well they are told apart."""
        anchors = tf.math.l2_normalize(self.network(batch["views"][0], training=True), axis=1)
        loss, logs = self.discriminate(anchors, batch["index"])
        return loss, logs, Embeddings([anchors], tf.stop_gradient(anchors))

    def discriminate(self, anchors: tf.Tensor, indices: tf.Tensor) -> Tuple[tf.Tensor, Logs]:
        """The loss of each embedding against its bank entry and drawn others (Eqs. 2 and 7).

        Args:
            anchors: `[batch, dim]` unit rows.
            indices: `[batch]` int64, their records.

        Returns:
            The loss, and the scalars in `statistics`.
        """
        drawn = self.draw_negatives(indices)
        z = self._z(tf.stop_gradient(anchors), indices, drawn)
        found = self.contrast(anchors, indices, drawn, self._loss(z))
        means = {"positive": found.positive, "negative": found.negative}
        return found.loss, {name: tf.reduce_mean(scores) for name, scores in means.items()}

    def _loss(self, z: Optional[tf.Tensor]) -> ops.DecomposedLoss:
        """The loss of rows of cosines."""
        settings = self.settings
        if settings.loss == "softmax":
            return losses.decomposed_info_nce(
                temperature=settings.temperature, margin=settings.margin
            )
        return losses.decomposed_nce(
            temperature=settings.temperature,
            num_data=self.plan.num_records,
            num_draws=settings.num_negatives,
            z=z,
        )

    def _z(self, anchors: tf.Tensor, indices: tf.Tensor, drawn: Drawn) -> Optional[tf.Tensor]:
        """The partition sum that the run's first batch has given; None where it has no part."""
        if self.partition is None:
            return None

        def estimate():
            positive = self.positive_scores(anchors, indices)[:, tf.newaxis]
            return losses.nce_partition(
                tf.concat([positive, self.negative_scores(anchors, drawn)], axis=1),
                temperature=self.settings.temperature,
                num_data=self.plan.num_records,
            )

        return self.partition.sums(estimate)
