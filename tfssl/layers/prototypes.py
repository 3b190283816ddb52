"""Prototypes: a classification head whose logits are exact cosines."""

import math
from typing import Optional

import tensorflow as tf

from tfssl.layers.normalization import at_least_float32

# Lower bound of a norm before division, as in PyTorch's `normalize`.
_MIN_NORM = 1e-12


class Prototypes(tf.keras.layers.Layer):
    """Weight-normalised linear head without bias: logits are cosines to the prototypes.

    Logit j of an embedding z is <z, v_j> / (|z| |v_j|). The vectors v are trained; the gain of the
    weight normalisation is fixed to 1 (MIRA, Lee et al. 2022, arXiv 2211.02284; Salimans and Kingma
    2016, arXiv 1602.07868). Everything is computed in float32 (float64 for a float64 policy),
    whatever the precision policy.

    Args:
        num_prototypes: number of prototypes, at least 1.
        normalize_inputs: divide the embeddings by their L2 norm. Without it they must already be
            unit rows, or the logits are cosines times their norms.
        name: the layer's name.

    Attributes:
        kernel: `[num_prototypes, dim]` variable v, initially U(+-1/sqrt(dim)).

    Raises:
        ValueError: `num_prototypes` is not a whole number >= 1, or the embeddings are not
            `[batch, dim]` with a known dim.
    """

    def __init__(
        self, num_prototypes: int, *, normalize_inputs: bool = True, name: Optional[str] = None
    ):
        """Stores the arguments; the first call makes the kernel."""
        super().__init__(name=name, dtype=at_least_float32())
        if num_prototypes != int(num_prototypes) or num_prototypes < 1:
            raise ValueError(
                "num_prototypes: expected a whole number >= 1. "
                f"Received: num_prototypes={num_prototypes!r}."
            )
        self.num_prototypes = int(num_prototypes)
        self.normalize_inputs = normalize_inputs

    def build(self, input_shape) -> None:
        """Creates the kernel for embeddings `[batch, dim]`."""
        shape = tf.TensorShape(input_shape)
        if shape.rank != 2 or shape[-1] is None:
            raise ValueError(
                f"embeddings: expected [batch, dim] with a known dim. Received: shape={shape}."
            )
        bound = 1 / math.sqrt(shape[-1])
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.num_prototypes, shape[-1]),
            initializer=tf.keras.initializers.RandomUniform(-bound, bound),
        )
        super().build(input_shape)

    def call(self, embeddings: tf.Tensor) -> tf.Tensor:
        """Returns the logits.

        Args:
            embeddings: `[batch, dim]` float.

        Returns:
            `[batch, num_prototypes]` float32 cosines. A row of zeros has logits 0.
        """
        if self.normalize_inputs:
            embeddings = _unit_rows(embeddings)
        return tf.matmul(embeddings, _unit_rows(self.kernel), transpose_b=True)

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            "num_prototypes": self.num_prototypes,
            "normalize_inputs": self.normalize_inputs,
            "name": self.name,
        }


def _unit_rows(rows: tf.Tensor) -> tf.Tensor:
    """Rows divided by their L2 norm, or by `_MIN_NORM` where that is smaller."""
    return tf.math.l2_normalize(rows, axis=-1, epsilon=_MIN_NORM**2)
