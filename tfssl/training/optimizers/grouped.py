"""Variables in groups, each with an optimizer of its own behind the face of one."""

from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import tensorflow as tf


class GroupedOptimizer(tf.keras.optimizers.Optimizer):
    """Gives each gradient to the optimizer of its variable's group.

    A group's optimizer counts the steps that update the group, so that Adam's bias correction is
    right also where groups are updated in turns. What is said of all gradients together, their sum
    over replicas and the largest norm, is done here, before they are divided.

    Args:
        rest: updates all variables that are in no group; a Keras optimizer, or one of
            tensorflow-addons with a `build(variables)`. It must not clip by a norm.
        groups: pairs of another such optimizer and the variables it updates.
        clip_norm: largest norm of all gradients of a step together, > 0; None: any.
        name: name of the optimizer.

    Attributes:
        optimizers: `rest`, and those of the groups in their order.
        iterations: calls that updated anything; a loss scaler counts those that it skips too.

    Raises:
        ValueError: a variable in two groups, or a norm that is not positive.
    """

    def __init__(
        self,
        rest: Any,
        groups: Sequence[Tuple[Any, Iterable[tf.Variable]]],
        *,
        clip_norm: Optional[float] = None,
        name: str = "grouped",
    ):
        """Notes which variable belongs to which optimizer."""
        super().__init__(name=name, jit_compile=False)
        if clip_norm is not None and not clip_norm > 0:
            raise ValueError(f"expected clip_norm > 0 or None. Received: clip_norm={clip_norm}.")
        self.optimizers = [rest, *(optimizer for optimizer, _ in groups)]
        self._clip_norm = clip_norm
        places: Dict[Any, int] = {}
        for place, (_, variables) in enumerate(groups, start=1):
            for variable in variables:
                if places.setdefault(self._var_key(variable), place) != place:
                    raise ValueError(
                        f"groups: expected every variable in one group. Received: {variable.name} "
                        "in two."
                    )
        # Behind a function Keras does not look for variables in it.
        self._place = lambda variable: places.get(self._var_key(variable), 0)

    def build(self, var_list: Iterable[tf.Variable]) -> None:
        """Makes the slots of all optimizers; what exists stays."""
        for optimizer, own in self._divide((variable, variable) for variable in var_list):
            optimizer.build([variable for variable, _ in own])

    def apply_gradients(
        self,
        grads_and_vars: Iterable[Tuple[Any, tf.Variable]],
        name: Optional[str] = None,
        skip_gradients_aggregation: bool = False,
        **kwargs: Any,
    ) -> tf.Variable:
        """One update from `(gradient, variable)` pairs; a gradient of None leaves its variable.

        Args:
            grads_and_vars: the pairs.
            name: of the operations.
            skip_gradients_aggregation: the gradients are sums over the replicas already.
            **kwargs: `experimental_aggregate_gradients`, the same the other way round.

        Returns:
            `iterations`.

        Raises:
            ValueError: no gradient at all.
        """
        pairs = [(gradient, v) for gradient, v in grads_and_vars if gradient is not None]
        if not pairs:
            raise ValueError("grads_and_vars: expected a gradient. Received: none of any variable.")
        if not skip_gradients_aggregation and kwargs.get("experimental_aggregate_gradients", True):
            pairs = self.aggregate_gradients(pairs)
        if self._clip_norm is not None:
            gradients, variables = zip(*pairs)
            pairs = zip(tf.clip_by_global_norm(gradients, self._clip_norm)[0], variables)
        for optimizer, own in self._divide(pairs):
            optimizer.apply_gradients(own, name=name, experimental_aggregate_gradients=False)
        # Keras' own update of no variable: it counts the step, in the way of the strategy.
        return self._internal_apply_gradients([])

    @property
    def variables(self) -> List[tf.Variable]:
        """The step count, and the variables of all optimizers."""
        found = [self.iterations]
        for optimizer in self.optimizers:
            own = optimizer.variables
            found += own() if callable(own) else own
        return found

    @property
    def learning_rate(self) -> Any:
        """That of the variables in no group."""
        return self.optimizers[0].learning_rate

    def get_config(self) -> Dict[str, Any]:
        """There is none, because groups name variables of a model; raises ValueError."""
        raise ValueError(
            "GroupedOptimizer cannot be written into a configuration, because its groups are "
            "variables of a model. Remedy: build the optimizer again."
        )

    def _divide(self, pairs: Iterable[Tuple[Any, tf.Variable]]) -> List[Tuple[Any, List]]:
        """The optimizers that have something to do, each with its pairs."""
        own: List[List] = [[] for _ in self.optimizers]
        for value, variable in pairs:
            own[self._place(variable)].append((value, variable))
        return [(optimizer, part) for optimizer, part in zip(self.optimizers, own) if part]
