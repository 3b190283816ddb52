"""Conversion of views to another colour space."""

from typing import Any

import tensorflow as tf

from tfssl.views.colour_spaces import COLOR_SPACES, convert_color
from tfssl.views.layer import ViewLayer


class ColorConversion(ViewLayer):
    """Converts RGB images to a colour space, in the units of the space.

    What comes behind it sees values outside [0, 1]; `Normalize` with the mean and standard
    deviation of the space in `COLOR_SPACES` is meant to. See `convert_color`.
    """

    def __init__(self, space: str, **kwargs: Any):
        """Initialises the layer.

        Args:
            space: a name in `COLOR_SPACES`.
            **kwargs: see `ViewLayer`.
        """
        super().__init__(**kwargs)
        if space not in COLOR_SPACES:
            raise ValueError(
                f"ColorConversion: expected a colour space out of {', '.join(COLOR_SPACES)}. "
                f"Received: space={space!r}."
            )
        self.space = space

    def change(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """See `ViewLayer.change`."""
        del draws
        return convert_color(images, self.space, channel_axis=1)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same layer again."""
        return {**super().get_config(), "space": self.space}
