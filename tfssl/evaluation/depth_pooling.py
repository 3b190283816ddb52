"""Features of every depth of a ResNet, averaged down to about 9,000 numbers an image.

InterCLR, Xie et al., arXiv 2008.11702, and its code: linear classifiers on five depths.
"""

import dataclasses
from typing import Mapping

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Pool:
    """An average pool: side of the map it is for, and its kernel, stride and padding in cells."""

    side: int
    kernel: int
    stride: int
    padding: int = 0


# For images of 224 pixels.
DEPTH_POOLS = {
    "stem": Pool(112, 10, 10, 4),
    "stage1": Pool(56, 16, 8),
    "stage2": Pool(28, 13, 5),
    "stage3": Pool(14, 8, 3),
    "stage4": Pool(7, 6, 1),
}


def pool_depths(maps: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Pools the maps of a backbone, `backbone.stage_outputs`, for one classifier a depth.

    Args:
        maps: `[batch, side, side, channels]` floating, for images of 224 pixels, under names of
            `DEPTH_POOLS`. "stem" is the map before max pooling.

    Returns:
        `[batch, dim]` float32 (float64 for float64 maps) under the same names: of a ResNet-50
        9,216, 9,216, 8,192, 9,216 and 8,192 numbers, row by row of the pooled map.

    Raises:
        ValueError: an unknown name, or a map of another side.

    Notes:
        Padding counts as zeros, as in the code.
    """
    return {name: _pool(name, tf.convert_to_tensor(values)) for name, values in maps.items()}


def _pool(name: str, values: tf.Tensor) -> tf.Tensor:
    if name not in DEPTH_POOLS:
        raise ValueError(f"expected maps of {', '.join(DEPTH_POOLS)}. Received: {name!r}.")
    pool = DEPTH_POOLS[name]
    if values.shape.rank != 4 or values.shape[1:3] != [pool.side, pool.side]:
        raise ValueError(
            f"expected a map [batch, {pool.side}, {pool.side}, channels] for {name}, of images of "
            f"224 pixels. Received: shape={values.shape}."
        )
    values = tf.cast(values, tf.float64 if values.dtype == tf.float64 else tf.float32)
    edge = [pool.padding, pool.padding]
    padded = tf.pad(values, [[0, 0], edge, edge, [0, 0]])
    means = tf.nn.avg_pool2d(padded, pool.kernel, pool.stride, "VALID")
    return tf.reshape(means, [-1, means.shape[1] * means.shape[2] * means.shape[3]])
