"""AdamW with the rule of which variables are decayed."""

from typing import Any, Iterable

import tensorflow as tf


@tf.keras.utils.register_keras_serializable(package="tfssl")
class AdamW(tf.keras.optimizers.AdamW):
    """Keras' AdamW, which leaves variables of low rank out of the decay.

    `p = p - lr weight_decay p`, decoupled, then Adam's step (Loshchilov and Hutter 2019, arXiv
    1711.05101).
    """

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float = 0.05,
        *,
        exclude_rank_below: int = 2,
        name: str = "AdamW",
        **kwargs: Any,
    ):
        """Initialises the optimizer.

        Args:
            learning_rate: float >= 0, or a LearningRateSchedule.
            weight_decay: >= 0, decoupled, multiplied by the learning rate.
            exclude_rank_below: no decay for variables of lower rank; 2, the default, leaves out
                biases and normalisation, 0 decays everything.
            name: name of the optimizer.
            **kwargs: `beta_1`, `beta_2`, `epsilon`, `global_clipnorm` and others of Keras' AdamW.
        """
        kwargs.setdefault("jit_compile", False)
        super().__init__(learning_rate, weight_decay=weight_decay, name=name, **kwargs)
        self.exclude_rank_below = int(exclude_rank_below)

    def build(self, var_list: Iterable[tf.Variable]) -> None:
        """Creates the moments, and notes which variables are not decayed."""
        var_list = list(var_list)
        if not getattr(self, "_built", False):
            low = [v for v in var_list if v.shape.rank < self.exclude_rank_below]
            self.exclude_from_weight_decay(var_list=low)
        super().build(var_list)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, JSON-able."""
        return {**super().get_config(), "exclude_rank_below": self.exclude_rank_below}
