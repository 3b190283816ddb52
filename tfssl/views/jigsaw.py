"""The jigsaw: nine patches of an image, one from each cell of a 3x3 grid.

PIRL, Misra and van der Maaten 2020, arXiv 1912.01991, with the sizes of its code and of InfoMin's:
a crop of 255 pixels, cells of 85, patches of 64, each anywhere in its cell.
"""

import dataclasses
from typing import Optional

import tensorflow as tf

from tfssl.ops.keyed_random import keyed_integers

_SIDE = 3
NUM_PATCHES = _SIDE * _SIDE


@dataclasses.dataclass(frozen=True)
class Jigsaw:
    """The sizes of a jigsaw.

    Attributes:
        patch: side of a patch in pixels, >= 1.
        cell: side of a cell of the grid in pixels, >= patch.
    """

    patch: int
    cell: int

    @classmethod
    def scaled(cls, image_size: int, patch: Optional[int] = None) -> "Jigsaw":
        """The published proportions: patches of 64 and cells of 85 beside images of 224.

        Args:
            image_size: side of the full-size views in pixels, >= 1.
            patch: another side of the patches in pixels, which the cells follow; None for the
                published share of `image_size`.
        """
        patch = patch or max(1, round(64 / 224 * image_size))
        return cls(patch, round(85 / 64 * patch))

    @property
    def crop(self) -> int:
        """Side in pixels of the crop that the grid lies on."""
        return _SIDE * self.cell

    def shape(self, channels: int = 3) -> tuple[int, ...]:
        """Shape of the patches of one image."""
        return NUM_PATCHES, self.patch, self.patch, channels

    def offsets(self, keys: tf.Tensor, *, stream: int = 0) -> tf.Tensor:
        """Draws where in its cell each patch lies, rows and columns uniform and independent.

        Args:
            keys: int64 `[...]`, see `tfssl.ops.fold_key`.
            stream: which sequence of the keys.

        Returns:
            `[..., 9, 2]` int32 in 0..cell - patch, both included: (row, column).
        """
        places = self.cell - self.patch + 1
        drawn = keyed_integers(keys, 2 * NUM_PATCHES, below=places, stream=stream)
        return tf.reshape(drawn, [*keys.shape, NUM_PATCHES, 2])

    def cut(self, image: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
        """Cuts the patches out of one image.

        Args:
            image: `[crop, crop, channels]`.
            offsets: `[9, 2]` int32, see `offsets`.

        Returns:
            `[9, patch, patch, channels]`, the cells in raster order.
        """
        corners = [(row, column) for row in range(_SIDE) for column in range(_SIDE)]
        begins = self.cell * tf.constant(corners) + offsets
        places = begins[:, tf.newaxis] + tf.range(self.patch)[:, tf.newaxis]
        rows, columns = places[:, :, tf.newaxis, 0], places[:, tf.newaxis, :, 1]
        # XLA would compile anew for every place of a slice.
        pixels = tf.reshape(image, [self.crop**2, image.shape[-1]])
        return tf.gather(pixels, rows * self.crop + columns)
