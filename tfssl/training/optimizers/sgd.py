"""Stochastic gradient descent with PyTorch's momentum and weight decay."""

from typing import Any

import tensorflow as tf

from tfssl.training.optimizers._momentum import MomentumOptimizer


@tf.keras.utils.register_keras_serializable(package="tfssl")
class SGD(MomentumOptimizer):
    """SGD as PyTorch defines it.

    `d = grad + weight_decay p; buf = momentum buf + d; p = p - lr buf`, or with Nesterov
    `p = p - lr (d + momentum buf)`. The learning rate stays outside the buffer.

    Reference:
        Sutskever et al. 2013; PyTorch's `torch.optim.SGD` documentation.
    """

    def __init__(
        self,
        learning_rate: Any,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        nesterov: bool = False,
        exclude_rank_below: int = 2,
        name: str = "SGD",
        **kwargs: Any,
    ):
        """Initialises the optimizer.

        Args:
            learning_rate: float >= 0, or a LearningRateSchedule.
            momentum: 0 <= momentum < 1.
            weight_decay: >= 0, coupled (added to the gradient).
            nesterov: look ahead by one step; needs momentum > 0.
            exclude_rank_below: no weight decay for variables of lower rank. 2, the default, leaves
                out biases and normalisation; 0 decays everything, as PyTorch does when nobody says
                otherwise.
            name: name of the optimizer.
            **kwargs: `global_clipnorm` and other arguments of the Keras base class.

        Raises:
            ValueError: a hyper-parameter out of range.
        """
        super().__init__(learning_rate, momentum, weight_decay, exclude_rank_below, name, **kwargs)
        if nesterov and momentum == 0:
            raise ValueError(f"expected momentum > 0 with nesterov. Received: momentum={momentum}.")
        self.nesterov = bool(nesterov)

    def direction(self, gradient: tf.Tensor, parameter: tf.Tensor, lr: tf.Tensor) -> tf.Tensor:
        """The gradient with weight decay."""
        return self.decayed(gradient, parameter)

    def ahead(self, step: tf.Tensor, buffer: tf.Tensor) -> tf.Tensor:
        """The buffer, or with Nesterov where the buffer will be after one more such step."""
        return step + self.momentum * buffer if self.nesterov else buffer

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, JSON-able."""
        return {**super().get_config(), "nesterov": self.nesterov}
