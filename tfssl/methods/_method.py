"""The order of one optimisation step, which every method shares.

    before_forward -> compute (forward, loss) -> gradients -> after_pass -> optimizer -> after_step
    -> step + 1

A method subclasses `Method`, builds its networks in `__init__` and writes `compute`. It never
sees the optimizer, the data source or the run directory.
"""

from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np
import tensorflow as tf
from absl import logging

from tfssl.methods._description import Description
from tfssl.methods._plan import Batch, Extract, Logs, Plan
from tfssl.methods._train_function import TrainFunction
from tfssl.settings import Settings, SettingsError


class Method(Description, tf.keras.Model):
    """A self-supervised method: a Keras model whose `train_step` is one optimisation step.

    Subclasses say what they are (see `Description`), build all variables in `__init__`, and write
    `compute`. `fit` works after `compile(optimizer=...)`; `tfssl.training` adds exact resume and
    reporting.

    Attributes:
        global_step: int64 scalar, optimizer steps done. Every schedule follows it.
        first_nonfinite_step: int64 scalar, the first step with a NaN or Inf loss, else -1.
    """

    def __init__(self, settings: Settings, plan: Plan):
        super().__init__(name=type(self).__name__.lower())
        self.check_plan(settings, plan)
        self.settings = settings
        self.plan = plan
        self.global_step = _counter(0, "global_step")
        self.first_nonfinite_step = _counter(-1, "first_nonfinite_step")
        self._phase: Optional[str] = None
        self._logs: Dict[str, tf.keras.metrics.Mean] = {}

    # Between epochs.

    def start_epoch(self, epoch: int, extract: Extract) -> None:
        """What happens between two epochs, before the first step of `epoch`: a clustering.

        It is not called where a run continues in the middle of an epoch, and must give the same
        whenever it is called at a step.

        Args:
            epoch: 0 before the first step of the run.
            extract: runs a network on the evaluation view of every record, in inference mode.
        """

    def record_order(self, epoch: int, records: np.ndarray) -> Optional[np.ndarray]:
        """The records that an epoch visits, where the method chooses; asked after `start_epoch`.

        It must be the same whenever it is asked in the middle of an epoch, so that a continued run
        sees the same: it may depend on the seed, and on state that only `start_epoch` writes.

        Args:
            epoch: from 0.
            records: `[M]` int64, ascending, the records that can be read.

        Returns:
            `[M]` int64, some of `records`, as often and in the order in which they are visited; or
            None for each once, in random order.
        """
        del epoch, records

    # The parts of a step.

    def before_forward(self) -> None:
        """State that moves before the forward pass: a teacher of MIRA or MoCo."""

    def compute(self, batch: Batch) -> Tuple[tf.Tensor, Logs]:
        """The loss, a mean over this replica's rows, and a scalar for each name in `statistics`.

        None stands for a scalar that this phase does not have. A scalar named "loss" is logged in
        place of the loss.
        """
        raise AttributeError(f"{type(self).__name__} must write compute.")

    def compute_and_keep(self, batch: Batch) -> Tuple[tf.Tensor, Logs, Any]:
        """`compute`, and what `after_pass` needs of it; no bank or queue is written yet."""
        return (*self.compute(batch), None)

    def after_pass(self, batch: Batch, kept: Any) -> Logs:
        """State that every part of a batch moves, once its gradient is known: a bank, a queue.

        Returns:
            Scalars for names in `statistics` that `compute` has not given.
        """
        del batch, kept
        return {}

    def after_step(self) -> None:
        """State that moves after the optimizer: a teacher of BYOL."""

    def phase(self, step: int) -> str:
        """The name of the training phase of a step; each phase is one traced function."""
        del step
        return "all"

    @property
    def current_phase(self) -> str:
        """The phase of the step at work, for `compute` to ask at its beginning."""
        if self._phase is not None:
            return self._phase
        with tf.init_scope():
            return self.phase(int(self.global_step.numpy()))

    def variables_in(self, phase: str) -> List[tf.Variable]:
        """The variables which the optimizer updates in a phase."""
        del phase
        return self.trainable_variables

    # The step itself.

    def fit(self, *arguments: Any, **options: Any) -> tf.keras.callbacks.History:
        """Keras' own, which never calls `start_epoch`."""
        if type(self).start_epoch is not Method.start_epoch:
            logging.warning(
                "fit does not call start_epoch, in which %s may embed and cluster all images: call "
                "it before every epoch, or use tools/train.py.",
                type(self).__name__,
            )
        return super().fit(*arguments, **options)

    def compile(self, optimizer: Any, **options: Any) -> None:
        """Keras' own, and the optimizer learns which variables have no momentum.

        A method that is only a part of another one is not compiled.

        Raises:
            SettingsError: an optimizer that cannot do without momentum for some variables.
        """
        super().compile(optimizer=optimizer, **options)
        self._logs = {n: tf.keras.metrics.Mean(n) for n in ("loss", *self.statistics)}
        if self.variables_without_momentum:
            inner = getattr(optimizer, "inner_optimizer", optimizer)
            if not hasattr(inner, "exclude_from_momentum"):
                raise SettingsError(
                    f"method {type(self).__name__}: expected an optimizer whose momentum can be "
                    f"left out for the classifier. Received: {type(inner).__name__}. Remedy: "
                    "--optimizer=sgd."
                )
            inner.exclude_from_momentum(self.variables_without_momentum)

    def make_train_function(self, force: bool = False, parts: int = 1) -> Callable[[Any], Logs]:
        """The function `iterator -> logs` of one step, for `fit` and for `tfssl.training`."""
        if self.train_function is None or self.train_function.parts != parts or force:
            self.train_function = TrainFunction(self, parts)
        self.train_function.follow()
        return self.train_function

    def train_step(self, batch: Batch) -> Logs:
        """One whole optimisation step on one replica; returns the running means of the logs.

        It is of the phase the method is in when this is run or traced: a program traced from it
        keeps that phase, while `make_train_function` changes programs with the phase.
        """
        self.micro_step(batch, phase=self.current_phase)
        return {name: metric.result() for name, metric in self._logs.items()}

    def micro_step(
        self,
        batch: Batch,
        *,
        phase: str,
        sums: Optional[List[tf.Variable]] = None,
        part: int = 0,
        parts: int = 1,
    ) -> None:
        """Part `part` of an optimisation step whose batch comes in `parts` parts, on one replica.

        Args:
            batch: `{"views", "patches"?, "index", "label"?, "labelled"?}`, this replica's rows of
                this part.
            phase: see `phase`; chosen by the host, so the traced program has no branch on it.
            sums: replica-local gradient sums in the order of `variables_in(phase)`, for parts > 1.
            part, parts: Python integers.
        """
        self._phase = phase
        if part == 0:
            self.before_forward()
        variables = self.variables_in(phase)
        with tf.GradientTape() as tape:
            loss, logs, kept = self.compute_and_keep(batch)
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            # The optimizer sums over replicas; the loss is a mean over the global batch.
            objective = loss / (replicas * parts)
            if self._scales_loss:
                objective = self.optimizer.get_scaled_loss(objective)
        self._watch(loss)
        gradients = tape.gradient(objective, variables)
        logs = {**logs, **self.after_pass(batch, kept)}
        if parts > 1:
            gradients = _add_up(gradients, sums, fresh=part == 0)
        if part == parts - 1:
            if self._scales_loss:
                gradients = self.optimizer.get_unscaled_gradients(gradients)
            self.optimizer.apply_gradients(zip(gradients, variables))
            self.after_step()
            self.global_step.assign_add(1)
        self._log({"loss": loss, **logs})
        self._phase = None

    @property
    def logged(self) -> List[str]:
        """The names of the running means that have a value: some are of one phase alone."""
        return [name for name, metric in self._logs.items() if float(metric.count.numpy()) > 0]

    @property
    def metrics(self) -> List[tf.keras.metrics.Metric]:
        """The running means of the loss and the statistics."""
        return list(self._logs.values())

    @property
    def _scales_loss(self) -> bool:
        return isinstance(self.optimizer, tf.keras.mixed_precision.LossScaleOptimizer)

    def _watch(self, loss: tf.Tensor) -> None:
        """Remembers the first step whose loss is NaN or Inf, without stopping the program."""
        first = tf.logical_and(self.first_nonfinite_step < 0, ~tf.math.is_finite(loss))
        self.first_nonfinite_step.assign(
            tf.where(first, self.global_step, self.first_nonfinite_step)
        )

    def _log(self, values: Logs) -> None:
        if set(values) != set(self._logs):
            raise ValueError(f"logs: expected {sorted(self._logs)}. Received: {sorted(values)}.")
        for name, value in values.items():
            if value is not None:
                self._logs[name].update_state(value)


def _counter(start: int, name: str) -> tf.Variable:
    """An int64 scalar that every replica moves alike and that holds one value."""
    return tf.Variable(
        start,
        dtype=tf.int64,
        trainable=False,
        name=name,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )


def _add_up(gradients: List, sums: List[tf.Variable], *, fresh: bool) -> List[tf.Tensor]:
    """Adds dense gradients to their sums (`fresh` starts them anew) and returns the sums."""
    for total, gradient in zip(sums, gradients):
        gradient = tf.convert_to_tensor(gradient)
        total.assign(gradient) if fresh else total.assign_add(gradient)
    return [tf.convert_to_tensor(total) for total in sums]
