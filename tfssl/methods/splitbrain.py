"""SplitBrain: lightness predicts colour, and colour lightness.

Zhang, Isola, Efros, "Split-Brain Autoencoders: Unsupervised Learning by Cross-Channel Prediction",
CVPR 2017, arXiv 1611.09842, as CMC, Tian et al. 2020, arXiv 1906.05849, compares itself with it in
Tables 7 and 8: a re-implementation on CMC's own networks.
"""

import dataclasses
import math
from typing import Any, Callable, List, Optional, Tuple

import tensorflow as tf

from tfssl import backbones, ops
from tfssl.layers.normalization import at_least_float32
from tfssl.methods import _colour_classes, _multiview
from tfssl.methods._method import Method
from tfssl.methods._plan import Batch, Logs, Plan
from tfssl.settings import Settings, SettingsError, setting
from tfssl.views import COLOR_SPACES, ViewFamily


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """Settings of the SplitBrain autoencoder."""

    loss: str = setting(
        "classification",
        "classification: cross-entropy with bins of colour and of lightness. regression: half the "
        "squared difference of normalised channels.",
        choices=("classification", "regression"),
    )
    soft_targets: bool = setting(
        False, "Of classification: the five nearest bins of a colour share it."
    )
    centres: Optional[str] = setting(
        None,
        "Of classification: text file with the bins of colour, a and b a line. Unset: the 261 of "
        "step 10 that hold a colour of sRGB.",
    )

    def check(self) -> None:
        """Regression has no bins."""
        if self.loss == "regression":
            self.refuse("regression has no bins", "soft_targets", "centres")


class SplitBrain(Method):
    """Predicts colour from lightness and lightness from colour, at every place of a coarse map."""

    Config = Config

    def __init__(self, settings: Config, plan: Plan, build_encoder: Callable[..., tf.keras.Model]):
        """Builds two encoders, fully convolutional, with a classifier each.

        Args:
            settings: see `Config`.
            plan: the sizes of the run; views of 1 and 2 channels.
            build_encoder: makes a fresh backbone, images -> `[batch, dim]` features; channels: of
                the images.
        """
        super().__init__(settings, plan)
        self.kinds = _multiview.kinds_of(plan.view_channels, share=False)
        self.classes = settings.loss == "classification"
        outputs = plan.view_channels[::-1]
        if self.classes:
            centres = _colour_classes.chroma_centres(settings.centres, soft=settings.soft_targets)
            outputs = (len(centres), _colour_classes.LIGHTNESS_CLASSES)
            self._centres = lambda: centres
        encoders, joint = _multiview.build_encoders(self.kinds, build_encoder)
        self.networks = [_with_classifier(e, n) for e, n in zip(encoders, outputs)]
        # Behind a function Keras does not track the encoders a second time.
        self._joint = lambda: joint
        self._outputs = outputs

    @property
    def statistics(self) -> Tuple[str, ...]:
        """Losses, and how often the class is right; of regression the explained variance."""
        judged = "accuracy" if self.classes else "explained"
        return ("loss/1-2", "loss/2-1", f"{judged}/1-2", f"{judged}/2-1")

    @classmethod
    def check_views(cls, settings: Config, family: ViewFamily) -> None:
        """Lightness and colour of one crop, in Lab."""
        del settings
        _multiview.check_channel_views("splitbrain", family, 1)
        if (family.color, family.groups) != ("lab", (1, 2)):
            groups = ",".join(map(str, family.groups))
            raise SettingsError(
                "method splitbrain: expected lightness and colour of Lab. Received: "
                f"{family.color} in groups {groups}. Remedy: --views=lab, or --color_split=lab."
            )

    @property
    def chance_level(self) -> Optional[float]:
        """Of classification, the loss of equally likely classes."""
        return sum(map(math.log, self._outputs)) if self.classes else None

    @property
    def evaluated_encoder(self) -> tf.keras.Model:
        """Both encoders side by side."""
        return self._joint()

    def fresh_encoder(self, build_encoder: Callable[..., tf.keras.Model]) -> tf.keras.Model:
        """Untrained encoders of the same kinds, side by side."""
        return _multiview.build_encoders(self.kinds, build_encoder)[1]

    def compute(self, batch: Batch) -> Tuple[tf.Tensor, Logs]:
        """The sum of both losses, each a mean over images and places."""
        maps = [n(view, training=True) for n, view in zip(self.networks, batch["views"])]
        targets = self._targets(batch["views"], maps)
        losses, right = [], []
        for found, target in zip(maps, targets):
            if self.classes:
                classes, parts = target
                log_shares = tf.gather(tf.nn.log_softmax(found), classes, batch_dims=3)
                each = -tf.reduce_sum(tf.cast(parts, found.dtype) * log_shares, axis=3)
                hit = tf.argmax(found, axis=3, output_type=tf.int32) == classes[..., 0]
                right.append(tf.reduce_mean(tf.cast(hit, found.dtype)))
            else:
                target = tf.cast(target, found.dtype)
                each = tf.square(found - target) / 2
                share = tf.ones_like(found[:, 0, 0, 0])
                right.append(_multiview.explained(found - target, target, share))
            losses.append(tf.reduce_mean(each))
        return tf.add_n(losses), dict(zip(self.statistics, (*losses, *right)))

    def _targets(self, views: Tuple[tf.Tensor, ...], maps: List[tf.Tensor]) -> List[Any]:
        """What each network should say: of the other view, averaged to its map.

        Values, or classes with their shares.
        """
        light, chroma = (
            ops.adaptive_average_pool(view, found.shape[1])
            for view, found in zip(views, maps[::-1])
        )
        if not self.classes:
            return [chroma, light]
        lab = COLOR_SPACES["lab"]
        light, chroma = (
            part * tf.constant(lab.std[channels], part.dtype)
            + tf.constant(lab.mean[channels], part.dtype)
            for part, channels in ((light, slice(0, 1)), (chroma, slice(1, 3)))
        )
        soft = self.settings.soft_targets
        return [
            _colour_classes.chroma_classes(chroma, self._centres(), soft=soft),
            _colour_classes.lightness_classes(light),
        ]


def _with_classifier(encoder: tf.keras.Model, outputs: int) -> tf.keras.Model:
    """The encoder as a map, and a 1x1 convolution on it."""
    classify = tf.keras.layers.Conv2D(
        outputs,
        1,
        kernel_initializer=tf.keras.initializers.RandomNormal(stddev=0.01),
        # What follows, a softmax or a loss, is never computed in half precision.
        dtype=at_least_float32(),
        name="classifier",
    )
    return tf.keras.Model(encoder.inputs, classify(backbones.dense_map(encoder)))
