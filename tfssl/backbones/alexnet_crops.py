"""AlexNet of overlapping crops: every patch of an image is seen alone, then they are put together.

References: Tian et al. 2019, arXiv 1906.05849, section B.2 and Table 7, whose networks for one view
are those of width 0.5; Hjelm et al. 2019, arXiv 1808.06670 (Deep InfoMax), whose networks of crops
CMC uses.
"""

from typing import Optional

import tensorflow as tf

from tfssl.backbones.alexnet import ALEXNETS, Block, block_maps

CROPS = "alexnet_crops"

# Sides and distance of the patches, in pixels. Of a patch one pixel is left after the last pool.
_PATCH = 16
STRIDE = 8

# What sees the patches together: 3x3 of them, without padding, then each place by itself.
_TOGETHER = (Block(192, padding=0), Block(192, kernel_size=1, padding=0))

# Three patches a side, of which one place is left.
SMALLEST_IMAGE = _PATCH + 2 * STRIDE


def crops_fit(image_size: int) -> bool:
    """Whether patches fill images of that side, to the last pixel, and enough of them do."""
    return image_size >= SMALLEST_IMAGE and (image_size - _PATCH) % STRIDE == 0


def crops_maps(images, *, width: float, synchronized: Optional[bool]) -> dict[str, tf.Tensor]:
    """Builds the network on symbolic images.

    Patches of 16x16 pixels, 8 apart, go through the convolutions of "alexnet_small", "conv1" to
    "pool5", one by one: no pixel of a patch, padding included, comes from its neighbours. The one
    pixel that is left of each stands where the patch stood. A 3x3 convolution without padding,
    "conv6", sees them together, and a 1x1 convolution, "conv7", makes the features of each place.
    Kernels start as those of the other AlexNets.

    Args:
        images: symbolic `[batch, height, width, channels]`; of 64 pixels for 7x7 patches and 5x5
            places.
        width, synchronized: those of `tfssl.backbones.build`, which checks them.

    Returns:
        The symbolic maps "fold" and "global", of 192 times the width channels each.

    Notes:
        Batch statistics of "conv1" to "conv5" are over all patches of all images. The patches of an
        image of 64 pixels have three times as many pixels as the image.

        CMC's paper does not say which of Deep InfoMax's two networks of crops it used; this is the
        one with several global features. That both last convolutions have as many channels as
        "conv5", no bias, normalisation and ReLU is from the code of Deep InfoMax.
    """
    found = tf.image.extract_patches(
        images, [1, _PATCH, _PATCH, 1], [1, STRIDE, STRIDE, 1], [1, 1, 1, 1], "VALID"
    )
    patches = tf.reshape(found, [-1, _PATCH, _PATCH, images.shape[-1]])
    options = {"width": width, "synchronized": synchronized}
    cells = block_maps(patches, ALEXNETS["alexnet_small"], **options)["conv5"]
    # Of the grid alone: the number of images stays open.
    _, rows, columns, _ = tf.unstack(tf.shape(found), 4)
    fold = tf.reshape(cells, [-1, rows, columns, cells.shape[-1]])
    last = block_maps(fold, _TOGETHER, first=6, **options)
    return {"fold": fold, "global": last["conv7"]}
