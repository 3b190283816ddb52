"""Views of records that are clips already: the clip, and the single frame behind it."""

from typing import ClassVar

import tensorflow as tf

from tfssl.views.channel_map import ChannelMap


class ClipFamily:
    """Divides and normalises records of clips; it draws nothing, the source has drawn all.

    Attributes:
        name: the family's name.
        sizes: side of the frames in pixels, of the clip and of the single frame.
        channels: three of each.
        num_views, num_crops: two.
        groups, patch_size: those of whole images without patches.
        channel_map, color: none, and its name, "rgb".
        mean, std: its channel statistics, which the views are normalised with.
        clips: the records of the family are clips.
    """

    clips: ClassVar[bool] = True

    def __init__(self, name: str, size: int, channel_map: ChannelMap, *, xla: bool = True):
        """Says what the views are.

        Args:
            name: the family's name.
            size: side of the frames in pixels.
            channel_map: that of RGB, for its mean and deviation.
            xla: whether the work is compiled.
        """
        self.name = name
        self.sizes, self.channels = (size, size), (3, 3)
        self.num_views = self.num_crops = 2
        self.groups, self.patch_size = (3,), None
        self.channel_map, self.color = channel_map, channel_map.name
        self.mean, self.std = channel_map.mean, channel_map.std
        self._divide = tf.function(self._views, autograph=False, jit_compile=xla)

    def __call__(self, clips: tf.Tensor, keys: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Makes the views of a batch of records.

        Args:
            clips: `[batch, frames + 1, size, size, 3]` uint8, or float in [0, 1]; the last is the
                single frame.
            keys: int64 `[batch]`, not read.

        Returns:
            The clips `[batch, frames, size, size, 3]` and the single frames
            `[batch, size, size, 3]`, float32, normalised.

        Raises:
            ValueError: images in place of clips, or another size.
        """
        del keys
        size = self.sizes[0]
        if not clips.shape.is_compatible_with([None, None, size, size, 3]) or clips.shape[1] == 1:
            raise ValueError(
                f"expected clips [batch, frames + 1, {size}, {size}, 3] for the views {self.name}. "
                f"Received: shape={clips.shape}."
            )
        return self._divide(clips)

    def _views(self, clips: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        scale = 255.0 if clips.dtype == tf.uint8 else 1.0
        mean, std = tf.constant(self.mean), tf.constant(self.std)
        views = tf.cast(clips, tf.float32) * (1.0 / (scale * std)) - mean / std
        return views[:, :-1], views[:, -1]
