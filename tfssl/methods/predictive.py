"""Predictive multiview learning: each view predicts the pixels of the others.

The baseline of CMC, Tian, Krishnan, Isola 2020, arXiv 1906.05849, section 4.5 and Table 5: an
encoder of one view and a decoder, with a loss of every pixel by itself.
"""

import dataclasses
from typing import Callable, Tuple

import tensorflow as tf

from tfssl import backbones, layers
from tfssl.methods import _multiview
from tfssl.methods._method import Method
from tfssl.methods._plan import Batch, Logs, Plan
from tfssl.settings import Settings, setting
from tfssl.views import ViewFamily


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """Settings of predictive learning."""

    distance: str = setting(
        "l2",
        "Between a pixel and its prediction, both normalised: l2, the squared difference; l1, the "
        "absolute one. Means over pixels and channels.",
        choices=("l2", "l1"),
    )
    paradigm: str = setting(
        "full",
        "full: every view predicts every other. core: the first view predicts the others and they "
        "predict it.",
        choices=("full", "core"),
    )


class Predictive(Method):
    """Predicts, from one view of an image, the pixels of another."""

    Config = Config

    def __init__(self, settings: Config, plan: Plan, build_encoder: Callable[..., tf.keras.Model]):
        """Builds an encoder for every view and a decoder for every pair.

        Args:
            settings: see `Config`.
            plan: the sizes of the run.
            build_encoder: makes a fresh backbone, images -> `[batch, dim]` features; channels: of
                the images.
        """
        super().__init__(settings, plan)
        channels, size = plan.view_channels, plan.view_size
        self.kinds = _multiview.kinds_of(channels, share=False)
        self.pairs = _multiview.view_pairs(len(channels), paradigm=settings.paradigm)
        encoders, joint = _multiview.build_encoders(self.kinds, build_encoder)
        self.encoders = [tf.keras.Model(e.inputs, backbones.dense_map(e)) for e in encoders]
        # Behind a function Keras does not track the encoders a second time.
        self._joint = lambda: joint
        shapes = [
            encoder(tf.keras.Input((size, size, number))).shape[1:]
            for encoder, number in zip(self.encoders, channels)
        ]
        self.decoders = [
            layers.decoder(tuple(shapes[i]), image_size=size, channels=channels[j])
            for i, j in self.pairs
        ]

    @property
    def statistics(self) -> Tuple[str, ...]:
        """Of every direction the loss, and the explained share of the pixels' variance."""
        names = [f"{i + 1}-{j + 1}" for i, j in self.pairs]
        return tuple(f"{kind}/{name}" for kind in ("loss", "explained") for name in names)

    @classmethod
    def check_views(cls, settings: Config, family: ViewFamily) -> None:
        """Groups of channels of one crop."""
        del settings
        _multiview.check_channel_views("predictive", family, 1)

    @property
    def evaluated_encoder(self) -> tf.keras.Model:
        """All encoders side by side."""
        return self._joint()

    def fresh_encoder(self, build_encoder: Callable[..., tf.keras.Model]) -> tf.keras.Model:
        """Untrained encoders of the same kinds, side by side."""
        return _multiview.build_encoders(self.kinds, build_encoder)[1]

    def compute(self, batch: Batch) -> Tuple[tf.Tensor, Logs]:
        """The sum of the directions' losses."""
        maps = [e(view, training=True) for e, view in zip(self.encoders, batch["views"])]
        predicted = [
            decoder(maps[i], training=True) for (i, _), decoder in zip(self.pairs, self.decoders)
        ]
        targets = [tf.cast(batch["views"][j], predicted[0].dtype) for _, j in self.pairs]
        errors = [found - target for found, target in zip(predicted, targets)]
        distance = tf.square if self.settings.distance == "l2" else tf.abs
        each = tf.stack([tf.reduce_mean(distance(e), axis=[1, 2, 3]) for e in errors], axis=1)
        share = _multiview.shares(batch.get("present"), self.pairs, each)
        means = tf.unstack(tf.reduce_sum(share * each, axis=0))
        explained = map(_multiview.explained, errors, targets, tf.unstack(share, axis=1))
        return tf.add_n(means), dict(zip(self.statistics, (*means, *explained)))
