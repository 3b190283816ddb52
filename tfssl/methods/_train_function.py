"""One optimisation step as the host calls it: chooses the phase, traces once, runs on replicas."""

from typing import Any, Callable, Dict, List, Tuple

import tensorflow as tf


def train_function(method, parts: int = 1) -> Callable[[Any], Dict[str, tf.Tensor]]:
    """The function `iterator -> logs` that makes one optimisation step.

    The host picks the program of a step by its phase and by the part of the batch, so no traced
    program branches around the optimizer: a branch there fails under several replicas.

    Args:
        method: a compiled `Method`.
        parts: micro-batches in a step; each is one element of the iterator.

    Returns:
        A function of an iterator over batches (distributed where the method is), which returns
        the running means of the method's logs.
    """
    programs: Dict[Tuple[str, int], Callable] = {}
    sums: Dict[str, List[tf.Variable]] = {}
    host_step = [None]

    def program(phase: str, part: int) -> Callable:
        if (phase, part) not in programs:
            if parts > 1 and phase not in sums:
                sums[phase] = _zero_sums(method, method.variables_in(phase))
            programs[phase, part] = _program(method, phase, sums.get(phase), part, parts)
        return programs[phase, part]

    def step(iterator: Any) -> Dict[str, tf.Tensor]:
        if host_step[0] is None:
            host_step[0] = int(method.global_step.numpy())
        phase = method.phase(host_step[0])
        for part in range(parts):
            logs = program(phase, part)(next(iterator))
        host_step[0] += 1
        return logs

    return step


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
