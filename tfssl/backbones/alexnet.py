"""AlexNets with batch normalisation, whose fully connected layers are written as convolutions.

There is no local response normalisation, no dropout and no channel group. Layers are named "conv1",
"bn1", "relu1", "pool1" and so on to "fc7", "bn7", "relu7".

References: Krizhevsky et al. 2012 ("ImageNet Classification with Deep Convolutional Neural
Networks"); Tian et al. 2019, arXiv 1906.05849, Tables 10 and 11, whose networks for one view are
those of width 0.5.
"""

import dataclasses
import itertools
from typing import Optional, Sequence

import tensorflow as tf

from tfssl.backbones.convolution import convolution, fan_in_uniform
from tfssl.layers.normalization import batch_norm


@dataclasses.dataclass(frozen=True)
class Block:
    """A convolution with batch normalisation and ReLU; sizes in pixels.

    Attributes:
        channels: of the output, at width 1.
        kernel_size, stride, padding: of the convolution.
        max_pool: whether a 3x3 max pool of stride 2 without padding follows.
    """

    channels: int
    kernel_size: int = 3
    stride: int = 1
    padding: int = 1
    max_pool: bool = False

    def side(self, side: int) -> int:
        """Side of the output for an input of that side; below 1 where nothing is left."""
        side = (side + 2 * self.padding - self.kernel_size) // self.stride + 1
        return (side - 3) // 2 + 1 if self.max_pool else side


ALEXNETS = {
    # For images of 224 pixels: 27, 13, 13, 13 and 6 pixels are left.
    "alexnet": (
        Block(96, 11, 4, 2, max_pool=True),
        Block(256, 5, 1, 2, max_pool=True),
        Block(384),
        Block(384),
        Block(256, max_pool=True),
    ),
    # For images of 64 pixels: 31, 15, 15, 15 and 7 pixels are left.
    "alexnet_small": (
        Block(96, max_pool=True),
        Block(192, max_pool=True),
        Block(384),
        Block(384),
        Block(192, max_pool=True),
    ),
}

# What every number of channels is a multiple of.
CHANNELS_UNIT = 32

# From the map of the last block to the features, in order.
CONNECTED_LAYERS = ("fc6", "bn6", "relu6", "fc7", "bn7", "relu7")

_CONNECTED_CHANNELS = 4096


def last_side(name: str, image_size: int) -> int:
    """Side in pixels of the map after the last max pool; below 1 where nothing is left."""
    side = image_size
    for block in ALEXNETS[name]:
        side = block.side(side)
    return side


def smallest_image(name: str) -> int:
    """Side in pixels of the smallest images of which one pixel is left at the end."""
    return next(size for size in itertools.count(1) if last_side(name, size) >= 1)


def alexnet_maps(
    images, name: str, *, image_size: int, width: float, synchronized: Optional[bool]
) -> dict[str, tf.Tensor]:
    """Builds an AlexNet without its classifier on symbolic images.

    The arguments are those of `tfssl.backbones.build`, which checks them. Every kernel and bias
    starts uniform within +-1 / sqrt(fan_in), as in the reference, whose framework gives that to
    all layers.

    Returns:
        The symbolic maps by name, first to last: "conv1" to "conv5", each after normalisation,
        ReLU and its max pool, then "fc6" and "fc7", which are one pixel for images of
        `image_size`.
    """
    maps = block_maps(images, ALEXNETS[name], width=width, synchronized=synchronized)
    x = maps["conv5"]
    for index, kernel_size in ((6, last_side(name, image_size)), (7, 1)):
        x = _connected(x, round(_CONNECTED_CHANNELS * width), kernel_size, name=f"fc{index}")
        x = _normalised(x, index, synchronized)
        maps[f"fc{index}"] = x
    return maps


def block_maps(
    x, blocks: Sequence[Block], *, width: float, synchronized: Optional[bool], first: int = 1
) -> dict[str, tf.Tensor]:
    """Builds blocks one after another on a symbolic map.

    Args:
        x: the map.
        blocks: what is built.
        width, synchronized: those of `tfssl.backbones.build`.
        first: number of the first block, for the names of layers.

    Returns:
        The symbolic maps by name, "conv1" and so on, each after normalisation, ReLU and its max
        pool.
    """
    maps = {}
    for index, block in enumerate(blocks, start=first):
        x = convolution(
            x,
            round(block.channels * width),
            block.kernel_size,
            stride=block.stride,
            padding=block.padding,
            initializer=fan_in_uniform(),
            name=f"conv{index}",
        )
        x = _normalised(x, index, synchronized)
        if block.max_pool:
            x = tf.keras.layers.MaxPooling2D(3, strides=2, name=f"pool{index}")(x)
        maps[f"conv{index}"] = x
    return maps


def _connected(x, filters: int, kernel_size: int, *, name: str):
    """A fully connected layer of every window of `kernel_size` pixels a side."""
    bound = (kernel_size**2 * x.shape[-1]) ** -0.5
    return tf.keras.layers.Conv2D(
        filters,
        kernel_size,
        kernel_initializer=fan_in_uniform(),
        bias_initializer=tf.keras.initializers.RandomUniform(-bound, bound),
        name=name,
    )(x)


def _normalised(x, index: int, synchronized: Optional[bool]):
    x = batch_norm(synchronized=synchronized, name=f"bn{index}")(x)
    return tf.keras.layers.ReLU(name=f"relu{index}")(x)
