"""Stems: the first convolution of a backbone, with or without a max pool."""

import dataclasses
from typing import Optional

import tensorflow as tf

from tfssl.backbones.convolution import convolution, fan_in_uniform
from tfssl.layers.normalization import batch_norm


@dataclasses.dataclass(frozen=True)
class Stem:
    """Geometry of a stem; sizes in pixels.

    Attributes:
        kernel_size, stride, padding: of the convolution.
        max_pool: whether a 3x3 max pool of stride 2 follows.
        paddings: the paddings that may be chosen.
        fan_in_uniform: kernel init U(+-1/sqrt(fan_in)), what PyTorch gives a convolution that was
            put in the place of the first one; otherwise He-normal.
    """

    kernel_size: int
    stride: int
    padding: int
    max_pool: bool
    paddings: tuple[int, ...]
    fan_in_uniform: bool

    @property
    def total_stride(self) -> int:
        """Image pixels per pixel of the stem's output, max pool included."""
        return self.stride * (2 if self.max_pool else 1)


STEMS = {
    "imagenet": Stem(7, 2, 3, True, (3,), False),
    # Padding 2 follows the published code of MIRA and solo-learn: 32 px become 34.
    "cifar": Stem(3, 1, 2, False, (1, 2), True),
    # A quarter of the work of "cifar", for small images on small machines.
    "cifar_stride2": Stem(3, 2, 1, False, (1, 2), True),
}


def apply_stem(
    images,
    stem: str,
    filters: int,
    *,
    padding: Optional[int] = None,
    synchronized: Optional[bool] = None,
):
    """Applies convolution, batch normalisation and ReLU; `pool_stem` follows.

    Args:
        images: symbolic images `[batch, height, width, channels]`.
        stem: a key of `STEMS`.
        filters: number of output channels.
        padding: padding of the convolution in pixels; None means the stem's own.
        synchronized: see `tfssl.layers.normalization.batch_norm`.

    Returns:
        Symbolic map `[batch, new_height, new_width, filters]`.
    """
    geometry = STEMS[stem]
    x = convolution(
        images,
        filters,
        geometry.kernel_size,
        stride=geometry.stride,
        padding=geometry.padding if padding is None else padding,
        initializer=fan_in_uniform() if geometry.fan_in_uniform else None,
        name="conv1",
    )
    x = batch_norm(synchronized=synchronized, name="bn1")(x)
    return tf.keras.layers.ReLU(name="relu1")(x)


def pool_stem(x, stem: str):
    """Applies the max pool to the output of `apply_stem`, where the stem has one."""
    if STEMS[stem].max_pool:
        # After a ReLU nothing is below 0, so padding with 0 equals padding with -infinity.
        x = tf.keras.layers.ZeroPadding2D(1, name="maxpool.pad")(x)
        x = tf.keras.layers.MaxPooling2D(3, strides=2, name="maxpool")(x)
    return x
