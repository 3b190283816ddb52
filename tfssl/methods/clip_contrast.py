"""Clip contrast: what a clip tells of a single frame, by an LSTM over the frames of the clip.

The contrastive task on Colorful Moving-MNIST of Tian, Sun, Poole, Krishnan, Schmid, Isola, "What
Makes for Good Views for Contrastive Learning?", NeurIPS 2020, arXiv 2005.10243, section B.4. What
the frame shares with the clip is the data's choice (`--moving_shared`); what the features know is
what is shared, and of that what is the easiest. There is no official code: temperature, initial
weights, and that each view has a network of its own are choices of this library.
"""

import dataclasses
import math
from typing import Callable, Tuple

import tensorflow as tf

from tfssl import losses
from tfssl.layers.normalization import at_least_float32
from tfssl.methods import _in_batch
from tfssl.methods._method import Method
from tfssl.methods._plan import Batch, Logs, Plan
from tfssl.settings import Settings, setting


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """Settings of clip contrast; the LSTM is as wide as the backbone's features."""

    temperature: float = setting(0.1, "tau, of the softmax over the batch.", above=0.0)
    share_cnn: bool = setting(
        False, "One network for the frames of clips and for single frames, instead of two."
    )


class ClipContrast(Method):
    """Tells, from a clip, its frame from the frames of the other images of the batch."""

    Config = Config
    statistics = ("information", "accuracy")
    splits_batch = "its negatives are the other images of the batch"
    clips = True

    def __init__(self, settings: Config, plan: Plan, build_encoder: Callable[[], tf.keras.Model]):
        """Builds the networks.

        Args:
            settings: see `Config`.
            plan: the sizes of the run.
            build_encoder: makes a fresh backbone, images -> `[batch, dim]` features.
        """
        super().__init__(settings, plan)
        self.clip_encoder, self.frame_encoder = self._encoders(build_encoder)
        dim = self.frame_encoder.feature_dim
        # Unrolled it is plain matrix products, which XLA compiles; a loop would need static memory.
        self.lstm = tf.keras.layers.LSTM(dim, unroll=True, dtype=at_least_float32(), name="lstm")
        self.lstm.build((None, None, dim))

    def _encoders(self, build_encoder: Callable[[], tf.keras.Model]) -> Tuple[tf.keras.Model, ...]:
        """The networks of the frames of clips and of single frames."""
        frame_encoder = build_encoder()
        if self.settings.share_cnn:
            return frame_encoder, frame_encoder
        clip_encoder = build_encoder()
        # Both may be judged, by their numbers as views. Past Keras' own __setattr__, which would
        # count them among the layers of the model.
        object.__setattr__(frame_encoder, "parts", (clip_encoder, frame_encoder))
        return clip_encoder, frame_encoder

    @classmethod
    def check_plan(cls, settings: Config, plan: Plan) -> None:
        """A batch in one part, with other images in it."""
        _in_batch.check_other_images("--method=clip_contrast", plan)

    @property
    def chance_level(self) -> float:
        """log k: all frames of the batch are as likely."""
        return math.log(self.plan.batch_size)

    @property
    def evaluated_encoder(self) -> tf.keras.Model:
        """The network of single frames; `parts` has that of clips beside it."""
        return self.frame_encoder

    def fresh_encoder(self, build_encoder: Callable[..., tf.keras.Model]) -> tf.keras.Model:
        """An untrained network of single frames, with another one for clips."""
        return self._encoders(build_encoder)[1]

    def embed_clips(self, clips: tf.Tensor) -> tf.Tensor:
        """Unit rows `[batch, dim]` of clips `[batch, frames, size, size, 3]`.

        They are the LSTM's last outputs; batch statistics are those of all frames together.
        """
        batch, frames = clips.shape[:2]
        features = self.clip_encoder(
            tf.reshape(clips, [batch * frames, *clips.shape[2:]]), training=True
        )
        last = self.lstm(tf.reshape(features, [batch, frames, -1]), training=True)
        return tf.math.l2_normalize(last, axis=1)

    def embed_frames(self, frames: tf.Tensor) -> tf.Tensor:
        """Unit rows `[batch, dim]` of single frames `[batch, size, size, 3]`."""
        return tf.math.l2_normalize(self.frame_encoder(frames, training=True), axis=1)

    def compute(self, batch: Batch) -> Tuple[tf.Tensor, Logs]:
        """InfoNCE of every clip's frame among those of the global batch, clips as anchors.

        The information is log k - loss, a bound in nats of what the views share, with k, the
        size of the batch: the own frame and k - 1 others.
        """
        clips, frames = batch["views"]
        anchors, keys = self.embed_clips(clips), self.embed_frames(frames)
        rows, others = _in_batch.other_images(keys)
        temperature = self.settings.temperature
        loss = losses.info_nce(anchors, keys, rows, temperature=temperature, counts=others)
        scores = tf.matmul(tf.stop_gradient(anchors), rows, transpose_b=True)
        own = tf.argmin(tf.cast(others, tf.int32), axis=1)
        hits = tf.argmax(scores, axis=1) == own
        return loss, {
            "information": self.chance_level - tf.stop_gradient(loss),
            "accuracy": tf.reduce_mean(tf.cast(hits, tf.float32)),
        }
