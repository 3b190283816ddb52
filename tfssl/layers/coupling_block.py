"""One invertible block: a channel of a pixel and the other two change each other."""

from typing import List, Optional, Sequence, Tuple

import tensorflow as tf

from tfssl.layers.normalization import at_least_float32
from tfssl.layers.projector import linear_layer

KINDS = ("vp", "vp_nice", "nvp", "nvp_swap")
SCALES = ("bounded", "plain")

# Of each kind the channels that F and G see, and those that they give; None: there is no such map.
_MAPS = {
    "vp": {"f": (2, 1), "g": (1, 2)},
    "vp_nice": {"f": None, "g": (1, 2)},
    "nvp": {"f": (1, 2), "g": (1, 2)},
    "nvp_swap": {"f": (2, 1), "g": (2, 1)},
}


class CouplingBlock(tf.keras.layers.Layer):
    """One block of a `CouplingFlow`, which says what the kinds are.

    Pixels come as three columns, `[pixels, 1]` each. All methods are plain TensorFlow and built-in
    layers, and take symbolic Keras tensors as well.

    Args:
        kind: one of `KINDS`.
        channel: 0, 1 or 2, which channel is X1; the others, in ascending order, are X2.
        hidden_dim: width of the two hidden layers of F and G.
        scale: one of `SCALES`.
        name: prefix of the names of F and G, which no other layer of a functional model may have.

    Attributes:
        f, g: three dense layers each, `[pixels, 1 or 2]` to the same; `f` is empty in "vp_nice".
    """

    def __init__(self, kind: str, *, channel: int, hidden_dim: int, scale: str, name: str):
        """Builds F and G; their last layers start at zero."""
        super().__init__(name=name, dtype=at_least_float32())
        self.kind, self.channel, self.scale = kind, channel, scale
        maps = _MAPS[kind]
        self.f = [] if maps["f"] is None else _pixel_map(*maps["f"], hidden_dim, f"{name}_f")
        self.g = _pixel_map(*maps["g"], hidden_dim, f"{name}_g")

    def forward(self, columns: Sequence[tf.Tensor]) -> Tuple[List[tf.Tensor], Optional[tf.Tensor]]:
        """Changes pixels.

        Args:
            columns: the three channels.

        Returns:
            The three channels, and `[pixels, 1]`, the log of the absolute determinant; None where
            it is 0.
        """
        one, two = self._divide(columns)
        if self.kind == "vp":
            one = one + _apply(self.f, two)
            return self._join(one, two + _apply(self.g, one)), None
        if self.kind == "vp_nice":
            return self._join(one, two + _apply(self.g, one)), None
        if self.kind == "nvp":
            log_scale = self._log_scale(one)
            two = two * tf.exp(log_scale) + _apply(self.g, one)
        else:
            log_scale = self._log_scale(two)
            one = one * tf.exp(log_scale) + _apply(self.g, two)
        return self._join(one, two), tf.reduce_sum(log_scale, axis=1, keepdims=True)

    def inverse(self, columns: Sequence[tf.Tensor]) -> List[tf.Tensor]:
        """The pixels that `forward` changes into these."""
        one, two = self._divide(columns)
        if self.kind in ("vp", "vp_nice"):
            two = two - _apply(self.g, one)
            return self._join(one - _apply(self.f, two) if self.f else one, two)
        if self.kind == "nvp":
            two = (two - _apply(self.g, one)) * tf.exp(-self._log_scale(one))
        else:
            one = (one - _apply(self.g, two)) * tf.exp(-self._log_scale(two))
        return self._join(one, two)

    def _log_scale(self, seen: tf.Tensor) -> tf.Tensor:
        """s of the channels that change, from those that do not."""
        s = _apply(self.f, seen)
        return 2.0 * tf.tanh(s / 2.0) if self.scale == "bounded" else s

    def _divide(self, columns: Sequence[tf.Tensor]) -> Tuple[tf.Tensor, tf.Tensor]:
        """X1 and X2."""
        others = [column for place, column in enumerate(columns) if place != self.channel]
        return columns[self.channel], tf.concat(others, axis=1)

    def _join(self, one: tf.Tensor, two: tf.Tensor) -> List[tf.Tensor]:
        """The columns in their places again."""
        columns = list(tf.split(two, 2, axis=1))
        columns.insert(self.channel, one)
        return columns


def _pixel_map(
    inputs: int, outputs: int, hidden_dim: int, name: str
) -> List[tf.keras.layers.Dense]:
    """Three 1x1 convolutions with ReLUs between them, for pixels `[pixels, inputs]`.

    As matrix products of all pixels a forward pass takes two thirds of the time that the same
    convolutions take on CPU, and a gradient three quarters.
    """
    options = {"activation": "relu", "dtype": at_least_float32()}
    found = [
        linear_layer(inputs, hidden_dim, name=f"{name}_linear1", **options),
        linear_layer(hidden_dim, hidden_dim, name=f"{name}_linear2", **options),
        tf.keras.layers.Dense(
            outputs,
            kernel_initializer="zeros",
            name=f"{name}_linear3",
            dtype=options["dtype"],
        ),
    ]
    for layer, width in zip(found, (inputs, hidden_dim, hidden_dim)):
        with tf.name_scope(layer.name):
            layer.build((None, width))
    return found


def _apply(layers: Sequence[tf.keras.layers.Layer], x: tf.Tensor) -> tf.Tensor:
    """One layer after the other."""
    for layer in layers:
        x = layer(x)
    return x
