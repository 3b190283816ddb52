"""The smallest encoder that has everything a step must cope with: stem, convolution, batch norm."""

from typing import Optional

import tensorflow as tf

from tfssl.backbones.convolution import convolution
from tfssl.backbones.stems import apply_stem, pool_stem
from tfssl.layers.normalization import batch_norm


def tiny_maps(
    images,
    *,
    stem: str,
    width: float,
    stem_channels: Optional[int],
    stem_padding: Optional[int],
    synchronized: Optional[bool],
) -> dict[str, tf.Tensor]:
    """Builds two convolutions, for tests of everything around an encoder; takes any image size.

    The first convolution is the stem (8 channels at width 1), the second is 3x3 with stride 2 (16
    channels). The arguments are those of `tfssl.backbones.build`, which checks them.

    Returns:
        The unpooled symbolic maps by name, first to last: "stem", "stage1".
    """
    filters = max(1, round(8 * width))
    x = apply_stem(
        images, stem, stem_channels or filters, padding=stem_padding, synchronized=synchronized
    )
    maps = {"stem": x}
    x = pool_stem(x, stem)
    x = convolution(x, 2 * filters, 3, stride=2, name="conv2")
    x = batch_norm(synchronized=synchronized, name="bn2")(x)
    maps["stage1"] = tf.keras.layers.ReLU(name="relu2")(x)
    return maps
