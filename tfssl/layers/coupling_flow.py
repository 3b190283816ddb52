"""An invertible map of colours, from pixel to pixel, whose inverse is as cheap as itself."""

from typing import List, Tuple

import tensorflow as tf

from tfssl.layers.coupling_block import KINDS, SCALES, CouplingBlock
from tfssl.layers.normalization import at_least_float32

_CHANNELS = 3


class CouplingFlow(tf.keras.layers.Layer):
    """The generator of learned views: blocks of coupled channels, one pixel at a time.

    Each block takes one channel as X1 and the others, in ascending order, as X2; the blocks take
    channel 1, 2, 3, 1 and so on. F and G are three 1x1 convolutions with ReLUs between them.

    | kind | forward | log of the determinant of a pixel |
    |---|---|---|
    | `vp` | Y1 = X1 + F(X2), Y2 = X2 + G(Y1) | 0 |
    | `vp_nice` | Y1 = X1, Y2 = X2 + G(X1) | 0 |
    | `nvp` | Y1 = X1, Y2 = X2 exp(s) + G(X1), s of F(X1) | the sum of s over both channels |
    | `nvp_swap` | Y2 = X2, Y1 = X1 exp(s) + G(X2), s of F(X2) | s |

    The last layers of F and G start at zero, so that the flow starts as the identity. Everything
    is computed in float32, or float64 under a float64 policy, because half precision would not be
    invertible.

    Args:
        kind: one of the four. Volume preserving (`vp`) is the default of views.
        num_blocks: a multiple of 3, so that every channel is chosen as often.
        hidden_dim: width of the two hidden layers of F and G, >= 1.
        scale: "bounded", s = 2 tanh(F / 2), or "plain", s = F; of `nvp` and `nvp_swap`.
        name: the layer's name.

    Raises:
        ValueError: an argument out of its range, or a scale without an effect.

    Reference:
        Tian et al. 2020, arXiv 2005.10243, section B.5 of its supplement, whose figure of a block
        leaves the wiring open; Dinh et al. 2015, arXiv 1410.8516 (NICE); Dinh et al. 2017, arXiv
        1605.08803 (Real NVP).

    Example: forth and back.
        >>> flow = CouplingFlow("nvp")
        >>> images = tf.ones([2, 4, 4, 3])
        >>> bool(tf.reduce_all(flow.inverse(flow(images)) == images))  # At the start it is I.
        True
    """

    def __init__(
        self,
        kind: str = "vp",
        *,
        num_blocks: int = 6,
        hidden_dim: int = 32,
        scale: str = "bounded",
        name: str = "flow",
    ):
        """Builds all blocks."""
        _check(kind, num_blocks, hidden_dim, scale)
        super().__init__(name=name, dtype=at_least_float32())
        self.blocks = [
            CouplingBlock(
                kind,
                channel=number % _CHANNELS,
                hidden_dim=hidden_dim,
                scale=scale,
                name=f"{name}_block{number + 1}",
            )
            for number in range(num_blocks)
        ]
        self.built = True

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Changes images.

        Args:
            images: `[batch, height, width, 3]` floating.

        Returns:
            Images of the same shape, float32 (float64 under a float64 policy).

        Raises:
            ValueError: not three channels.
        """
        return self.forward(images)[0]

    def forward(self, images: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        """Changes images, and says by how much volumes grow.

        Symbolic Keras tensors give a graph of built-in layers and TensorFlow operations, which a
        reader of a SavedModel needs nothing of this library for.

        Args:
            images: as for `call`.

        Returns:
            The changed images, and `[batch]` log|det J| of the map of a whole image: the sum over
            its pixels and all blocks, exactly 0 of the volume preserving kinds.
        """
        columns = self._columns(images)
        logs = []
        for block in self.blocks:
            columns, log = block.forward(columns)
            logs += [] if log is None else [log]
        result = self._images(columns, images)
        total = tf.add_n(logs) if logs else tf.zeros_like(columns[0])
        pixels = tf.reshape(total, tf.shape(result)[:3])
        return result, tf.reduce_sum(pixels, axis=[1, 2])

    def inverse(self, images: tf.Tensor) -> tf.Tensor:
        """The images that `call` changes into these; shapes and errors as there."""
        columns = self._columns(images)
        for block in reversed(self.blocks):
            columns = block.inverse(columns)
        return self._images(columns, images)

    def log_det(self, images: tf.Tensor) -> tf.Tensor:
        """`[batch]`, see `forward`."""
        return self.forward(images)[1]

    def functional(self, name: str = "generator") -> tf.keras.Model:
        """The flow as a functional model of images of any size, with the flow's own weights."""
        images = tf.keras.Input((None, None, _CHANNELS), dtype=self.dtype, name="images")
        return tf.keras.Model(images, self.forward(images)[0], name=name)

    def _columns(self, images: tf.Tensor) -> List[tf.Tensor]:
        """The channels of all pixels, `[pixels, 1]` each."""
        shape = tf.TensorShape(images.shape)
        if shape.rank != 4 or shape[-1] != _CHANNELS:
            raise ValueError(
                f"images: expected [batch, height, width, {_CHANNELS}]. Received: "
                f"images.shape={shape}."
            )
        # One array of pixels for all blocks: every layer would flatten and restore it otherwise.
        pixels = tf.reshape(tf.cast(images, self.dtype), [-1, _CHANNELS])
        return tf.split(pixels, _CHANNELS, axis=1)

    @staticmethod
    def _images(columns: List[tf.Tensor], like: tf.Tensor) -> tf.Tensor:
        """The pixels as images again."""
        images = tf.reshape(tf.concat(columns, axis=1), tf.shape(like))
        return tf.ensure_shape(images, tf.TensorShape(like.shape))


def _check(kind: str, num_blocks: int, hidden_dim: int, scale: str) -> None:
    """Raises ValueError on arguments out of their range."""
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}. Received: {kind!r}.")
    if scale not in SCALES:
        raise ValueError(f"scale: expected one of {', '.join(SCALES)}. Received: {scale!r}.")
    if scale != "bounded" and not kind.startswith("nvp"):
        raise ValueError(
            f"scale: expected 'bounded' with kind {kind}, which has no scale. Received: {scale!r}. "
            "Remedy: kind nvp or nvp_swap."
        )
    if num_blocks < _CHANNELS or num_blocks % _CHANNELS:
        raise ValueError(
            f"num_blocks: expected a multiple of {_CHANNELS}, so that every channel is chosen as "
            f"often. Received: {num_blocks}."
        )
    if hidden_dim < 1:
        raise ValueError(f"hidden_dim: expected at least 1. Received: {hidden_dim}.")
