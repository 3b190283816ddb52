"""A decoder: from the map of an encoder back to pixels."""

from typing import Optional, Tuple

import numpy as np
import tensorflow as tf

from tfssl.layers.normalization import at_least_float32, batch_norm

# Channels of the first doubling, or as many as the map has, if that is fewer; each further one has
# half as many, and no fewer than the least.
_CHANNELS, _LEAST = 256, 32


def decoder(
    map_shape: Tuple[int, int, int],
    *,
    image_size: int,
    channels: int,
    synchronized: Optional[bool] = None,
    name: str = "decoder",
) -> tf.keras.Model:
    """Builds transposed convolutions that double a map until it has the size of an image.

    Each is 4x4 with stride 2, batch normalisation and ReLU, with no connection around it; then a
    1x1 convolution. Where doubling does not meet the size, the last map is resized bilinearly. CMC,
    Tian et al. 2019, arXiv 1906.05849, names a decoder for prediction (Table 5) and leaves it open:
    this is that of its segmentation network without the connections from the encoder.

    Args:
        map_shape: (height, width, channels) of the map, height and width equal.
        image_size: side of the pictures in pixels, at least that of the map.
        channels: of the pictures.
        synchronized: see `tfssl.layers.projector`.
        name: the model's name.

    Returns:
        A functional model, `[batch, *map_shape]` to `[batch, image_size, image_size, channels]`
        float32 (float64 under a float64 policy).

    Raises:
        ValueError: a map that is not square or larger than the pictures.
    """
    side = map_shape[0]
    if side != map_shape[1] or not 1 <= side <= image_size:
        raise ValueError(
            f"map_shape: expected a square of at most {image_size} pixels. Received: {map_shape}."
        )
    inputs = tf.keras.Input(map_shape, name="map")
    x, width, index = inputs, max(min(_CHANNELS, map_shape[2]), _LEAST), 1
    while 2 * side <= image_size:
        x = tf.keras.layers.Conv2DTranspose(
            width, 4, strides=2, padding="same", use_bias=False, name=f"up{index}"
        )(x)
        x = batch_norm(synchronized=synchronized, name=f"bn{index}")(x)
        x = tf.keras.layers.ReLU(name=f"relu{index}")(x)
        side, width, index = 2 * side, max(width // 2, _LEAST), index + 1
    x = tf.keras.layers.Conv2D(channels, 1, name="pixels")(x)
    x = tf.keras.layers.Activation("linear", dtype=at_least_float32(), name="float")(x)
    if side < image_size:
        weights = tf.constant(_bilinear(side, image_size), x.dtype)
        x = tf.einsum("oh,bhwc,pw->bopc", weights, x, weights)
    return tf.keras.Model(inputs, x, name=name)


def _bilinear(side: int, size: int) -> np.ndarray:
    """Weights `[size, side]` of a row enlarged to `size` places; `tf.image` keeps no float64."""
    places = np.clip((np.arange(size) + 0.5) * side / size - 0.5, 0, side - 1)
    return np.maximum(0, 1 - np.abs(places[:, np.newaxis] - np.arange(side)))
