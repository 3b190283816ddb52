"""Learned views: colours in which two views share little, found against those who tell them.

Tian, Sun, Poole, Krishnan, Schmid, Isola, "What Makes for Good Views for Contrastive Learning?",
NeurIPS 2020, arXiv 2005.10243, section B.5 of its supplement.
"""

import dataclasses
import math
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import tensorflow as tf

from tfssl import layers
from tfssl.layers.coupling_block import KINDS, SCALES
from tfssl.methods import _in_batch, _multiview, cmc
from tfssl.methods._method import Method
from tfssl.methods._multiview_contrast import Draws, MultiviewContrast, Term
from tfssl.methods._plan import Batch, Logs, Plan
from tfssl.settings import Settings, SettingsError, setting

CRITICS, GENERATOR = "critics", "generator"
# Channels of the two views.
_CHANNELS = (1, 2)
# What is logged of the contrast, of each direction.
_KINDS = ("loss", "information", "positive", "negative")


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """Settings of view learning; the defaults are those of the paper, or of its sheet."""

    objective: str = setting(
        "unsupervised",
        "What the generator minimises. unsupervised: the information that its views share. "
        "semi_supervised: that, and the cross-entropies of two classifiers, each of one view, on "
        "labelled images. supervised: the cross-entropies alone; the critics only measure.",
        choices=("unsupervised", "semi_supervised", "supervised"),
    )
    flow: str = setting(
        "vp",
        "Blocks of the generator. vp, vp_nice: volume preserving. nvp, nvp_swap: with a scale.",
        choices=KINDS,
    )
    flow_scale: str = setting(
        "bounded",
        "Of nvp and nvp_swap the logarithm of the scale. bounded: within +-2. plain: any.",
        choices=SCALES,
    )
    num_blocks: int = setting(6, "Blocks of the generator, a multiple of 3.", low=3)
    critic_steps: int = setting(1, "Steps of the critics before each of the generator.", low=1)
    swap_lr: bool = setting(
        False,
        "The critics have the lower learning rate, not the generator. The paper says that the "
        "generator's should be higher, and gives it the lower one.",
    )
    lr_ratio: float = setting(
        1 / 3,
        "The lower learning rate, over the other, which is the optimizer's. 1: both are the same.",
        above=0.0,
        high=1.0,
    )
    temperature: float = setting(0.1, "tau, of the softmax.", above=0.0)
    projection_dim: int = setting(64, "Width of an embedding.", low=1)

    def check(self) -> None:
        """Refuses a scale without an effect, and channels that are not chosen equally often."""
        if not self.flow.startswith("nvp"):
            self.refuse(f"flow {self.flow} has no scale", "flow_scale")
        if self.num_blocks % 3:
            raise SettingsError(
                "num_blocks: expected a multiple of 3, so that every channel is chosen as often. "
                f"Received: {self.num_blocks}.",
                "num_blocks",
            )


class ViewLearning(Method):
    """A generator of two views, and critics that tell which of them belong together, in turns.

    The views are channel 1 and channels 2 and 3 of what an invertible map makes of every pixel. Of
    a batch's images each critic step lowers L, the mean of both directions' losses against the
    other images, by the critics f1 and f2. Each generator step lowers I = log k - L, the
    information that the critics see, by the generator, and cross-entropies by the generator and
    the classifiers.

    In a generator step the critics normalise by the statistics of its batch, as in the steps in
    which they learn: their moving averages lag behind a map that has moved on, and would be another
    function than the one they were trained to be. The averages themselves stay as they were.
    """

    Config = Config
    min_views = 1
    max_views = 1
    splits_batch = "its negatives are the whole batch"

    def __init__(self, settings: Config, plan: Plan, build_encoder: Callable[..., tf.keras.Model]):
        """Builds the generator, an encoder with a head for each view, and the classifiers.

        Args:
            settings: see `Config`.
            plan: the sizes of the run; with labelled rows and classes where there are labels.
            build_encoder: makes a fresh backbone, images -> `[batch, dim]` features; channels: of
                the images.
        """
        super().__init__(settings, plan)
        self.kinds = _multiview.kinds_of(_CHANNELS, share=False)
        self.generator = layers.CouplingFlow(
            settings.flow,
            num_blocks=settings.num_blocks,
            scale=settings.flow_scale,
            name="generator",
        )
        self.critics = _multiview.ViewNetworks(
            *(self.kinds, build_encoder),
            hidden_dim=0,
            output_dim=settings.projection_dim,
            before=lambda images: self.generator.forward(images)[0],
        )
        self.classifiers = []
        if self.needs_labelled(settings):
            self.classifiers = [
                _with_head(build_encoder(channels=channels), plan.num_classes)
                for channels in _CHANNELS
            ]
        pairs = _multiview.view_pairs(len(_CHANNELS), paradigm="full")
        self.contrast = MultiviewContrast(
            cmc.Config(
                loss="in_batch",
                temperature=settings.temperature,
                projection_dim=settings.projection_dim,
            ),
            *(plan, len(_CHANNELS)),
            [Term(i, j, 1 / len(pairs), f"{i + 1}-{j + 1}") for i, j in pairs],
        )

    @property
    def statistics(self) -> Tuple[str, ...]:
        """What is logged beside the loss, which is L in steps of both kinds.

        Of each direction its loss, log k less it, and the mean cosines with own keys and others;
        the mean of both directions' information; the mean absolute change of an image's values; the
        log-determinant of a pixel; what critics and generator have minimised; of the classifiers
        cross-entropy and accuracy on labelled images, in the generator's steps.
        """
        of_contrast = [n for n in self.contrast.statistics if n.split("/")[0] in _KINDS]
        names = ["information", "change", "log_det", "loss/critics", "loss/generator"]
        if self.classifiers:
            names += [f"{kind}/{i}" for i in (1, 2) for kind in ("cross_entropy", "accuracy")]
        return (*of_contrast, *names)

    @classmethod
    def needs_labelled(cls, settings: Config) -> bool:
        """With classifiers."""
        return settings.objective != "unsupervised"

    @classmethod
    def check_plan(cls, settings: Config, plan: Plan) -> None:
        """A batch in one part, and classes to tell apart."""
        _in_batch.check_other_images("method view_learning", plan)
        if cls.needs_labelled(settings) and (plan.num_classes < 2 or plan.labelled_batch_size < 1):
            raise SettingsError(
                "objective: expected labelled records of two classes and more with "
                f"{settings.objective}. Received: {plan.labelled_batch_size} rows of "
                f"{plan.num_classes} classes.",
                "objective",
            )

    @property
    def num_candidates(self) -> int:
        """k: images of a step, labelled ones included, among which one is the own."""
        labelled = self.plan.labelled_batch_size if self.classifiers else 0
        return self.plan.batch_size + labelled

    @property
    def chance_level(self) -> float:
        """ln k, of embeddings that say nothing."""
        return math.log(self.num_candidates)

    @property
    def evaluated_encoder(self) -> tf.keras.Model:
        """Both critics' encoders side by side, behind the generator."""
        return self.critics.joint

    @property
    def embedding_network(self) -> tf.keras.Model:
        """The embeddings of both critics side by side, behind the generator; not normalised."""
        return self.critics.joint_embedding

    @property
    def view_generator(self) -> tf.keras.Model:
        """The generator, which later runs may freeze: `--cmc_generator`."""
        return self.generator.functional()

    def made_views(self, images: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
        """The two views of each crop, as they are now."""
        return [v for i in images for v in tf.split(self.generator(i), _CHANNELS, axis=-1)]

    def fresh_encoder(self, build_encoder: Callable[..., tf.keras.Model]) -> tf.keras.Model:
        """Untrained encoders side by side; an untrained generator changes nothing."""
        return _multiview.build_encoders(self.kinds, build_encoder)[1]

    def phase(self, step: int) -> str:
        """Steps of the critics, then one of the generator."""
        period = self.settings.critic_steps + 1
        return CRITICS if step % period < self.settings.critic_steps else GENERATOR

    def variables_in(self, phase: str) -> List[tf.Variable]:
        """The critics', or those of generator and classifiers."""
        if phase == CRITICS:
            return self.critics.trainable_variables
        classifiers = [v for network in self.classifiers for v in network.trainable_variables]
        return [*self.generator.trainable_variables, *classifiers]

    @property
    def scaled_rate_variables(self) -> List[Tuple[float, List[tf.Variable]]]:
        """The generator and the classifiers, or the critics, learn more slowly."""
        slower = CRITICS if self.settings.swap_lr else GENERATOR
        return [(self.settings.lr_ratio, self.variables_in(slower))]

    def compute(self, batch: Batch) -> Tuple[tf.Tensor, Logs]:
        """L for the critics; I and cross-entropies for generator and classifiers."""
        images, labels = batch["views"][0], None
        if self.classifiers:
            # The contrast is of all images, their labels are known or not.
            images = tf.concat([images, batch["labelled"]["views"][0]], axis=0)
            labels = batch["labelled"]["label"]
        changed, log_det = self.generator.forward(images)
        by_critics = self.current_phase == CRITICS
        loss, logs = self._contrast(tf.stop_gradient(changed) if by_critics else changed)
        logs.update(self._changes(images, changed, log_det))
        logs["loss"] = tf.stop_gradient(loss)
        if by_critics:
            return loss, {**logs, "loss/critics": loss}
        classified, found = self._classify(changed, labels)
        logs.update(found)
        if self.settings.objective != "supervised":
            classified += math.log(self.num_candidates) - loss
        return classified, {**logs, "loss/generator": classified}

    def _contrast(self, changed: tf.Tensor) -> Tuple[tf.Tensor, Dict[str, Optional[tf.Tensor]]]:
        """L, and of `statistics` all that there is of it; the others are None."""
        views = tf.split(changed, _CHANNELS, axis=-1)
        if self.current_phase == CRITICS:
            rows = self.critics.embed(views)
        else:
            averages = self.critics.non_trainable_variables
            before = [tf.identity(v) for v in averages]
            rows = self.critics.embed(views)
            for variable, value in zip(averages, before):
                variable.assign(value)
        # Nothing is drawn and nothing is looked up where the batch is the memory.
        nothing = tf.zeros([], tf.int64)
        loss, found = self.contrast.loss(rows, rows, nothing, Draws(nothing, nothing))
        logs = {name: found.get(name) for name in self.statistics}
        names = [name for name in found if name.startswith("information/")]
        logs["information"] = tf.add_n([found[name] for name in names]) / len(names)
        return loss, logs

    @staticmethod
    def _changes(images: tf.Tensor, changed: tf.Tensor, log_det: tf.Tensor) -> Logs:
        """How far the generator is from the identity."""
        difference = tf.abs(changed - tf.cast(images, changed.dtype))
        pixels = images.shape[1] * images.shape[2]
        logs = {
            "change": tf.reduce_mean(difference),
            "log_det": tf.reduce_mean(log_det) / pixels,
        }
        return {name: tf.stop_gradient(value) for name, value in logs.items()}

    def _classify(self, changed: tf.Tensor, labels: Optional[tf.Tensor]) -> Tuple[tf.Tensor, Logs]:
        """The sum of the cross-entropies of labelled images, the last of the batch; 0 of none."""
        total, logs = tf.zeros([], changed.dtype), {}
        if not self.classifiers:
            return total, logs
        views = tf.split(changed[-labels.shape[0] :], _CHANNELS, axis=-1)
        for number, (network, view) in enumerate(zip(self.classifiers, views), start=1):
            logits = network(view, training=True)
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            logs[f"cross_entropy/{number}"] = tf.reduce_mean(each)
            hits = tf.argmax(logits, axis=1, output_type=labels.dtype) == labels
            logs[f"accuracy/{number}"] = tf.reduce_mean(tf.cast(hits, changed.dtype))
            total += logs[f"cross_entropy/{number}"]
        return total, logs


def _with_head(encoder: tf.keras.Model, num_classes: int) -> tf.keras.Sequential:
    """A classifier: the encoder and a linear map of its features."""
    head = layers.projector(encoder.feature_dim, hidden_dims=(), output_dim=num_classes)
    network = tf.keras.Sequential([encoder, head])
    network.build(encoder.input_shape)
    return network
