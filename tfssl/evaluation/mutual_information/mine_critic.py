"""The networks T(v1, v2) that MINE trains."""

import math
from typing import Iterator, List, Sequence, Tuple

import tensorflow as tf

from tfssl import ops

CRITICS = ("vector", "images", "patches")
_SIDE = 64
_FILTERS = (64, 128, 256, 512)
_UNITS = 512
_VECTOR_UNITS = (256, 256)
_SLOPE = 0.2


class MineCritic(tf.Module):
    """A critic of pairs of views: one number for every pair, of any size.

    `"vector"`: the vectors side by side, two hidden layers of 256 units with ReLU, one output.
    `"images"`: both views resized to 64 x 64 and their channels put together; convolutions of
    3 x 3, stride 2 and zero padding 1 with 64, 128, 256 and 512 filters, each followed by
    LeakyReLU of slope 0.2; the mean over positions; 512 units with LeakyReLU; one output.
    `"patches"`: such convolutions and mean for each view, with weights of their own, then the two
    vectors of 512 side by side, 512 units with LeakyReLU and one output.

    Everything is in float32 whatever the precision policy. Kernels start Glorot uniform, biases
    at 0. No normalisation of its own: views of about unit size suit it.

    Args:
        kind: one of `CRITICS`.
        first_shape: shape of one first view without the batch: `[dim]` for vectors, else
            `[height, width, channels]`, at least 1 each.
        second_shape: the same of the second view; it may differ.
        width: > 0, multiplies filters and hidden units (rounded, at least 1).
        seed: >= 0, of the weights. The same seed gives the same weights, bit for bit.

    Raises:
        ValueError: an unknown kind, shapes that do not fit it, or a number out of range.

    Reference:
        The statistics network of MINE, Belghazi et al. 2018, arXiv 1801.04062.
    """

    def __init__(
        self,
        kind: str,
        first_shape: Sequence[int],
        second_shape: Sequence[int],
        *,
        width: float = 1.0,
        seed: int = 0,
    ):
        """Makes all weights."""
        super().__init__(name="mine_critic")
        _check(kind, tuple(first_shape), tuple(second_shape), width, seed)
        self._kind = kind
        layers = _Layers(width, seed)
        self._towers: List[List[tf.keras.layers.Layer]] = [[], []]
        if kind == "vector":
            self._head = [layers.dense(units, "relu") for units in _VECTOR_UNITS]
        elif kind == "images":
            self._head = [*layers.convolutions(), layers.dense(_UNITS, _leaky)]
        else:
            self._towers = [layers.convolutions(), layers.convolutions()]
            self._head = [layers.dense(_UNITS, _leaky)]
        self._head.append(layers.output())
        # Weights exist after the first call.
        self(tf.zeros([1, *first_shape]), tf.zeros([1, *second_shape]))

    def __call__(self, first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """T of pairs: `[batch, ...]` twice -> `[batch]` float32."""
        return self.score(*self.encode(first, second))

    def encode(self, first: tf.Tensor, second: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        """What is computed of each view alone, so that pairs can be made anew without it.

        Args:
            first: `[batch, *first_shape]` numbers; uint8 images are divided by 255.
            second: `[batch, *second_shape]`.

        Returns:
            Two float32 tensors for `score`, one row for every row given.
        """
        if self._kind == "vector":
            return tf.cast(first, tf.float32), tf.cast(second, tf.float32)
        first, second = _pixels(first), _pixels(second)
        return _through(self._towers[0], first), _through(self._towers[1], second)

    def score(self, first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """T of pairs of what `encode` returned, row by row: `[batch]` float32."""
        return _through(self._head, tf.concat([first, second], axis=-1))[:, 0]


class _Layers:
    """Makes layers in float32, each with the next seed and the width applied."""

    def __init__(self, width: float, seed: int):
        self._width = width
        self._seeds = self._numbers(seed)

    @staticmethod
    def _numbers(seed: int) -> Iterator[int]:
        """Different seeds without end; Keras takes them below 2**31."""
        key = ops.fold_key(seed)
        number = 0
        while True:
            yield int(ops.keyed_integers(key, 1, below=2**31, stream=number)[0])
            number += 1

    def _units(self, units: int) -> int:
        return max(1, round(units * self._width))

    def _kernel(self) -> tf.keras.initializers.Initializer:
        return tf.keras.initializers.GlorotUniform(seed=next(self._seeds))

    def dense(self, units: int, activation) -> tf.keras.layers.Layer:
        """A hidden layer."""
        return tf.keras.layers.Dense(
            self._units(units), activation, kernel_initializer=self._kernel(), dtype="float32"
        )

    def output(self) -> tf.keras.layers.Layer:
        """The last layer: one number, whatever the width."""
        return tf.keras.layers.Dense(1, kernel_initializer=self._kernel(), dtype="float32")

    def convolutions(self) -> List[tf.keras.layers.Layer]:
        """Four strided convolutions and the mean over positions."""
        layers: List[tf.keras.layers.Layer] = []
        for filters in _FILTERS:
            # 'same' padding under a stride is at the bottom and the right only.
            layers.append(tf.keras.layers.ZeroPadding2D(1, dtype="float32"))
            layers.append(
                tf.keras.layers.Conv2D(
                    self._units(filters),
                    3,
                    strides=2,
                    activation=_leaky,
                    kernel_initializer=self._kernel(),
                    dtype="float32",
                )
            )
        return [*layers, tf.keras.layers.GlobalAveragePooling2D(dtype="float32")]


def _leaky(inputs: tf.Tensor) -> tf.Tensor:
    return tf.nn.leaky_relu(inputs, alpha=_SLOPE)


def _through(layers: Sequence[tf.keras.layers.Layer], inputs: tf.Tensor) -> tf.Tensor:
    """One layer after the other. A Sequential would cast its inputs to the global policy."""
    for layer in layers:
        inputs = layer(inputs)
    return inputs


def _pixels(images: tf.Tensor) -> tf.Tensor:
    """`[batch, 64, 64, channels]` float32."""
    scale = 1 / 255 if images.dtype == tf.uint8 else 1.0
    images = tf.cast(images, tf.float32) * scale
    if images.shape[1:3] == [_SIDE, _SIDE]:
        return images
    # Without smoothing, a large image would be sampled and not shrunk.
    return tf.image.resize(images, [_SIDE, _SIDE], antialias=True)


def _check(kind: str, first: tuple, second: tuple, width: float, seed: int) -> None:
    """Raises ValueError on arguments that do not fit."""
    if kind not in CRITICS:
        raise ValueError(f"expected critic to be one of {CRITICS}. Received: critic={kind!r}.")
    rank, words = (1, "[dim]") if kind == "vector" else (3, "[height, width, channels]")
    if not all(len(s) == rank and all(n is not None and n > 0 for n in s) for s in (first, second)):
        raise ValueError(
            f"expected views {words} for critic={kind!r}, every number at least 1. "
            f"Received: first_shape={first}, second_shape={second}."
        )
    if not (math.isfinite(width) and width > 0):
        raise ValueError(f"expected width > 0. Received: width={width}.")
    if seed < 0:
        raise ValueError(f"expected seed >= 0. Received: seed={seed}.")
