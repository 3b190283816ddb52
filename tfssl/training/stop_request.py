"""SIGTERM and SIGINT as a wish that the loop grants after saving, in all processes at once."""

import signal
from typing import List

import tensorflow as tf
from absl import logging


class StopRequest:
    """Notices SIGTERM and SIGINT while it is entered.

    Several workers must stop at the same step, because saving is work they do together. They ask
    each other every few steps; a single process stops at once.
    """

    def __init__(self, strategy: tf.distribute.Strategy, every: int):
        """Args:
        strategy: where the replicas are.
        every: steps between two questions to the other workers.
        """
        self._asked = False
        self._before: List = []
        self._every = every
        self._sum_over_workers = None
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            self._sum_over_workers = _summing(strategy)

    def agreed(self, step: int) -> bool:
        """Whether to stop after this step; every worker must ask, and hears the same."""
        if self._sum_over_workers is None:
            return self._asked
        return step % self._every == 0 and self._sum_over_workers(self._asked) > 0

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before.append((number, signal.signal(number, self._ask)))
        return self

    def __exit__(self, *_):
        for number, handler in self._before:
            signal.signal(number, handler)

    def _ask(self, number, frame) -> None:
        del frame
        logging.warning("Received signal %d: saving, then ending.", number)
        self._asked = True


def _summing(strategy: tf.distribute.Strategy):
    """A function of this worker's flag: how many replicas of all workers have it set."""

    @tf.function(autograph=False)
    def total(flag):
        mine = strategy.run(lambda: tf.identity(flag))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, mine, axis=None)

    return lambda asked: int(total(tf.constant(float(asked))))
