"""Low and high frequencies of an image: its blurred version, and what is left of it.

InfoMin, Tian et al. 2020, arXiv 2005.10243, section B.3.
"""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfssl.views.blur import GaussianBlur, reflected
from tfssl.views.layer import ViewLayer

# Standard deviations from a kernel's centre to its end.
_REACH = 4


class FrequencySplit(ViewLayer):
    """Three channels of Blur(x, sigma), then three of x - Blur(x, sigma), so that both add up to x.

    The kernel reaches ceil(4 sigma) pixels far and the image is reflected at its edges. With sigma
    0 the first three are the image and the others 0.
    """

    def __init__(self, sigma: float, **kwargs: Any):
        """Initialises the layer.

        Args:
            sigma: standard deviation of the blur in pixels of the crop, >= 0.
            **kwargs: see `ViewLayer`; it always fires, because it changes the number of channels.
        """
        super().__init__(**kwargs)
        if self.probability != 1.0:
            raise ValueError(
                f"FrequencySplit: expected probability=1. Received: {self.probability}."
            )
        if not 0 <= sigma < math.inf:
            raise ValueError(f"FrequencySplit: expected sigma >= 0. Received: {sigma=}.")
        self.sigma = float(sigma)
        self._blur = None
        if sigma > 0:
            window = 2 * math.ceil(_REACH * sigma) + 1
            self._blur = GaussianBlur(sigma=(self.sigma, self.sigma), window=window)

    def change(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Twice as many channels, see `ViewLayer.change`."""
        del draws
        low = images
        if self._blur is not None:
            low = self._blur.change(images, tf.zeros([1, 1]))
        return tf.concat([low, images - low], axis=1)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same layer again."""
        return {**super().get_config(), "sigma": self.sigma}


def split_frequencies(images, sigma: float):
    """As the layer, with operations that a SavedModel holds without this library.

    Args:
        images: symbolic float `[batch, size, size, channels]`, sizes known.
        sigma: see `FrequencySplit`.

    Returns:
        Symbolic, twice the channels.
    """
    rows, columns = (tf.constant(_blur_matrix(n, sigma)) for n in images.shape[1:3])
    low = tf.tensordot(images, columns, axes=[[2], [1]])  # [batch, height, channel, x]
    low = tf.tensordot(low, rows, axes=[[1], [1]])  # [batch, channel, x, y]
    low = tf.transpose(low, [0, 3, 2, 1])
    return tf.concat([low, images - low], axis=-1)


def _blur_matrix(size: int, sigma: float) -> np.ndarray:
    """Weights `[size, size]` of each pixel of a line in each blurred one."""
    matrix = np.zeros((size, size))
    reach = math.ceil(_REACH * sigma)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * np.square(offsets / sigma)) if sigma > 0 else np.ones(1)
    for row in range(size):
        np.add.at(matrix[row], reflected(row + offsets, size), weights / weights.sum())
    return matrix.astype(np.float32)
