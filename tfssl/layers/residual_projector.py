"""The head of Deep InfoMax: a hidden layer beside a linear shortcut, then layer normalisation."""

from typing import Optional

import tensorflow as tf

from tfssl.layers.normalization import at_least_float32, batch_norm
from tfssl.layers.projector import linear

# Off the diagonal of the shortcut's kernel, which has ones on it.
_SMALL = 0.01


def residual_projector(
    input_dim: int,
    *,
    hidden_dim: int = 2048,
    output_dim: int = 2048,
    synchronized: Optional[bool] = None,
    name: str = "residual_projector",
) -> tf.keras.Model:
    """Builds linear, batch normalisation, ReLU, linear; plus a linear map; layer normalisation.

    Deep InfoMax, Hjelm et al. 2019, arXiv 1808.06670, and its code. The shortcut's kernel starts as
    the identity with noise in +-0.01, the others as those of `projector`.

    Args:
        input_dim, hidden_dim, output_dim: units, at least 1.
        synchronized: see `tfssl.layers.projector`.
        name: the model's name.

    Returns:
        A functional model, `[batch, input_dim]` to `[batch, output_dim]` float32 (float64 under a
        float64 policy). For maps, give it every place as a row.

    Raises:
        ValueError: a dimension is below 1.
    """
    if min(input_dim, hidden_dim, output_dim) < 1:
        raise ValueError(
            "expected input_dim, hidden_dim, output_dim >= 1. Received: "
            f"{input_dim=}, {hidden_dim=}, {output_dim=}."
        )
    inputs = tf.keras.Input((input_dim,), name="features")
    x = linear(inputs, hidden_dim, False, "linear1")
    x = batch_norm(synchronized=synchronized, fusable=False, name="bn1")(x)
    x = tf.keras.layers.ReLU(name="relu1")(x)
    x = linear(x, output_dim, True, "linear2")
    shortcut = tf.keras.layers.Dense(
        output_dim, kernel_initializer=_near_identity, name="shortcut"
    )(inputs)
    # What follows a head is never computed in half precision.
    dtype = at_least_float32()
    total = tf.keras.layers.Add(dtype=dtype, name="sum")([x, shortcut])
    outputs = tf.keras.layers.LayerNormalization(epsilon=1e-5, dtype=dtype, name="norm")(total)
    return tf.keras.Model(inputs, outputs, name=name)


def _near_identity(shape, dtype=None, **_) -> tf.Tensor:
    """Ones on the diagonal, and noise elsewhere."""
    noise = tf.keras.initializers.RandomUniform(-_SMALL, _SMALL)(shape, dtype)
    return tf.linalg.set_diag(noise, tf.ones([min(shape)], noise.dtype))
