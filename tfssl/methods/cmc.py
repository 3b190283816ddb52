"""CMC: what different views of a scene share.

Tian, Krishnan, Isola, "Contrastive Multiview Coding", ECCV 2020, arXiv 1906.05849. With a queue and
with jigsaws it is the combinations of its Table 9, in the mechanics of HobbitLong/PyContrast.
"""

import dataclasses
import math
from typing import Callable, List, Optional, Sequence, Tuple

import tensorflow as tf

from tfssl import ops
from tfssl.methods import _multiview
from tfssl.methods._generator import CHANNELS, check_generated_views, load_generator
from tfssl.methods._in_batch import check_other_images
from tfssl.methods._instance import Embeddings, InstanceMethod, softmax_level
from tfssl.methods._key_encoder import check_groups, check_queue
from tfssl.methods._local_global import LocalGlobalContrast, PatchSettings, head_of
from tfssl.methods._multiview_contrast import Draws, MultiviewContrast, Term
from tfssl.methods._partition import check_temperature
from tfssl.methods._plan import Batch, Extract, Logs, Plan
from tfssl.settings import SettingsError, setting
from tfssl.views import ViewFamily

# Which draw of a pass a key is for.
_NEGATIVES, _PERMUTATIONS, _SHUFFLE = range(3)


@dataclasses.dataclass(frozen=True)
class Config(PatchSettings):
    """Settings of CMC; the defaults are those of the paper's ResNets on ImageNet."""

    loss: str = setting(
        "softmax",
        "softmax: the own key among the negatives (Eq. 3). nce: noise-contrastive estimation of it "
        "(Eqs. 9 to 11), for the paper's AlexNets. in_batch: softmax against the other images of "
        "the batch, without a memory. patch: features of one view against places in the maps of "
        "another, of all images of the batch (section B.2).",
        choices=("softmax", "nce", "in_batch", "patch"),
    )
    paradigm: str = setting(
        "full",
        "full: every pair of views (Eq. 8). core: the pairs with one view (Eq. 7). Two views have "
        "one pair.",
        choices=("full", "core"),
    )
    core_view: int = setting(0, "Number of the core view, from 0.", low=0)
    share_encoders: bool = setting(False, "One encoder for all views, which are whole images.")
    generator: Optional[str] = setting(
        None,
        "Folder of a frozen generator, <run_dir>/generator of a run of view_learning: of what it "
        "makes of whole images channel 1 is one view and channels 2 and 3 are the other.",
    )
    memory: str = setting(
        "bank",
        "Where keys come from. bank: what a bank holds of every image, of the anchor's as well. "
        "queue: MoCo's, and of the anchor's image a second crop.",
        choices=("bank", "queue"),
    )
    num_negatives: int = setting(
        16384, "m, bank entries drawn for each image, or keys in the queue.", low=1
    )
    bank_start: str = setting(
        "uniform",
        "What the bank holds at first. uniform: numbers in +-sqrt(3 / width), as in the authors' "
        "code. directions: unit vectors. embeddings: those of all images from the untrained "
        "networks; short runs lose their first epochs otherwise.",
        choices=("uniform", "directions", "embeddings"),
    )
    partition_momentum: float = setting(
        0.0,
        "0: the partition sums of loss nce are those of the first batch. Otherwise they are moving "
        "averages; 0.99 is what MoCo's first author advises.",
        low=0.0,
        below=1.0,
    )
    momentum: float = setting(
        0.999, "EMA momentum of the key encoders beside a queue, constant.", low=0.0, high=1.0
    )
    bn_groups: int = setting(
        1,
        "Beside a queue: groups of the global batch with batch statistics of their own, shuffled "
        "for the keys; a multiple of the replicas. 1: the whole batch.",
        low=1,
    )
    jigsaw_weight: float = setting(
        0.0,
        "beta, the share of PIRL's jigsaws in the loss; 0.5 in Table 9, with --jigsaw among the "
        "views. 0: none.",
        low=0.0,
        below=1.0,
    )
    jigsaw_cross_view: bool = setting(
        False,
        "Jigsaws look for keys of the other views, as images do. By default each looks for the key "
        "of its own view, which is what PyContrast computes.",
    )

    def check(self) -> None:
        """Refuses settings without an effect, and a loss that its memory cannot serve."""
        of_bank = ("negatives", "bank_weight", "bank_start", "bank_dtype")
        if self.loss in ("in_batch", "patch"):
            self.refuse("the batch is the memory", "memory", "num_negatives", *of_bank)
        if self.loss == "patch":
            reason = "loss patch has neither temperature nor hidden layers nor jigsaws"
            self.refuse(reason, "temperature", "hidden_dim", "jigsaw_weight")
        else:
            of_patch = ("patch_layer", "patch_anchors", "patch_heads", "patch_mask")
            self.refuse("the loss is not patch", *of_patch)
        if self.memory == "queue":
            self.refuse("the keys are in a queue", *of_bank)
        else:
            self.refuse("there is no queue", "momentum", "bn_groups")
        if self.generator is not None:
            reason = "a generator makes two views of whole images"
            self.refuse(reason, "share_encoders", "core_view", "jigsaw_weight")
        if self.paradigm == "full":
            self.refuse("no view is more than another", "core_view")
        if not self.jigsaw_weight:
            self.refuse("there are no jigsaws", "jigsaw_cross_view")
        if self.loss != "nce":
            self.refuse("only loss nce has partition sums", "partition_momentum")
        elif self.memory == "queue" or self.bank_start == "embeddings":
            # Z is what the first batch gives: of nearly parallel rows far too much.
            raise SettingsError(
                "loss: expected softmax with a queue, and with a bank that starts with "
                f"embeddings. Received: nce, memory={self.memory}, bank_start={self.bank_start}.",
                "loss",
            )


class CMC(InstanceMethod):
    """Tells, from one view of an image, the other views of it from those of other images."""

    Config = Config

    def __init__(self, settings: Config, plan: Plan, build_encoder: Callable[..., tf.keras.Model]):
        """Builds an encoder and a head for every kind of view, and the memory.

        Args:
            settings: see `Config`.
            plan: the sizes of the run.
            build_encoder: makes a fresh backbone, images -> `[batch, dim]` features; channels: of
                the images; synchronized: whether replicas share batch statistics.
        """
        super().__init__(settings, plan)
        self.generator, channels = None, plan.view_channels
        if settings.generator is not None:
            self.generator = load_generator(settings.generator)
            channels = CHANNELS * _num_crops(settings)
        self.num_views = len(channels) // _num_crops(settings)
        self.kinds = _multiview.kinds_of(channels[: self.num_views], share=settings.share_encoders)
        self.views = _multiview.ViewNetworks(
            *(self.kinds, build_encoder),
            hidden_dim=settings.hidden_dim,
            output_dim=settings.projection_dim,
            build_head=head_of(settings) if settings.loss == "patch" else None,
            with_keys=settings.memory == "queue",
            with_jigsaw=settings.jigsaw_weight > 0,
            # Groups have their own statistics, also where replicas would share them.
            synchronized=None if settings.bn_groups == 1 else False,
            before=self.generator,
        )
        self.terms = self._terms()
        if settings.loss == "patch":
            self.contrast = LocalGlobalContrast(settings, self.views, self.terms)
        else:
            self.contrast = MultiviewContrast(settings, plan, self.num_views, self.terms)

    def _terms(self) -> List[Term]:
        """The directions of the loss: images, then jigsaws."""
        settings, share = self.settings, self.settings.jigsaw_weight
        pairs = _multiview.view_pairs(
            self.num_views, paradigm=settings.paradigm, core_view=settings.core_view
        )
        terms = [Term(i, j, 1 - share, f"{i + 1}-{j + 1}") for i, j in pairs]
        if not share:
            return terms
        if not settings.jigsaw_cross_view:
            pairs = [(i, i) for i in range(self.num_views)]
        names = [f"jigsaw-{i + 1}-{j + 1}" for i, j in pairs]
        return terms + [
            Term(self.num_views + i, j, share, name) for (i, j), name in zip(pairs, names)
        ]

    @property
    def statistics(self) -> Tuple[str, ...]:
        """Of every direction its loss, what it says of the shared information, and cosines."""
        return self.contrast.statistics

    @classmethod
    def check_views(cls, settings: Config, family: ViewFamily) -> None:
        """Groups of channels of one crop, of two for a queue; or images that share an encoder."""
        crops = _num_crops(settings)
        if settings.generator is not None:
            check_generated_views("cmc", settings.generator, family, crops)
            return
        _multiview.check_views("cmc", family, crops, share=settings.share_encoders)
        if settings.core_view >= family.num_views // crops:
            raise SettingsError(
                f"core_view: expected the number of a view, below {family.num_views // crops}. "
                f"Received: {settings.core_view}.",
                "core_view",
            )

    @classmethod
    def needs_patches(cls, settings: Config) -> bool:
        """With a share of jigsaws."""
        return settings.jigsaw_weight > 0

    @classmethod
    def check_plan(cls, settings: Config, plan: Plan) -> None:
        """A memory for the batch, and a batch in one part where it is the memory."""
        if settings.memory == "queue":
            check_queue(settings.num_negatives, plan, "num_negatives")
            check_groups(settings.bn_groups, plan)
        if settings.loss == "nce":
            check_temperature(settings.temperature, plan.num_records)
        if settings.loss in ("in_batch", "patch"):
            check_other_images(f"--cmc_loss={settings.loss}", plan)

    @property
    def chance_level(self) -> Optional[float]:
        """The loss of embeddings that have nothing to do with their keys; None for loss patch."""
        settings = self.settings
        if settings.loss == "patch":
            return None
        number, log_mean = settings.num_negatives, 0.0
        if settings.loss == "in_batch":
            number = self.plan.batch_size - 1
        elif settings.memory == "bank":
            # The logarithm of the mean of exp(s / tau) for a random cosine s.
            log_mean = 1 / (2 * settings.projection_dim * settings.temperature**2)
        level = softmax_level(number, log_mean)
        if settings.loss == "nce":
            level += number * math.log1p(1 / number)
        return level * sum(term.weight for term in self.terms)

    @property
    def evaluated_encoder(self) -> tf.keras.Model:
        """All encoders side by side."""
        return self.views.joint

    @property
    def embedding_network(self) -> tf.keras.Model:
        """The embeddings of all encoders side by side, not normalised."""
        return self.views.joint_embedding

    def fresh_encoder(self, build_encoder: Callable[..., tf.keras.Model]) -> tf.keras.Model:
        """Untrained encoders of the same kinds, side by side, on the same views."""
        encoders, joint = _multiview.build_encoders(self.kinds, build_encoder)
        if self.generator is None:
            return joint
        return _multiview.joint_encoder(encoders, self.kinds, self.generator)

    def start_epoch(self, epoch: int, extract: Extract) -> None:
        """Embeds all images before the first step, where the settings ask for it."""
        if epoch == 0 and self.settings.bank_start == "embeddings":
            rows = tf.split(extract(self.embedding_network), len(self.kinds.channels), axis=1)
            self.contrast.bank.fill(tf.stack(self.views.of_views(rows), axis=1))

    def forward(self, batch: Batch) -> Tuple[tf.Tensor, Logs, Embeddings]:
        """Every direction's loss, and the sum of their means (Eqs. 4, 7 and 8)."""
        present = batch.get("present")
        if self.generator is not None:
            batch = {**batch, "views": self.made_views(batch["views"])}
        if self.settings.loss == "patch":
            loss, logs = self.contrast.loss(batch["views"], present)
            return loss, logs, Embeddings([], None)
        anchors, keys = self._embed(batch["views"])
        stored = tf.stop_gradient(keys)
        indices = batch["index"]
        if self.settings.jigsaw_weight:
            orders = ops.keyed_permutations(self.draw_keys(_PERMUTATIONS, indices), 9)
            jigsaws = self.views.embed_jigsaws(batch["patches"], orders)
            anchors = tf.concat([anchors, jigsaws], axis=1)
        draws = Draws(self.draw_keys(_NEGATIVES, indices), self.draw_key(_NEGATIVES))
        loss, logs = self.contrast.loss(anchors, keys, indices, draws, present)
        return loss, logs, Embeddings([anchors], stored)

    def made_views(self, images: Sequence[tf.Tensor]) -> Tuple[tf.Tensor, ...]:
        """Views of whole images, crop after crop; none without a generator."""
        if self.generator is None:
            return ()
        made = [self.generator(crop, training=False) for crop in images]
        return tuple(view for crop in made for view in tf.split(crop, CHANNELS, axis=-1))

    def _embed(self, views: Tuple[tf.Tensor, ...]) -> Tuple[tf.Tensor, tf.Tensor]:
        """Anchors, and keys of the same images; of one crop they are the same."""
        if self.settings.memory == "bank":
            rows = self.views.embed(views)
            return rows, rows
        return self.views.embed_pairs(
            *(views[: self.num_views], views[self.num_views :]),
            groups=self.settings.bn_groups,
            batch_size=self.plan.batch_size,
            shuffle=self.draw_key(_SHUFFLE),
        )

    def remember(self, batch: Batch, embeddings: Embeddings) -> None:
        """Embeddings of whole views go into the memory, those of jigsaws do not."""
        if embeddings.stored is not None:
            self.contrast.remember(batch["index"], embeddings.stored, batch.get("present"))

    def after_step(self) -> None:
        """Key encoders follow the encoders as they are after the update."""
        for key in self.views.keys:
            key.update(self.settings.momentum)


def _num_crops(settings: Config) -> int:
    """Crops of an image: keys of a queue come from a second one."""
    return 2 if settings.memory == "queue" else 1
