"""Gradients of the grey image in place of colours, as the input of a backbone."""

import tensorflow as tf

# Across and down, for correlation; the responses of the two filters of the authors' code.
_ACROSS = ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0))
_DOWN = ((1.0, 2.0, 1.0), (0.0, 0.0, 0.0), (-1.0, -2.0, -1.0))


def sobel_gradients(images, channels: int):
    """The two Sobel gradients of the mean of the channels, with zeros beyond the edges.

    DeepCluster, Caron et al. 2018, arXiv 1807.05520, section 4.1. It is one TensorFlow operation on
    constants, so a functional model keeps it when it is copied or saved, and nothing is trained.

    Args:
        images: symbolic `[batch, height, width, channels]`.
        channels: of the images.

    Returns:
        Symbolic `[batch, height, width, 2]`: across, then down.
    """
    kernel = [
        [[[a / channels, d / channels]] * channels for a, d in zip(across, down)]
        for across, down in zip(_ACROSS, _DOWN)
    ]
    return tf.nn.conv2d(images, kernel, strides=1, padding="SAME")
