"""Layer-wise adaptive rate scaling, in the three forms that self-supervised papers train with."""

import math
from typing import Any

import tensorflow as tf

from tfssl.training.optimizers._momentum import MomentumOptimizer

ADAPTATIONS = ("lars", "larc", "larc_clip")


@tf.keras.utils.register_keras_serializable(package="tfssl")
class LARS(MomentumOptimizer):
    """LARS: each tensor's step is scaled to a fraction of the tensor's own norm.

    `d = q (grad + weight_decay p); mu = momentum mu + d; p = p - lr mu`, where the factor q is
    - `lars`: `trust ||p|| / ||grad + weight_decay p||` (MoCo v3, Barlow Twins, VICReg, MIRA);
    - `larc`: `trust ||p|| / (||grad|| + weight_decay ||p|| + 1e-8)` (SwAV);
    - `larc_clip`: `min(larc / lr, 1)` (solo-learn, with trust 0.02).
    q is 1 where a norm is 0. Variables of excluded rank have neither decay nor a factor. There is
    no Nesterov; norms are over whole tensors, in float32.

    Reference:
        You et al. 2017, arXiv 1708.03888; the official code of MIRA (Lee et al. 2022, arXiv
        2211.02284) for the order of decay, adaptation and momentum.
    """

    def __init__(
        self,
        learning_rate: Any,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 0.001,
        *,
        exclude_rank_below: int = 2,
        adaptation: str = "lars",
        name: str = "LARS",
        **kwargs: Any,
    ):
        """Initialises the optimizer.

        Args:
            learning_rate: float >= 0, or a LearningRateSchedule.
            momentum: 0 <= momentum < 1.
            weight_decay: >= 0, coupled (added to the gradient).
            trust_coefficient: > 0.
            exclude_rank_below: variables of lower rank have no decay and no adaptation. 2, the
                default, leaves out biases and normalisation; 0 adapts everything (SwAV).
            adaptation: `lars`, `larc` or `larc_clip`.
            name: name of the optimizer.
            **kwargs: `global_clipnorm` and other arguments of the Keras base class.

        Raises:
            ValueError: a hyper-parameter out of range.
        """
        super().__init__(learning_rate, momentum, weight_decay, exclude_rank_below, name, **kwargs)
        if not (math.isfinite(trust_coefficient) and trust_coefficient > 0):
            raise ValueError(
                f"expected trust_coefficient > 0. Received: trust_coefficient={trust_coefficient}."
            )
        if adaptation not in ADAPTATIONS:
            raise ValueError(
                f"expected adaptation one of {', '.join(ADAPTATIONS)}. "
                f"Received: adaptation={adaptation!r}."
            )
        self.trust_coefficient = float(trust_coefficient)
        self.adaptation = adaptation

    def direction(self, gradient: tf.Tensor, parameter: tf.Tensor, lr: tf.Tensor) -> tf.Tensor:
        """The gradient with weight decay, scaled by the trust ratio."""
        if self.excludes(parameter):
            return gradient
        decayed = self.decayed(gradient, parameter)
        size = tf.norm(parameter)
        if self.adaptation == "lars":
            against = tf.norm(decayed)
            nonzero = (size > 0) & (against > 0)
        else:
            slope = tf.norm(gradient)
            against = slope + self.coupled_weight_decay * size + 1e-8
            nonzero = (size > 0) & (slope > 0)
        factor = tf.math.divide_no_nan(self.trust_coefficient * size, against)
        if self.adaptation == "larc_clip":
            # At a learning rate of 0 nothing moves, and the clip must not divide by it.
            factor = tf.minimum(tf.where(lr > 0, tf.math.divide_no_nan(factor, lr), 1.0), 1.0)
        return tf.where(nonzero, factor, tf.ones_like(factor)) * decayed

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, JSON-able."""
        return {
            **super().get_config(),
            "trust_coefficient": self.trust_coefficient,
            "adaptation": self.adaptation,
        }
