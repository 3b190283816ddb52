"""InfoMin: views that share no more than what matters, and a jigsaw beside them.

Tian, Sun, Poole, Krishnan, Schmid, Isola, "What Makes for Good Views for Contrastive Learning?",
NeurIPS 2020, arXiv 2005.10243, in the mechanics of HobbitLong/PyContrast. The views themselves are
the families `infomin`, `cj`, `ra`, `cj_blur`, `ra_cj` of `tfssl.views`.
"""

import dataclasses
from typing import Callable, Tuple

import tensorflow as tf

from tfssl import layers, ops
from tfssl.methods._instance import Embeddings
from tfssl.methods._key_encoder import own_groups
from tfssl.methods._plan import Batch, Logs, Plan
from tfssl.methods._queue import QueueMethod, QueueSettings
from tfssl.settings import setting

# Which draw of a pass a key is for; 0 is that of the keys' groups.
_PERMUTATIONS = 1
_OF_QUERIES = ("positive", "negative", "accuracy", "information")


@dataclasses.dataclass(frozen=True)
class Config(QueueSettings):
    """Settings of InfoMin; the defaults are those of the paper's ResNets on ImageNet."""

    temperature: float = setting(
        0.15, "tau, of the softmax. The paper has 0.07 with linear heads.", above=0.0
    )
    jigsaw_weight: float = setting(
        0.5,
        "beta, the share of the jigsaw in the loss. 0: none, as in the paper's studies of views.",
        low=0.0,
        below=1.0,
    )
    bn_groups: int = setting(
        8,
        "Groups of the global batch with batch statistics of their own, shuffled for the keys, as "
        "on so many GPUs; a multiple of the replicas. 1: the whole batch.",
        low=1,
    )


class InfoMin(QueueMethod):
    """Tells the key of an image's second view from a queue, by its first view and by its jigsaw."""

    Config = Config

    def __init__(self, settings: Config, plan: Plan, build_encoder: Callable[..., tf.keras.Model]):
        """Builds query encoder, key encoder, queue and the jigsaw's head.

        Args:
            settings: see `Config`.
            plan: the sizes of the run.
            build_encoder: makes a fresh backbone, images -> `[batch, dim]` features; synchronized:
                whether replicas share batch statistics.
        """
        super().__init__(settings, plan, build_encoder)
        self.jigsaw_head = None
        if settings.jigsaw_weight:
            self.jigsaw_head = layers.JigsawHead(
                self.evaluated_encoder.feature_dim,
                hidden_dim=settings.hidden_dim,
                patch_dim=settings.projection_dim,
                output_dim=settings.projection_dim,
            )

    @property
    def statistics(self) -> Tuple[str, ...]:
        """Of either branch its loss and what `contrast` tells of it."""
        if self.jigsaw_head is None:
            return _OF_QUERIES
        return ("image", "jigsaw", *_OF_QUERIES, *(f"jigsaw-{name}" for name in _OF_QUERIES))

    @classmethod
    def needs_patches(cls, settings: Config) -> bool:
        """With a share of jigsaws."""
        return settings.jigsaw_weight > 0

    def forward(self, batch: Batch) -> Tuple[tf.Tensor, Logs, Embeddings]:
        """Image and jigsaw, each against the key of the image's second view and the queue."""
        # The images first: evaluation uses batch statistics that the patches moved last.
        queries, keys = self.embed(batch)
        image, logs = self.contrast(queries, keys)
        if self.jigsaw_head is None:
            return image, logs, Embeddings([queries], keys)
        jigsaws = tf.math.l2_normalize(self._jigsaw(batch["patches"]), axis=1)
        jigsaw, more = self.contrast(jigsaws, keys, "jigsaw-")
        weight = self.settings.jigsaw_weight
        logs = {"image": image, "jigsaw": jigsaw, **logs, **more}
        embeddings = Embeddings([queries, jigsaws], keys)
        return (1 - weight) * image + weight * jigsaw, logs, embeddings

    def after_step(self) -> None:
        """The key encoder follows the query encoder as it is after the update."""
        self.key.update(self.settings.momentum)

    def _jigsaw(self, patches: tf.Tensor) -> tf.Tensor:
        """Embeddings `[batch, dim]` of patches `[batch, 9, size, size, channels]`, shuffled."""
        groups = own_groups(patches, self.settings.bn_groups, self.plan.batch_size)

        def encoder(images: tf.Tensor, training: bool) -> tf.Tensor:
            if self.settings.bn_groups == 1:
                return self.evaluated_encoder(images, training=training)
            # Statistics are those of all patches of a group of images.
            return layers.in_groups(self.evaluated_encoder, images, groups)

        keys = self.draw_keys(_PERMUTATIONS, patches)
        permutations = ops.keyed_permutations(keys, patches.shape[1])
        return self.jigsaw_head(layers.patch_features(encoder, patches), permutations)
