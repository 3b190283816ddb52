"""Batch normalisation with PyTorch's constants, in float32 where half precision would spoil it."""

from typing import Optional

import tensorflow as tf

# PyTorch's defaults; its momentum 0.1 is the weight of the new value, Keras' 0.9 that of the old.
EPSILON = 1e-5
MOMENTUM = 0.9


def at_least_float32(dtype: Optional[str] = None) -> str:
    """The dtype for results that must not be in half precision.

    Args:
        dtype: name of a floating dtype. None means the compute dtype of the global policy.

    Returns:
        "float64" for float64 and "float32" for everything else.
    """
    dtype = dtype or tf.keras.mixed_precision.global_policy().compute_dtype
    return "float64" if dtype == "float64" else "float32"


def resolve_synchronized(synchronized: Optional[bool]) -> bool:
    """Decides whether batch statistics are those of the global batch.

    Args:
        synchronized: True or False is kept. None means: synchronised if the current strategy has
            more than one replica. One replica then gets the fused kernel, which computes the same
            normalisation several times faster.
    """
    if synchronized is None:
        return tf.distribute.get_strategy().num_replicas_in_sync > 1
    return synchronized


def batch_norm(
    *,
    synchronized: Optional[bool] = None,
    fusable: bool = True,
    affine: bool = True,
    zero_gamma: bool = False,
    name: Optional[str] = None,
) -> tf.keras.layers.BatchNormalization:
    """Makes a batch normalisation layer: epsilon 1e-5, momentum 0.9, gamma 1, beta 0.

    Keras computes statistics in float32 only in its fused kernel, which takes unsynchronised
    image maps. Everywhere else a half-precision policy would also mean half-precision sums (in
    bfloat16 even the count of a large batch is rounded), so those layers run in float32.

    Args:
        synchronized: see `resolve_synchronized`.
        fusable: whether the inputs are `[batch, height, width, channels]` maps.
        affine: whether there are a trained gamma and beta.
        zero_gamma: start gamma at 0 instead of 1.
        name: the layer's name.

    Returns:
        An unbuilt layer.
    """
    synchronized = resolve_synchronized(synchronized)
    in_float32 = synchronized or not fusable
    layer = tf.keras.layers.BatchNormalization(
        momentum=MOMENTUM,
        epsilon=EPSILON,
        center=affine,
        scale=affine,
        gamma_initializer="zeros" if zero_gamma else "ones",
        synchronized=synchronized,
        dtype=at_least_float32() if in_float32 else None,
        name=name,
    )
    if synchronized:
        _keep_variance_nonnegative(layer)
    return layer


def _keep_variance_nonnegative(layer: tf.keras.layers.BatchNormalization) -> None:
    """Guards the variance E[x^2] - E[x]^2 of a synchronised layer against rounding below 0.

    Keras 2.15 lacks this guard, and a channel that is constant, as in a collapse, gives NaN. Newer
    versions have it. The layer stays a plain BatchNormalization.
    """
    calculate = layer._calculate_mean_and_var

    def guarded(*args, **kwargs):
        mean, variance = calculate(*args, **kwargs)
        return mean, tf.maximum(variance, 0)

    layer._calculate_mean_and_var = guarded
