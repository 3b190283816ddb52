"""The Donsker-Varadhan bound on mutual information, and the steps that raise it."""

import math
from typing import Any

import tensorflow as tf

from tfssl import ops

# exp of it, summed over a batch, has to stay finite in float32.
_LARGEST_CLIP = 80.0


class DonskerVaradhan(tf.Module):
    """E_joint[T] - log E_marginal[exp T], which is at most I(v1; v2) for every critic T.

    Marginal pairs are made within a batch: v2 of another row. In the gradient the log term's
    denominator, the batch mean of exp T, is replaced by its exponential moving average, because
    the mean of a batch makes the gradient of the logarithm biased:
    grad = E_joint[grad T] - E_marginal[exp(T) grad T] / average.
    The average starts at 0 and is divided by 1 - (1 - ema_rate)^t after t batches, so that it is
    a weighted mean of the batches seen, the present one included.

    Args:
        critic: has `encode(first, second)` and `score(first, second) -> [batch]` as `MineCritic`,
            and `trainable_variables`.
        optimizer: a Keras optimizer; it belongs to this object alone.
        ema_rate: in (0, 1], the weight of a new batch in the average. 1 gives the gradient of the
            batch's own bound.
        clip: in (0, 80]; T is cut to [-clip, clip] everywhere, and has no gradient beyond.

    Raises:
        ValueError: a number out of range.

    Reference:
        MINE, Belghazi et al. 2018, arXiv 1801.04062, section 3.2 and Algorithm 1.
    """

    def __init__(
        self,
        critic: Any,
        optimizer: tf.keras.optimizers.Optimizer,
        *,
        ema_rate: float = 0.01,
        clip: float = 20.0,
    ):
        """Makes the state: the average, and what the optimizer keeps."""
        super().__init__(name="donsker_varadhan")
        if not 0 < ema_rate <= 1:
            raise ValueError(f"expected ema_rate in (0, 1]. Received: ema_rate={ema_rate}.")
        if not 0 < clip <= _LARGEST_CLIP:
            raise ValueError(f"expected clip in (0, {_LARGEST_CLIP:g}]. Received: clip={clip}.")
        self.critic = critic
        self._optimizer = optimizer
        optimizer.build(critic.trainable_variables)
        # log(1 - rate), with which 1 - (1 - rate)^t keeps its digits.
        self._log_decay = math.log1p(-ema_rate) if ema_rate < 1 else -math.inf
        self._rate = ema_rate
        self._clip = clip
        self._average = tf.Variable(0.0, trainable=False, name="average")
        self._batches = tf.Variable(0, trainable=False, dtype=tf.int64, name="batches")

    def update(self, first: tf.Tensor, second: tf.Tensor, partners: tf.Tensor) -> tf.Tensor:
        """One step of the optimizer on a batch.

        Args:
            first: `[batch, ...]`, the first views.
            second: `[batch, ...]`, the second views, row i of the same scene as row i of `first`.
            partners: `[batch]` integers, the row of `second` that makes the marginal pair with
                each row of `first`.

        Returns:
            The batch's bound before the step, in nats.
        """
        variables = self.critic.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            joint, marginal = self._scores(first, second, partners)
            mean = tf.reduce_mean(tf.exp(marginal))
            # Not the bound; its gradient is what the class describes.
            loss = mean / self._average_with(tf.stop_gradient(mean)) - tf.reduce_mean(joint)
        self._optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return _bound(joint, marginal)

    def bound(self, first: tf.Tensor, second: tf.Tensor, partners: tf.Tensor) -> tf.Tensor:
        """The bound on a batch in nats; changes nothing. Arguments as for `update`."""
        return _bound(*self._scores(first, second, partners))

    def logits(self, first: tf.Tensor, second: tf.Tensor, partners: tf.Tensor) -> tf.Tensor:
        """T of every row's own pair and of k marginal pairs.

        Args:
            first, second: as for `update`.
            partners: `[batch, k]` integers, rows of `second`.

        Returns:
            `[batch, 1 + k]` float32, the own pair first. Cost: 1 + k times `score`.
        """
        first, second = self.critic.encode(first, second)
        own = tf.range(tf.shape(partners)[0], dtype=partners.dtype)
        columns = tf.concat([own[tf.newaxis], tf.transpose(partners)], axis=0)
        scores = tf.map_fn(
            lambda rows: self._score(first, tf.gather(second, rows)),
            columns,
            fn_output_signature=tf.float32,
        )
        return tf.transpose(scores)

    def _score(self, first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(self.critic.score(first, second), -self._clip, self._clip)

    def _scores(self, first, second, partners) -> tuple[tf.Tensor, tf.Tensor]:
        """T of the joint and of the marginal pairs, each view encoded once."""
        first, second = self.critic.encode(first, second)
        # One call on both halves: the batch is small for a convolution.
        scores = self._score(
            tf.concat([first, first], axis=0),
            tf.concat([second, tf.gather(second, partners)], axis=0),
        )
        joint, marginal = tf.split(scores, 2)
        return joint, marginal

    def _average_with(self, mean: tf.Tensor) -> tf.Tensor:
        """Takes a batch's mean into the average and returns it, free of its start at 0."""
        average = self._average.assign_add(self._rate * (mean - self._average))
        batches = tf.cast(self._batches.assign_add(1), tf.float32)
        return average / -tf.math.expm1(batches * self._log_decay)


def cyclic_partners(key: tf.Tensor, rows: int, count: int = 1) -> tf.Tensor:
    """Other rows for every row: those that follow it in a random cycle through all rows.

    So no row is its own partner, and each column is a permutation of the rows: what it pairs has
    the right marginals, and no joint pair among them.

    Args:
        key: scalar from `ops.fold_key`.
        rows: >= 2, a Python int.
        count: partners of a row, 1..rows - 1; they are all different.

    Returns:
        `[rows, count]` int32.

    Raises:
        ValueError: count is not in 1..rows - 1.
    """
    if not 1 <= count < rows:
        raise ValueError(f"expected 1 <= count < rows. Received: count={count}, rows={rows}.")
    cycle = ops.keyed_permutations(key, rows)
    place = tf.argsort(cycle)
    return tf.gather(cycle, (place[:, tf.newaxis] + tf.range(1, count + 1)) % rows)


def _bound(joint: tf.Tensor, marginal: tf.Tensor) -> tf.Tensor:
    """mean T - log mean exp T."""
    rows = tf.cast(tf.shape(marginal)[0], marginal.dtype)
    return tf.reduce_mean(joint) - (tf.reduce_logsumexp(marginal) - tf.math.log(rows))
