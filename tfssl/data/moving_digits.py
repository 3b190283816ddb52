"""Clips of digits that move over images, and frames that share some of what they show.

Colorful Moving-MNIST of Tian, Sun, Poole, Krishnan, Schmid, Isola 2020, "What Makes for Good Views
for Contrastive Learning?", arXiv 2005.10243, section B.4. A record is a digit. Frames 1 to 10 of
its way over a background are one view; a single frame that has the digit, the position or the
background of frame 20, or several of them, is the other one. What is drawn for a record follows
from its key alone.
"""

from typing import NamedTuple, Optional

import numpy as np
import tensorflow as tf

from tfssl.data.moving_frames import CANVAS, FREE, cut, render
from tfssl.data.settings import FACTORS
from tfssl.data.single_frames import SingleFrames
from tfssl.data.source import Source
from tfssl.data.trajectories import trajectories, velocities
from tfssl.ops.keyed_random import fold_key, keyed_integers, keyed_uniform
from tfssl.settings import SettingsError

FRAMES = 10  # Of a clip.
KEY_FRAME = 20  # Counted from 1; what the other view shares is of this one.
SPEED = 0.1  # Of a reference length, a frame.
# What a draw is for.
_IMAGE, _CORNER, _START, _TURN = range(4)
_OTHER_DIGIT, _OTHER_PLACE, _OTHER_IMAGE, _OTHER_CORNER = range(4, 8)


class Ways(NamedTuple):
    """What is drawn for a batch of records, apart from pixels.

    Attributes:
        digits: `[batch, 2]` int64, records whose digit the clip and the other view show.
        images: `[batch, 2]` int32, numbers of their backgrounds.
        corners: `[batch, 2, 2]` int32, where those are cut out, row and column.
        places: `[batch, 11, 2]` float32, the digit's top-left pixel in frames 1 to 10 and in the
            other view, row and column.
    """

    digits: tf.Tensor
    images: tf.Tensor
    corners: tf.Tensor
    places: tf.Tensor


class MovingDigits(Source):
    """Clips of digits; labels are those of the digits."""

    draws = True

    def __init__(
        self,
        name: str,
        digits: np.ndarray,
        backgrounds: np.ndarray,
        *,
        shared=FACTORS,
        speed: float = SPEED * CANVAS,
        background_labels: Optional[np.ndarray] = None,
        background_names=None,
        **properties,
    ):
        """Holds the pixels.

        Args:
            name: name for logs.
            digits: `[N, 28, 28]` uint8.
            backgrounds: `[M, height, width, 3]` uint8, at least 64 pixels high and wide.
            shared: what the two views share, some of `FACTORS`.
            speed: pixels a frame.
            background_labels: `[M]` integers; None where they are unknown.
            background_names: names in the order of their values.
            **properties: `labels` and `class_names` of `Source`, of the digits.

        Raises:
            SettingsError: a factor that is not shared has no other value.
        """
        super().__init__(name, len(digits), image_shape=(CANVAS, CANVAS, 3), **properties)
        for factor, count in (("digit", len(digits)), ("background", len(backgrounds))):
            if count < 2 and factor not in shared:
                raise SettingsError(
                    f"moving_shared: expected {factor} among them, or two {factor}s in {name}. "
                    f"Received: {','.join(shared)}, and one {factor}.",
                    "moving_shared",
                )
        self.shared, self.speed = tuple(shared), float(speed)
        self.background_labels, self.background_names = background_labels, background_names
        # Outside any graph and on the host: tf.data captures the tensors instead of copying them.
        with tf.init_scope(), tf.device("CPU:0"):
            self._digits = tf.convert_to_tensor(digits, tf.uint8)
            self._backgrounds = tf.convert_to_tensor(backgrounds, tf.uint8)

    def _order(self) -> bytes:
        """Another number of backgrounds gives other clips."""
        return b"%d backgrounds" % len(self._backgrounds)

    def ways(self, indices: tf.Tensor, keys: tf.Tensor) -> Ways:
        """Draws everything but pixels.

        Args:
            indices: `[batch]` int64, drawable records.
            keys: `[batch]` int64.

        Returns:
            The draws, each of them keyed; what is shared is that of frame 20.
        """
        start = _place(keys, _START)
        velocity = velocities(keyed_uniform(keys, 1, stream=_TURN)[:, 0], self.speed)
        path = trajectories(start, velocity, frames=KEY_FRAME, free=float(FREE))
        images, corners = self._background(keys)
        other = {
            "digit": indices,
            "image": images,
            "corner": corners,
            "position": path[:, KEY_FRAME - 1],
        }
        if "digit" not in self.shared:
            other["digit"] = self._other_digits(indices, keys)
        if "position" not in self.shared:
            other["position"] = _place(keys, _OTHER_PLACE)
        if "background" not in self.shared:
            count = len(self._backgrounds)
            step = keyed_integers(keys, 1, below=max(count - 1, 1), stream=_OTHER_IMAGE)[:, 0]
            other["image"] = (images + 1 + step) % count
            other["corner"] = self._corners(keys, _OTHER_CORNER)
        return Ways(
            digits=tf.stack([indices, other["digit"]], axis=1),
            images=tf.stack([images, other["image"]], axis=1),
            corners=tf.stack([corners, other["corner"]], axis=1),
            places=tf.concat([path[:, :FRAMES], other["position"][:, tf.newaxis]], axis=1),
        )

    def load_batch(self, indices: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        """Renders the clips and, as their last frame, the other views.

        Args:
            indices: `[batch]` int64, drawable records.
            keys: `[batch]` int64, one for each draw of a record.

        Returns:
            `[batch, 11, 64, 64, 3]` uint8.
        """
        ways = self.ways(indices, keys)
        digits, backgrounds = self._pixels(ways.digits, ways.images, ways.corners)
        clips = render(digits[:, 0], ways.places[:, :FRAMES], backgrounds[:, 0])
        others = render(digits[:, 1], ways.places[:, FRAMES:], backgrounds[:, 1])
        return tf.concat([clips, others], axis=1)

    def frames(self, indices: tf.Tensor) -> tf.Tensor:
        """`[batch, 64, 64, 3]` uint8, each record's digit once; see `stills`."""
        images, corners, places = self.stills(indices)
        digits, backgrounds = self._pixels(indices, images, corners)
        return render(digits, places[:, tf.newaxis], backgrounds)[:, 0]

    def stills(self, indices: tf.Tensor):
        """What the single frames of evaluation show, by the keys of seed 0 and epoch 0.

        Args:
            indices: `[batch]` int64.

        Returns:
            Numbers of backgrounds `[batch]` int32, their corners `[batch, 2]` int32, and places of
            the digits `[batch, 2]` float32, uniform in [0, 36].
        """
        keys = fold_key(0, 0, indices)
        return (*self._background(keys), _place(keys, _START))

    def still(self) -> "SingleFrames":
        """A frame of each record, labelled with its digit."""
        return SingleFrames(self, "digit")

    def read_out(self, name: str) -> "SingleFrames":
        """A frame of each record, labelled with its digit, its background or its position."""
        return SingleFrames(self, name)

    def _pixels(self, digits: tf.Tensor, images: tf.Tensor, corners: tf.Tensor):
        """Digits `[..., 28, 28]` and backgrounds `[..., 64, 64, 3]` of numbers `[...]`."""
        chosen = tf.gather(self._backgrounds, tf.reshape(images, [-1]))
        cuts = cut(chosen, tf.reshape(corners, [-1, 2]))
        shape = [*digits.shape, CANVAS, CANVAS, 3]
        return tf.gather(self._digits, digits), tf.reshape(cuts, shape)

    def _background(self, keys: tf.Tensor):
        """Number and corner of the background of each key."""
        number = keyed_integers(keys, 1, below=len(self._backgrounds), stream=_IMAGE)[:, 0]
        return number, self._corners(keys, _CORNER)

    def _corners(self, keys: tf.Tensor, stream: int) -> tf.Tensor:
        """Top-left pixels `[batch, 2]`, all as likely."""
        room = tf.constant([side - CANVAS + 1 for side in self._backgrounds.shape[1:3]])
        return keyed_integers(keys, 2, below=room, stream=stream)

    def _other_digits(self, indices: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        """Another drawable record for each, all as likely."""
        with tf.init_scope():
            drawable = tf.constant(self.drawable)
        count = len(self.drawable)
        own = tf.searchsorted(drawable, indices, out_type=tf.int64)
        step = keyed_integers(keys, 1, below=max(count - 1, 1), stream=_OTHER_DIGIT)[:, 0]
        return tf.gather(drawable, (own + 1 + tf.cast(step, tf.int64)) % count)


def _place(keys: tf.Tensor, stream: int) -> tf.Tensor:
    """Top-left pixels of digits `[batch, 2]` float32, uniform on the canvas."""
    return FREE * keyed_uniform(keys, 2, stream=stream)
