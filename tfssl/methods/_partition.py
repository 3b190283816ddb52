"""The partition sums of noise-contrastive estimation, which a run's first batch decides."""

import math
from typing import Callable, Sequence

import tensorflow as tf

from tfssl import ops
from tfssl.settings import SettingsError


class Partition(tf.keras.layers.Layer):
    """Z, constants of a run from its first batch on, or moving averages that start there.

    NPID, Wu et al. 2018, arXiv 1805.01978, Eq. 7; CMC, Tian et al. 2020, arXiv 1906.05849, code.

    Args:
        shape: of Z: one number, or one for each direction of a loss.
        momentum: 0 keeps the first batch's; otherwise Z <- momentum Z + (1 - momentum) estimate
            after every batch.

    Attributes:
        value: variable, 0 until the first batch has been seen.
    """

    def __init__(self, shape: Sequence[int] = (), *, momentum: float = 0.0):
        """Makes the variable."""
        super().__init__(name="partition")
        self.momentum = momentum
        self.value = tf.Variable(
            tf.zeros(shape, tf.keras.backend.floatx()),
            trainable=False,
            name="value",
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def sums(self, estimate: Callable[[], tf.Tensor]) -> tf.Tensor:
        """Z for this batch; `estimate` makes that of this replica's rows, where it is the first.

        An estimate of 0 says that the batch has no rows for it, and leaves Z open.
        """
        old = tf.convert_to_tensor(self.value)
        known = tf.reduce_all(old > 0)
        # Later batches need not score their negatives for it.
        own = tf.cond(known, lambda: tf.zeros_like(old), lambda: tf.cast(estimate(), old.dtype))
        z = tf.where(old > 0, old, _mean_of_replicas(own))
        self.value.assign(z)
        return z

    def follow(self, estimate: Callable[[], tf.Tensor]) -> None:
        """Moves the averages, if they move, towards the estimate of this replica's rows."""
        if self.momentum:
            old = tf.convert_to_tensor(self.value)
            now = _mean_of_replicas(tf.cast(estimate(), old.dtype))
            moved = self.momentum * old + (1 - self.momentum) * now
            self.value.assign(tf.where(now > 0, moved, old))


def check_temperature(temperature: float, num_records: int) -> None:
    """Raises SettingsError where Z could be larger than a float32 number."""
    largest = math.log(tf.float32.max) - math.log(num_records)
    if 1 / temperature > largest:
        raise SettingsError(
            f"temperature: expected at least {1 / largest:.2g} with loss nce and {num_records} "
            f"images. Received: {temperature:g}. Remedy: loss softmax.",
            "temperature",
        )


def _mean_of_replicas(own: tf.Tensor) -> tf.Tensor:
    """The mean of what the replicas have."""
    return tf.reduce_mean(ops.cross_replica_concat(own[tf.newaxis]), axis=0)
