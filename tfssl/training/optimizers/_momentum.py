"""What LARS and SGD share: PyTorch's momentum buffer, and which variables are excluded."""

import math
from typing import Any, Iterable

import tensorflow as tf


class MomentumOptimizer(tf.keras.optimizers.Optimizer):
    """Momentum with the learning rate outside the buffer, as PyTorch has it.

    `buf = momentum buf + d; p = p - lr buf`. Keras' own SGD keeps the learning rate inside the
    buffer, which is another trajectory as soon as the rate changes. The buffer starts at zero, so
    the first step has `buf = d`, like PyTorch's.

    Subclasses write `direction`. All arithmetic is float32 or wider. A sparse gradient is made
    dense first: norms, decay and the buffer need the whole tensor. Build with all variables
    (`build(model.trainable_variables)`) where some steps will leave out some of them; what is
    left out stays as it is, its buffer included.

    Args:
        learning_rate: float >= 0, or a LearningRateSchedule.
        momentum: 0 <= momentum < 1.
        weight_decay: >= 0, added to the gradient (coupled), times the variable.
        exclude_rank_below: variables of lower rank have no weight decay; 0 excludes none, 2 means
            biases and normalisation.
        name: name of the optimizer.
        **kwargs: arguments of the base class, such as `global_clipnorm`.
    """

    def __init__(
        self,
        learning_rate: Any,
        momentum: float,
        weight_decay: float,
        exclude_rank_below: int,
        name: str,
        **kwargs: Any,
    ):
        _check(learning_rate, momentum, weight_decay, exclude_rank_below)
        # Any number in the base class' weight_decay, even 0, makes it apply decoupled decay.
        kwargs.update(weight_decay=None)
        # The update is bound by memory and XLA is slow on CPU; a compiled step compiles it anyway.
        kwargs.setdefault("jit_compile", False)
        super().__init__(name=name, **kwargs)
        self._learning_rate = self._build_learning_rate(learning_rate)
        self.momentum = float(momentum)
        self.coupled_weight_decay = float(weight_decay)
        self.exclude_rank_below = int(exclude_rank_below)
        self._held_rates: dict[Any, float] = {}
        self._without_momentum: frozenset = frozenset()

    def hold_learning_rate(self, variables: Iterable[tf.Variable], rate: float) -> None:
        """Gives some variables a constant learning rate, whatever the schedule says.

        It is no part of the optimizer's configuration, because it names variables of a model.

        Args:
            variables: the variables.
            rate: >= 0.

        Raises:
            ValueError: the rate is negative or not finite.
        """
        _check(rate, 0, 0, 0)
        self._held_rates.update({self._var_key(variable): float(rate) for variable in variables})

    def exclude_from_momentum(self, var_list: Iterable[tf.Variable]) -> None:
        """Updates these variables as an optimizer of momentum 0 would; no others from now on."""
        self._without_momentum = frozenset(map(self._var_key, var_list))

    def build(self, var_list: Iterable[tf.Variable]) -> None:
        """Creates one zero buffer a variable; a second call does nothing."""
        var_list = list(var_list)
        super().build(var_list)
        if getattr(self, "_built", False):
            return
        self.momentums = [self.add_variable_from_reference(v, "momentum") for v in var_list]
        self._built = True

    def apply_gradients(
        self, grads_and_vars: Iterable[tuple[Any, tf.Variable]], name: Any = None, **kwargs: Any
    ) -> tf.Variable:
        """One update from `(gradient, variable)` pairs; a gradient of None leaves its variable."""
        dense = [(_densify(gradient), variable) for gradient, variable in grads_and_vars]
        return super().apply_gradients(dense, name=name, **kwargs)

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        """Updates one variable and its buffer from its aggregated gradient."""
        key = self._var_key(variable)
        dtype = tf.float64 if variable.dtype == tf.float64 else tf.float32
        gradient = tf.cast(gradient, dtype)
        lr = tf.cast(self._held_rates.get(key, self.learning_rate), dtype)
        step = self.direction(gradient, tf.cast(variable, dtype), lr)
        if key not in self._without_momentum:
            buffer = self.momentums[self._index_dict[key]]
            new = self.momentum * tf.cast(buffer, dtype) + step
            buffer.assign(tf.cast(new, buffer.dtype))
            step = self.ahead(step, new)
        variable.assign_sub(tf.cast(lr * step, variable.dtype))

    def direction(self, gradient: tf.Tensor, parameter: tf.Tensor, lr: tf.Tensor) -> tf.Tensor:
        """What enters the buffer: the gradient with decay and whatever the optimizer adds."""
        raise NotImplementedError(f"{type(self).__name__} must write direction.")

    def ahead(self, step: tf.Tensor, buffer: tf.Tensor) -> tf.Tensor:
        """What the learning rate multiplies; the new buffer unless Nesterov looks ahead."""
        del step
        return buffer

    def excludes(self, parameter: tf.Tensor) -> bool:
        """Whether a variable is left out of weight decay (and of adaptation, in LARS)."""
        return parameter.shape.rank < self.exclude_rank_below

    def decayed(self, gradient: tf.Tensor, parameter: tf.Tensor) -> tf.Tensor:
        """`gradient + weight_decay parameter`; the gradient itself where nothing is to be added."""
        if self.coupled_weight_decay == 0.0 or self.excludes(parameter):
            return gradient
        return gradient + self.coupled_weight_decay * parameter

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, JSON-able; `from_config` makes the same optimizer again."""
        config = super().get_config()
        config.update(
            learning_rate=self._serialize_hyperparameter(self._learning_rate),
            momentum=self.momentum,
            weight_decay=self.coupled_weight_decay,
            exclude_rank_below=self.exclude_rank_below,
        )
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The optimizer behind `get_config`."""
        return super().from_config(dict(config), custom_objects=custom_objects)


def _densify(gradient: Any) -> Any:
    """A dense tensor from an IndexedSlices; repeated indices are added up."""
    return tf.convert_to_tensor(gradient) if isinstance(gradient, tf.IndexedSlices) else gradient


def _check(learning_rate: Any, momentum: float, weight_decay: float, exclude: int) -> None:
    """Raises ValueError on hyper-parameters out of range."""
    is_number = isinstance(learning_rate, (int, float))
    if is_number and not (math.isfinite(learning_rate) and learning_rate >= 0):
        raise ValueError(f"expected learning_rate >= 0. Received: learning_rate={learning_rate}.")
    if not 0 <= momentum < 1:
        raise ValueError(f"expected 0 <= momentum < 1. Received: momentum={momentum}.")
    if not (math.isfinite(weight_decay) and weight_decay >= 0):
        raise ValueError(f"expected weight_decay >= 0. Received: weight_decay={weight_decay}.")
    if not 0 <= exclude <= 2:
        raise ValueError(
            "expected exclude_rank_below 0 (no exclusion), 1 or 2 (biases and normalisation). "
            f"Received: exclude_rank_below={exclude}."
        )
