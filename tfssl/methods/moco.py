"""MoCo: a queue of keys from a slowly moving encoder.

He, Fan, Wu, Xie, Girshick, "Momentum Contrast for Unsupervised Visual Representation Learning",
CVPR 2020, arXiv 1911.05722; version 2, Chen, Fan, Girshick, He 2020, arXiv 2003.04297.
"""

import dataclasses
from typing import Tuple

import tensorflow as tf

from tfssl.methods._instance import Embeddings
from tfssl.methods._plan import Batch, Logs
from tfssl.methods._queue import QueueMethod, QueueSettings
from tfssl.settings import setting


@dataclasses.dataclass(frozen=True)
class Config(QueueSettings):
    """Settings of MoCo; the defaults are those of version 2 on ImageNet.

    Version 1 has a linear head and a temperature of 0.07.
    """

    temperature: float = setting(0.2, "tau, of the softmax; 0.07 in version 1.", above=0.0)
    margin: float = setting(
        0.0, "m, subtracted from the positive's cosine (MarginNCE).", low=-2.0, below=2.0
    )
    bn_groups: int = setting(
        1,
        "Groups of the global batch with batch statistics of their own, shuffled for the keys, as "
        "on so many GPUs; a multiple of the replicas. 8 in the paper. 1: the whole batch.",
        low=1,
    )


class MoCo(QueueMethod):
    """Tells the key of an image's second view from the keys of earlier batches."""

    Config = Config
    statistics = ("positive", "negative", "accuracy", "information")

    def before_forward(self) -> None:
        """The key encoder follows the query encoder as it is before this step's update."""
        self.key.update(self.settings.momentum)

    def forward(self, batch: Batch) -> Tuple[tf.Tensor, Logs, Embeddings]:
        """Queries of the first view against keys of the second and of the queue (Eq. 1)."""
        queries, keys = self.embed(batch)
        loss, logs = self.contrast(queries, keys)
        return loss, logs, Embeddings([queries], keys)
