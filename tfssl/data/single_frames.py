"""One frame of every clip, for evaluation: what it shows is what features are asked for."""

import copy
from typing import Any, Optional

import numpy as np
import tensorflow as tf

from tfssl.data.settings import FACTORS
from tfssl.data.source import Source
from tfssl.settings import SettingsError


class SingleFrames(Source):
    """One frame of each record of a source of clips, always the same, with one thing to tell."""

    def __init__(self, clips: Any, readout: str):
        """Holds the clips.

        Args:
            clips: whose records they are, a `MovingDigits`.
            readout: "digit", "background", or "position", which has targets and no labels.

        Raises:
            SettingsError: another readout, or backgrounds without labels.
        """
        if readout not in FACTORS:
            raise SettingsError(
                f"readout: expected one of {', '.join(FACTORS)}. Received: {readout}.", "readout"
            )
        if readout == "background" and clips.background_labels is None:
            raise SettingsError(
                "readout: expected backgrounds with labels. Received: background, of which "
                f"{clips.name} knows no class.",
                "readout",
            )
        labels, names = {
            "digit": (lambda: clips.labels, clips.class_names),
            "background": (self._background_labels, clips.background_names),
            "position": (None, None),
        }[readout]
        if readout == "digit" and not clips.may_have_labels:
            labels = None
        super().__init__(
            clips.name,
            clips.num_records,
            drawable=clips.drawable,
            labels=labels,
            class_names=names,
            image_shape=clips.image_shape,
        )
        self._clips, self._readout = clips, readout

    def _background_labels(self) -> np.ndarray:
        numbers = self._clips.stills(tf.range(self.num_records, dtype=tf.int64))[0]
        return np.asarray(self._clips.background_labels)[numbers.numpy()]

    @property
    def targets(self) -> Optional[np.ndarray]:
        """`[N, 2]` float32, row and column of the digit's top-left pixel, where that is told."""
        if self._readout != "position":
            return None
        return self._clips.stills(tf.range(self.num_records, dtype=tf.int64))[2].numpy()

    def read_out(self, name: str) -> "SingleFrames":
        """The same frames, labelled with something else."""
        clips = copy.copy(self._clips)
        clips.drawable = self.drawable
        return SingleFrames(clips, name)

    def load_batch(self, indices: tf.Tensor) -> tf.Tensor:
        """`[batch, 64, 64, 3]` uint8 frames of the records `indices` `[batch]` int64."""
        return self._clips.frames(indices)
