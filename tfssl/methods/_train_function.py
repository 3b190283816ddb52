"""One optimisation step as the host calls it: chooses the phase, traces once, runs on replicas."""

from typing import Any, Callable, Dict, List, Tuple

import tensorflow as tf


class TrainFunction:
    """The function `iterator -> logs` that makes one optimisation step.

    The host picks the program of a step by its phase and by the part of the batch, so no traced
    program branches around the optimizer: a branch there fails under several replicas.

    Attributes:
        parts: micro-batches in a step; each is one element of the iterator.
    """

    def __init__(self, method, parts: int = 1):
        """Args:
        method: a compiled `Method`.
        parts: see above.
        """
        self.parts = parts
        self._method = method
        self._programs: Dict[Tuple[str, int], Callable] = {}
        self._sums: Dict[str, List[tf.Variable]] = {}
        self.follow()

    def follow(self) -> None:
        """Reads the method's step, which may have moved: a checkpoint was restored."""
        self._step = int(self._method.global_step.numpy())

    def __call__(self, iterator: Any) -> Dict[str, tf.Tensor]:
        """Makes a step with the next `parts` batches, distributed where the method is.

        Returns:
            The running means of the method's logs.
        """
        phase = self._method.phase(self._step)
        for part in range(self.parts):
            logs = self._program(phase, part)(next(iterator))
        self._step += 1
        return logs

    def _program(self, phase: str, part: int) -> Callable:
        """The program of one part of a step, traced when it is first called."""
        if (phase, part) not in self._programs:
            if self.parts > 1 and phase not in self._sums:
                self._sums[phase] = _zero_sums(self._method, self._method.variables_in(phase))
            self._programs[phase, part] = _program(
                self._method, phase, self._sums.get(phase), part, self.parts
            )
        return self._programs[phase, part]


def _program(method, phase: str, sums, part: int, parts: int) -> Callable:
    """The traced program of one part of a step, over all replicas."""
    strategy = method.distribute_strategy

    def on_replica(batch):
        method.micro_step(batch, phase=phase, sums=sums, part=part, parts=parts)

    def program(batch):
        strategy.run(on_replica, args=(batch,))
        return {metric.name: metric.result() for metric in method.metrics}

    if method.run_eagerly:
        return program
    # Without AutoGraph: a method's Python is plain, and tracing it is several times faster.
    return tf.function(program, autograph=False, jit_compile=bool(method.jit_compile))


def _zero_sums(method, variables: List[tf.Variable]) -> List[tf.Variable]:
    """A sum for each gradient, local to its replica: the optimizer reduces them, once."""
    with method.distribute_strategy.scope():
        return [
            tf.Variable(
                tf.zeros(v.shape, v.dtype),
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            )
            for v in variables
        ]
