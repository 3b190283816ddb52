"""The steps of MINE on arrays or on a stream of batches."""

import itertools
from typing import Any, Iterable, Iterator, NamedTuple

import numpy as np
import tensorflow as tf

from tfssl import ops
from tfssl.evaluation.mutual_information.donsker_varadhan import DonskerVaradhan, cyclic_partners
from tfssl.evaluation.mutual_information.info_nce_bound import info_nce_bound
from tfssl.evaluation.mutual_information.paired_views import Pair

# Steps of one call, so that an interrupt is heard.
CHUNK = 1000
# What draws are for: parts of their keys.
_TRAIN, _HELD_OUT, _CONTRAST = 1, 2, 3
_ORDER, _PARTNERS = 0, 1
# Held-out batches of the contrastive estimate: 4096 anchors at a batch of 256.
_CONTRAST_BATCHES = 16


class Bounds(NamedTuple):
    """The bound of every batch in nats.

    Attributes:
        train: `[steps]` float32, of the batches that trained.
        held_out: `[average_steps]` float32, one after each of the last steps.
    """

    train: np.ndarray
    held_out: np.ndarray


def array_steps(
    estimator: DonskerVaradhan,
    train: Pair,
    held_out: Pair,
    *,
    steps: int,
    average_steps: int,
    batch_size: int,
    seed: int,
) -> Bounds:
    """Trains on rows of arrays, a loop of 1000 steps in a graph at a time.

    Args:
        estimator: what is trained.
        train, held_out: views; each set is walked in a new keyed order every epoch, in whole
            batches.
        steps: >= 1. average_steps: 1..steps.
        batch_size: rows of a batch; a smaller set is one batch.
        seed: of all draws.

    Raises:
        ValueError: bounds that are not finite.
    """
    training = _Walk(train, batch_size, ops.fold_key(seed, _TRAIN))
    testing = _Walk(held_out, batch_size, ops.fold_key(seed, _HELD_OUT))
    first_test = steps - average_steps

    def step(number, orders, arrays):
        order, batch = training.batch(number, orders[0])
        bound = estimator.update(*batch)

        def test():
            test_order, test_batch = testing.batch(number - first_test, orders[1])
            return test_order, estimator.bound(*test_batch)

        test_order, test_bound = tf.cond(number >= first_test, test, lambda: (orders[1], 0.0))
        place = tf.cast(number % CHUNK, tf.int32)
        arrays = arrays[0].write(place, bound), arrays[1].write(place, test_bound)
        return number + 1, (order, test_order), arrays

    # Without autograph: rewriting every function on the way takes longer than a thousand steps of
    # a small critic.
    @tf.function(autograph=False)
    def run(start, stop, orders):
        size = tf.cast(stop - start, tf.int32)
        arrays = tf.TensorArray(tf.float32, size), tf.TensorArray(tf.float32, size)
        # One step at a time: they share the weights.
        _, orders, arrays = tf.while_loop(
            lambda number, *_: number < stop,
            step,
            (start, orders, arrays),
            parallel_iterations=1,
        )
        return orders, arrays[0].stack(), arrays[1].stack()

    parts = []
    orders = training.no_order(), testing.no_order()
    for start in range(0, steps, CHUNK):
        ends = (tf.constant(n, tf.int64) for n in (start, min(start + CHUNK, steps)))
        orders, *bounds = run(*ends, orders)
        parts.append(Bounds(*(values.numpy() for values in bounds)))
        _check_finite(parts[-1], start)
    trained, tested = (np.concatenate(arrays) for arrays in zip(*parts))
    return Bounds(trained, tested[first_test:])


def batch_steps(
    estimator: DonskerVaradhan,
    train: Iterator[Pair],
    held_out: Iterator[Pair],
    *,
    steps: int,
    average_steps: int,
    seed: int,
) -> Bounds:
    """Trains on batches as they come, one traced call a step.

    Args:
        estimator: what is trained.
        train, held_out: endless batches of any number of rows >= 2.
        steps: >= 1. average_steps: 1..steps.
        seed: of the marginal pairs.

    Raises:
        ValueError: bounds that are not finite.
    """
    ahead = next(train)
    train = itertools.chain([ahead], train)
    signature = [tf.TensorSpec([None, *view.shape[1:]], view.dtype) for view in ahead]
    signature.append(tf.TensorSpec([None], tf.int32))
    update = tf.function(estimator.update, input_signature=signature, autograph=False)
    bound = tf.function(estimator.bound, input_signature=signature, autograph=False)

    def with_partners(pair: Pair, purpose: int, number: int):
        number = tf.constant(number, tf.int64)
        return (*pair, _partners(ops.fold_key(seed, purpose), number, len(pair.first)))

    trained, tested = [], []
    for step in range(steps):
        trained.append(float(update(*with_partners(next(train), _TRAIN, step))))
        number = step - (steps - average_steps)
        if number >= 0:
            tested.append(float(bound(*with_partners(next(held_out), _HELD_OUT, number))))
        _check_finite(Bounds(np.array(trained[-1:]), np.array(tested[-1:])), step)
    return Bounds(np.array(trained, np.float32), np.array(tested, np.float32))


def contrast(
    estimator: DonskerVaradhan, batches: Iterable[Pair], num_negatives: int, seed: int
) -> dict[str, Any]:
    """`info_nce_bound` of the critic on at most 16 batches.

    Args:
        estimator: trained.
        batches: held-out views. Batches with too few rows for the negatives are left out.
        num_negatives: k; at most one fewer than the first batch has.
        seed: of the marginal pairs.
    """
    logits = tf.function(estimator.logits, reduce_retracing=True, autograph=False)
    found = []
    for number, pair in enumerate(itertools.islice(batches, _CONTRAST_BATCHES)):
        rows = len(pair.first)
        num_negatives = num_negatives if number else min(num_negatives, rows - 1)
        if rows > num_negatives:
            key = ops.fold_key(seed, _CONTRAST, number)
            found.append(logits(*pair, cyclic_partners(key, rows, num_negatives)))
    return info_nce_bound(found, positive="first")


@tf.function(autograph=False)
def _partners(key: tf.Tensor, number: tf.Tensor, rows: int) -> tf.Tensor:
    """The partners of batch `number`, traced once for a number of rows."""
    return cyclic_partners(ops.fold_key(key, _PARTNERS, number), rows)[:, 0]


class _Walk:
    """Batches of arrays: which rows step 0, 1, ... has, as a function of the key alone."""

    def __init__(self, pair: Pair, batch_size: int, key: tf.Tensor):
        self._pair = pair
        self._rows = len(pair.first)
        self._batch_size = min(batch_size, self._rows)
        self._batches = self._rows // self._batch_size
        self._order_key = ops.fold_key(key, _ORDER)
        self._partner_key = ops.fold_key(key, _PARTNERS)

    def no_order(self) -> tf.Tensor:
        """What step 0 takes as the order before it."""
        return tf.zeros([self._rows], tf.int32)

    def batch(self, step: tf.Tensor, order: tf.Tensor):
        """The order of a step's epoch; and its first views, second views and partners.

        Args:
            step: int64 scalar.
            order: what the step before returned; sorting all rows again in each step would take
                longer than the step.
        """
        order = tf.cond(step % self._batches == 0, lambda: self._order(step), lambda: order)
        begin = tf.cast(step % self._batches, tf.int32) * self._batch_size
        rows = tf.slice(order, [begin], [self._batch_size])
        partners = cyclic_partners(ops.fold_key(self._partner_key, step), self._batch_size)
        return order, (*(tf.gather(view, rows) for view in self._pair), partners[:, 0])

    def _order(self, step: tf.Tensor) -> tf.Tensor:
        """The order of all rows in the epoch that a step belongs to."""
        epoch = step // self._batches
        return ops.keyed_permutations(ops.fold_key(self._order_key, epoch), self._rows)


def _check_finite(bounds: Bounds, start: int) -> None:
    """Raises ValueError where a bound is NaN or infinite."""
    for name, values in bounds._asdict().items():
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise ValueError(
                "expected finite views, and a learning rate at which the critic stays finite. "
                f"Received: a {name} bound of {values[bad[0]]} in step {start + bad[0]}."
            )
