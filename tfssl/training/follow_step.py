"""A learning rate that follows the run's own step instead of the optimizer's."""

from typing import Callable

import tensorflow as tf


class FollowStep(tf.keras.optimizers.schedules.LearningRateSchedule):
    """Makes a Keras optimizer's learning rate follow the run's own step.

    An optimizer's `iterations` count its own calls, whatever a loss scaler or a resumed run makes
    of them. They are ignored here, so the learning rate cannot get out of step with the run's
    other schedules.
    """

    def __init__(self, step_variable: tf.Variable, fn: Callable[[tf.Tensor], tf.Tensor]):
        """Initialises the schedule.

        Args:
            step_variable: int64 scalar variable, the optimisation steps done so far.
            fn: a schedule, integer tensor -> float32 scalar.
        """
        super().__init__()
        self.step_variable = step_variable
        self.fn = fn

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The learning rate of the run's current step, float32 scalar; `step` has no effect."""
        del step
        return tf.cast(self.fn(tf.convert_to_tensor(self.step_variable)), tf.float32)

    def get_config(self) -> dict:
        """A schedule tied to a live variable has no configuration; raises ValueError."""
        raise ValueError(
            "FollowStep cannot be written into a configuration, because it follows a variable of "
            "the running experiment. Remedy: build the optimizer again with build_optimizer."
        )
