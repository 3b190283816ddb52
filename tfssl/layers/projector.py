"""Projection and prediction heads: multi-layer perceptrons with PyTorch's initial weights."""

import math
from typing import Optional, Sequence

import tensorflow as tf

from tfssl.layers.normalization import at_least_float32, batch_norm

_OUTPUT_NORMS = (None, "batch", "batch_no_affine")


def projector(
    input_dim: int,
    *,
    hidden_dims: Sequence[int] = (2048, 2048),
    output_dim: int = 256,
    hidden_bias: bool = False,
    hidden_norm: bool = True,
    output_bias: bool = True,
    output_norm: Optional[str] = None,
    synchronized: Optional[bool] = None,
    name: str = "projector",
) -> tf.keras.Model:
    """Builds a head: [linear, batch normalisation, ReLU] for every hidden layer, then linear.

    The defaults are MIRA's projector (Lee et al. 2022, arXiv 2211.02284). SwAV: hidden_dims
    (2048,), output_dim 128, hidden_bias. MoCo v2: hidden_dims (2048,), output_dim 128,
    hidden_bias, no hidden_norm. Weights and biases start as U(+-1/sqrt(inputs of the layer)), as
    PyTorch's `Linear`.

    Args:
        input_dim: number of features in, at least 1.
        hidden_dims: units of every hidden layer; empty for one linear map.
        output_dim: number of features out, at least 1.
        hidden_bias: whether the hidden linear layers have a bias.
        hidden_norm: batch normalisation between every hidden linear layer and its ReLU.
        output_bias: whether the last linear layer has a bias.
        output_norm: None, "batch", or "batch_no_affine" (without gamma and beta) after the last
            linear layer.
        synchronized: batch statistics of the global batch. None means: under a strategy with more
            than one replica.
        name: the model's name.

    Returns:
        A functional model of built-in layers, `[batch, input_dim]` to `[batch, output_dim]`
        float32 (float64 under a float64 policy), not L2-normalised.

    Raises:
        ValueError: a dimension is below 1, or `output_norm` is not one of the three.
    """
    for dim in (input_dim, output_dim, *hidden_dims):
        if dim != int(dim) or dim < 1:
            raise ValueError(
                "input_dim, hidden_dims, output_dim: expected whole numbers >= 1. Received: "
                f"input_dim={input_dim!r}, hidden_dims={tuple(hidden_dims)!r}, "
                f"output_dim={output_dim!r}."
            )
    if output_norm not in _OUTPUT_NORMS:
        raise ValueError(
            f"output_norm: expected one of {_OUTPUT_NORMS}. Received: output_norm={output_norm!r}."
        )
    inputs = tf.keras.Input((input_dim,), name="features")
    x = inputs
    for index, dim in enumerate(hidden_dims):
        x = linear(x, dim, hidden_bias, f"linear{index + 1}")
        if hidden_norm:
            norm = f"bn{index + 1}"
            x = batch_norm(synchronized=synchronized, fusable=False, name=norm)(x)
        x = tf.keras.layers.ReLU(name=f"relu{index + 1}")(x)
    last = len(hidden_dims) + 1
    x = linear(x, output_dim, output_bias, f"linear{last}")
    if output_norm is not None:
        affine = output_norm == "batch"
        x = batch_norm(synchronized=synchronized, fusable=False, affine=affine, name=f"bn{last}")(x)
    # What follows a head, a norm, a softmax or a loss, is never computed in half precision.
    x = tf.keras.layers.Activation("linear", dtype=at_least_float32(), name="projections")(x)
    return tf.keras.Model(inputs, x, name=name)


def linear(x, units: int, use_bias: bool, name: str):
    """Applies a dense layer with PyTorch's initial weights to symbolic `[batch, inputs]`."""
    return linear_layer(int(x.shape[-1]), units, use_bias=use_bias, name=name)(x)


def linear_layer(inputs: int, units: int, **options) -> tf.keras.layers.Dense:
    """An unbuilt dense layer with PyTorch's initial weights for so many inputs.

    Args:
        inputs: number of features that it will be given.
        units: number of features out.
        **options: other arguments of `tf.keras.layers.Dense`.
    """
    bound = 1 / math.sqrt(inputs)
    # One initializer a tensor: an unseeded one used twice repeats its values.
    return tf.keras.layers.Dense(
        units,
        kernel_initializer=tf.keras.initializers.RandomUniform(-bound, bound),
        bias_initializer=tf.keras.initializers.RandomUniform(-bound, bound),
        **options,
    )
