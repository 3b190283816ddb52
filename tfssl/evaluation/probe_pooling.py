"""Features of every depth of an AlexNet or a ResNet, pooled for the linear classifiers of CMC.

Tian et al. 2019, arXiv 1906.05849, section 4.1, and its code.
"""

import dataclasses
from typing import Callable, Mapping, Optional

import tensorflow as tf

from tfssl.backbones.stems import STEMS
from tfssl.layers.normalization import at_least_float32
from tfssl.ops import adaptive_average_pool, adaptive_max_pool


@dataclasses.dataclass(frozen=True)
class ProbePool:
    """An adaptive pool and the side, in cells, of what it gives."""

    pool: Callable[[tf.Tensor, int], tf.Tensor]
    side: int


# None: as it is.
PROBE_POOLS: dict[str, Optional[ProbePool]] = {
    "conv1": ProbePool(adaptive_max_pool, 10),
    "conv2": ProbePool(adaptive_max_pool, 6),
    "conv3": ProbePool(adaptive_max_pool, 5),
    "conv4": ProbePool(adaptive_max_pool, 5),
    "conv5": None,
    "fc6": None,
    "fc7": None,
    # The two maps of the AlexNet of crops.
    "fold": None,
    "global": None,
    # The layers 1 to 5 of the code; the first is the stem after its max pool.
    "stem": ProbePool(adaptive_average_pool, 8),
    "stage1": ProbePool(adaptive_average_pool, 6),
    "stage2": ProbePool(adaptive_average_pool, 4),
    "stage3": ProbePool(adaptive_average_pool, 3),
    "stage4": None,
    "features": None,
}


def probe_features(
    maps: Mapping[str, tf.Tensor], *, stem: str = "imagenet"
) -> dict[str, tf.Tensor]:
    """Pools the maps of a backbone, `backbone.stage_outputs`, for one classifier a depth.

    Args:
        maps: `[batch, height, width, channels]` floating with static height and width, under names
            of `PROBE_POOLS`; under "features" `[batch, dim]`.
        stem: the ResNet's stem, a name that `tfssl.backbones.build` takes. Its map "stem" is pooled
            as the network does it first. AlexNets have none.

    Returns:
        `[batch, dim]` float32 (float64 for float64 maps) under the same names, row by row of the
        pooled map. For CMC's two half AlexNets, joined, and images of 224 pixels: 9,600, 9,216,
        9,600, 9,600 and 9,216 numbers for "conv1" to "conv5".

    Raises:
        ValueError: an unknown name or stem, or a map of another rank or of unknown size.

    Notes:
        A map with fewer cells than its pool would give, of small images, keeps its own size.
    """
    if stem not in STEMS:
        raise ValueError(f"stem: expected one of {', '.join(STEMS)}. Received: {stem!r}.")
    return {name: _flat(name, tf.convert_to_tensor(values), stem) for name, values in maps.items()}


def _flat(name: str, values: tf.Tensor, stem: str) -> tf.Tensor:
    if name not in PROBE_POOLS:
        raise ValueError(f"expected maps of {', '.join(PROBE_POOLS)}. Received: {name!r}.")
    rank = 2 if name == "features" else 4
    if values.shape.rank != rank or None in values.shape[1:].as_list():
        raise ValueError(
            f"expected {'[batch, dim]' if rank == 2 else '[batch, height, width, channels]'} of "
            f"known size for {name}. Received: shape={values.shape}."
        )
    values = tf.cast(values, at_least_float32(values.dtype.name))
    if name == "stem" and STEMS[stem].max_pool:
        # Nothing is below 0 after the stem's ReLU, so zeros at the edges change no maximum.
        padded = tf.pad(values, [[0, 0], [1, 1], [1, 1], [0, 0]])
        values = tf.nn.max_pool2d(padded, 3, 2, "VALID")
    pool = PROBE_POOLS[name]
    if pool is not None:
        values = pool.pool(values, min(pool.side, *values.shape[1:3]))
    return tf.reshape(values, [-1, values.shape[1:].num_elements()])
