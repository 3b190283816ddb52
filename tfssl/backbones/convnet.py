"""The small network of four convolutions that InfoMin sees moving digits with.

Tian, Sun, Poole, Krishnan, Schmid, Isola 2020, "What Makes for Good Views for Contrastive
Learning?", arXiv 2005.10243, section B.4: 8, 16, 32 and 64 filters and an average pool. Kernels of
3x3, stride 2 and normalisation are this library's choice, for the paper names none.
"""

from typing import Optional

import tensorflow as tf

from tfssl.backbones.convolution import convolution
from tfssl.layers.normalization import batch_norm

CONVNET = "convnet"
CHANNELS_UNIT = 8  # Filters of the first convolution.
_DEPTH = 4


def convnet_maps(images, *, width: float, synchronized: Optional[bool]) -> dict[str, tf.Tensor]:
    """Builds four times a 3x3 convolution of stride 2, batch normalisation and ReLU.

    The arguments are those of `tfssl.backbones.build`, which checks them; images may be of any
    size.

    Returns:
        The unpooled symbolic maps by name, first to last: "stage1" to "stage4".
    """
    x, maps = images, {}
    for number in range(1, _DEPTH + 1):
        filters = round(CHANNELS_UNIT * width) * 2 ** (number - 1)
        x = convolution(x, filters, 3, stride=2, name=f"conv{number}")
        x = batch_norm(synchronized=synchronized, name=f"bn{number}")(x)
        x = maps[f"stage{number}"] = tf.keras.layers.ReLU(name=f"relu{number}")(x)
    return maps
