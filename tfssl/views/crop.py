"""Crops: where a view looks. Random resized crops for training, a centre crop for evaluation."""

import math
from typing import Any, Optional

import tensorflow as tf

from tfssl.ops.keyed_random import keyed_uniform
from tfssl.views.layer import ViewLayer
from tfssl.views.resample import Window, check_interpolation, resize_batch

_TRIES = 10
# Images no larger than this that already have the asked size are evaluated as they are.
SMALL_IMAGE = 64


class Crop(ViewLayer):
    """Base of the layers that choose a window of an image and resize it to a square.

    The choice (`window`) is apart from the pixels, so that a window can be chosen before an image
    is decoded; it is the same on either path.

    Attributes:
        joint: whether the windows of all views of an image are chosen from the key of its first.
    """

    joint = False

    def __init__(self, size: int, *, interpolation: str = "bilinear", **kwargs: Any):
        """Initialises the layer.

        Args:
            size: side of the output in pixels, >= 1.
            interpolation: "bilinear" or "bicubic", both with antialiasing.
            **kwargs: see `ViewLayer`.
        """
        super().__init__(**kwargs)
        if size < 1:
            raise ValueError(f"{type(self).__name__}: expected size >= 1. Received: size={size}.")
        self.size = size
        self.interpolation = check_interpolation(interpolation)

    def window(self, keys: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> Window:
        """Chooses the window of each image.

        Args:
            keys: int64 `[batch]`.
            height, width: of the images, in pixels: scalar integers.

        Returns:
            `Window` with int32 fields `[batch, 2]`.
        """
        raise NotImplementedError(f"{type(self).__name__} must write window.")

    def transform(self, images: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        """The layer on planar images `[batch, channels, height, width]` and keys `[batch]`."""
        shape = tf.shape(images)
        window = self.window(keys, shape[2], shape[3])
        return resize_batch(images, window, size=self.size, interpolation=self.interpolation)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same layer again."""
        return {**super().get_config(), "size": self.size, "interpolation": self.interpolation}


class RandomResizedCrop(Crop):
    """Crops a random part of the area at a random aspect ratio, with torchvision's rules.

    The part is uniform in `area`, the ratio log-uniform in `ratio`. Sides are rounded to pixels;
    the first of ten tries that fits is placed uniformly. Where none fits, the largest centre crop
    with the ratio limited to its range is taken.
    """

    def __init__(
        self,
        size: int,
        *,
        area: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        **kwargs: Any,
    ):
        """Initialises the layer.

        Args:
            size: side of the output in pixels, >= 1.
            area: smallest and largest fraction of the image's area, in (0, 1].
            ratio: smallest and largest width / height of the crop.
            **kwargs: see `Crop`.
        """
        super().__init__(size, **kwargs)
        if not 0 < area[0] <= area[1] <= 1 or not 0 < ratio[0] <= ratio[1]:
            raise ValueError(
                "RandomResizedCrop: expected 0 < area[0] <= area[1] <= 1 and 0 < ratio[0] <= "
                f"ratio[1]. Received: area={area}, ratio={ratio}."
            )
        self.area = tuple(area)
        self.ratio = tuple(ratio)

    def window(self, keys: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> Window:
        """See `Crop.window`. All tries are drawn at once and the first that fits is taken."""
        draws = tf.cast(keyed_uniform(keys, 2 * _TRIES + 2, stream=self.stream), tf.float64)
        rows, columns = tf.cast(height, tf.float64), tf.cast(width, tf.float64)
        # float64 as in Python, so that sides round to the same pixel.
        area = _between(draws[:, :_TRIES], *self.area) * rows * columns
        low, high = (math.log(r) for r in self.ratio)
        ratio = tf.exp(_between(draws[:, _TRIES : 2 * _TRIES], low, high))
        sides = tf.round(tf.sqrt(tf.stack([area / ratio, area * ratio], axis=-1)))
        limits = tf.stack([rows, columns])
        fits = tf.reduce_all((sides >= 1) & (sides <= limits), axis=-1)
        first = tf.one_hot(tf.argmax(fits, axis=1), _TRIES, dtype=tf.float64)
        chosen = tf.reduce_sum(sides * first[:, :, tf.newaxis], axis=1)
        place = tf.floor(draws[:, 2 * _TRIES :] * (limits - chosen + 1))
        whole = self._centre(rows, columns)
        some = tf.reduce_any(fits, axis=1, keepdims=True)
        length = tf.where(some, chosen, whole)
        start = tf.where(some, place, tf.floor((limits - whole) / 2))
        size = tf.fill(tf.shape(length), self.size)
        return Window(
            tf.cast(start, tf.int32), tf.cast(length, tf.int32), size, tf.zeros_like(size)
        )

    def _centre(self, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        """Sides of the largest centre crop whose ratio is in range; `[2]` float64."""
        tall = tf.stack([tf.round(columns / self.ratio[0]), columns])
        wide = tf.stack([rows, tf.round(rows * self.ratio[1])])
        image = tf.stack([rows, columns])
        ratio = columns / rows
        sides = tf.where(ratio < self.ratio[0], tall, tf.where(ratio > self.ratio[1], wide, image))
        return tf.maximum(sides, 1.0)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same layer again."""
        return {**super().get_config(), "area": self.area, "ratio": self.ratio}


class CentreCrop(Crop):
    """Resizes the short side, then crops the centre.

    By default to round(size * 256 / 224), and images of exactly the asked size, up to 64 pixels,
    are left as they are: small data sets such as CIFAR are evaluated without resizing.
    """

    def __init__(self, size: int, *, resize_to: Optional[int] = None, **kwargs: Any):
        """Initialises the layer.

        Args:
            size: side of the output in pixels, >= 1.
            resize_to: the short side in pixels before the crop, >= size; None for the default.
            **kwargs: see `Crop`.
        """
        super().__init__(size, **kwargs)
        if resize_to is not None and resize_to < size:
            raise ValueError(
                f"CentreCrop: expected resize_to >= size={size}. Received: resize_to={resize_to}."
            )
        self.resize_to = resize_to

    def window(self, keys: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> Window:
        """See `Crop.window`; the keys only say how many images there are."""
        image = tf.stack([height, width])
        # Python's rounding, on the long side down, as torchvision's Resize.
        short = self.resize_to or resized_side(self.size)
        long = (
            tf.cast(tf.reduce_max(image), tf.int64)
            * short
            // tf.cast(tf.reduce_min(image), tf.int64)
        )
        resized = tf.where(image == tf.reduce_min(image), short, tf.cast(long, tf.int32))
        if self.resize_to is None and self.size <= SMALL_IMAGE:
            resized = tf.where(tf.reduce_all(image == self.size), image, resized)
        first = tf.cast(tf.round(tf.cast(resized - self.size, tf.float32) / 2), tf.int32)
        fields = (tf.zeros_like(image), image, resized, first)
        shape = [tf.shape(keys)[0], 2]
        return Window(*(tf.broadcast_to(field, shape) for field in fields))

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same layer again."""
        return {**super().get_config(), "resize_to": self.resize_to}


def resized_side(size: int) -> int:
    """Pixels of the short side before a centre crop of `size`, where nothing else is asked for."""
    return round(size * 256 / 224)


def _between(draws: tf.Tensor, low: float, high: float) -> tf.Tensor:
    return low + draws * (high - low)
