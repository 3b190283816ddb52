"""Convolution with PyTorch's geometry: symmetric padding, no bias, trainable groups on CPU."""

import functools
from typing import Optional

import tensorflow as tf


def convolution(
    inputs,
    filters: int,
    kernel_size: int,
    *,
    name: str,
    stride: int = 1,
    padding: Optional[int] = None,
    groups: int = 1,
    initializer: Optional[tf.keras.initializers.Initializer] = None,
):
    """Applies a convolution without bias to a symbolic map.

    'same' padding is asymmetric under a stride (bottom and right only), which is another function
    than PyTorch's, so strided convolutions are padded explicitly.

    Args:
        inputs: symbolic map `[batch, height, width, channels]`.
        filters: number of output channels.
        kernel_size: side of the square kernel, odd.
        name: the layer's name.
        stride: step in pixels, both ways.
        padding: zeros added on every side, in pixels. None means half the kernel.
        groups: number of channel groups; the kernel is
            `[kernel_size, kernel_size, channels / groups, filters]`.
        initializer: of the kernel. None means the untruncated He-normal of the fan-out,
            Normal(0, sqrt(2 / (kernel_size^2 filters))), whatever the number of groups (He et al.
            2015, arXiv 1502.01852; PyTorch's `kaiming_normal_`).

    Returns:
        Symbolic map `[batch, new_height, new_width, filters]`.
    """
    half = (kernel_size - 1) // 2
    padding = half if padding is None else padding
    keep_size = stride == 1 and padding == half
    if padding and not keep_size:
        inputs = tf.keras.layers.ZeroPadding2D(padding, name=f"{name}.pad")(inputs)
    layer = tf.keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=stride,
        padding="same" if keep_size else "valid",
        groups=groups,
        use_bias=False,
        kernel_initializer=initializer or _he_normal(),
        name=name,
    )
    if groups > 1 and _differentiates_groups(layer.compute_dtype):
        # Keras sends every grouped convolution through XLA, which on CPU is a hundred times slower
        # than the plain op. The layer stays a plain Conv2D: a copy made from its configuration
        # computes the same, by the slow way.
        layer._jit_compiled_convolution_op = layer.convolution_op
    return layer(inputs)


def fan_in_uniform() -> tf.keras.initializers.Initializer:
    """A new initializer U(+-1/sqrt(fan_in)), PyTorch's default for kernels."""
    return tf.keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def _he_normal() -> tf.keras.initializers.Initializer:
    """A new He-normal initializer; one used twice without a seed would repeat its values."""
    return tf.keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


@functools.lru_cache(maxsize=None)
def _differentiates_groups(dtype: str) -> bool:
    """Whether the plain op has gradients for grouped kernels of `dtype` on this machine.

    GPUs have them. CPUs have them in TensorFlow builds with oneDNN, for float32 and bfloat16.
    """
    # A layer may be made inside a graph; the ops are tried outside of it, and directly, because a
    # tape does not record in there.
    with tf.init_scope():
        images = tf.ones([1, 3, 3, 4], dtype)
        kernel = tf.ones([3, 3, 2, 4], dtype)
        geometry = {"out_backprop": images, "strides": [1, 1, 1, 1], "padding": "SAME"}
        try:
            tf.raw_ops.Conv2DBackpropInput(input_sizes=images.shape, filter=kernel, **geometry)
            tf.raw_ops.Conv2DBackpropFilter(input=images, filter_sizes=kernel.shape, **geometry)
        except tf.errors.OpError:
            return False
    return True
