"""Where the training loop takes its batches from."""

from typing import Any, Optional

from tfssl.training.experiment import Experiment


class Stream:
    """The training batches of a run from any step on.

    One iterator serves the whole run, unless the method orders the records of an epoch: then that
    epoch has an iterator of its own, made when the method has started the epoch.
    """

    def __init__(self, experiment: Experiment):
        """Reads nothing yet."""
        self._experiment = experiment
        self._iterator: Optional[Any] = None
        self._ordered = False

    def at(self, step: int) -> Any:
        """The iterator whose next batch is that of a step.

        Args:
            step: the first one asked for, then one more at every call. Call it after the method's
                `start_epoch`, where an epoch starts with this step.
        """
        method, plan = self._experiment.method, self._experiment.plan
        epoch, done = divmod(step, plan.steps_per_epoch)
        if self._iterator is None or done == 0:
            order = method.record_order(epoch, self._experiment.train.drawable)
            if self._iterator is None or self._ordered or order is not None:
                self._iterator = iter(self._experiment.batches(step, order))
            self._ordered = order is not None
        return self._iterator
