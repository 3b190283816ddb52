"""The contrast of several views: every anchor against its key, in a memory of keys."""

import math
from typing import Callable, Dict, NamedTuple, Optional, Sequence, Tuple

import tensorflow as tf

from tfssl import layers, losses, ops
from tfssl.methods._bank import BankSettings
from tfssl.methods._in_batch import other_images
from tfssl.methods._multiview import shares
from tfssl.methods._partition import Partition
from tfssl.methods._plan import Plan


class Term(NamedTuple):
    """One direction of a loss.

    Attributes:
        anchor: number of the anchor among those of an image.
        key: number of the view whose key it looks for.
        weight: of its mean in the loss.
        name: for the logs.
    """

    anchor: int
    key: int
    weight: float
    name: str


class _Compared(NamedTuple):
    """What T terms gave for `[batch]` images.

    Attributes:
        losses: `[batch, T]` with gradient.
        positive: `[batch, T]` cosines. negative: `[batch, T, n]`.
        counts: `[batch, T, n]` bool, which of the n are negatives of an anchor; None: all.
    """

    losses: tf.Tensor
    positive: tf.Tensor
    negative: tf.Tensor
    counts: Optional[tf.Tensor] = None


class Draws(NamedTuple):
    """Random keys of a pass: `[batch]`, one for each image, and one that all replicas have."""

    rows: tf.Tensor
    shared: tf.Tensor


class MultiviewContrast(tf.keras.layers.Layer):
    """A bank, a queue or the batch itself as the memory of keys, and the loss against it.

    Args:
        settings: with `loss` (softmax, nce, in_batch), `memory` (bank, queue) and what they need.
        plan: the sizes of the run.
        num_views: M, views of an image.
        terms: the directions of the loss.

    Attributes:
        bank, queue: a row for every view of a record; None where it is not the memory.
        partition: Z of each term; None but with loss nce.
    """

    def __init__(self, settings: BankSettings, plan: Plan, num_views: int, terms: Sequence[Term]):
        """Makes the memory."""
        super().__init__(name="contrast")
        self._settings, self._num_records = settings, plan.num_records
        self._terms, self._places = tuple(terms), [term.key for term in terms]
        self._num_views = num_views
        shape = (num_views, settings.projection_dim)
        self.bank = self.queue = self.partition = None
        if settings.loss == "nce":
            self.partition = Partition([len(terms)], momentum=settings.partition_momentum)
        if settings.memory == "queue":
            self.queue = layers.Queue(settings.num_negatives, shape, seed=plan.seed, name="queue")
        elif settings.loss != "in_batch":
            self.bank = layers.FeatureBank(
                plan.num_records,
                shape,
                new_weight=settings.bank_weight,
                start="uniform" if settings.bank_start == "uniform" else "directions",
                seed=plan.seed,
                dtype=settings.bank_dtype,
                name="bank",
            )

    @property
    def statistics(self) -> Tuple[str, ...]:
        """Names of the logs.

        Of each term its loss; the bounds log(k + 1) - L and log(k) - L of the information that
        anchor and key share, in nats, with the loss L of a softmax over k negatives (Eq. 6); mean
        cosines with own keys and others; of loss nce Z / N, and the mean of the probability
        exp(cosine / tau) / Z that own keys have. With a bank the former are no bounds:
        late in an epoch the own row is one of few not yet written in it, and that can be told.
        """
        kinds = ["loss", "information", "information-log-k", "positive", "negative"]
        kinds += ["partition", "probability"] if self.partition is not None else []
        return tuple(f"{kind}/{term.name}" for term in self._terms for kind in kinds)

    def loss(
        self,
        anchors: tf.Tensor,
        keys: tf.Tensor,
        indices: tf.Tensor,
        draws: Draws,
        present: Optional[tf.Tensor] = None,
    ) -> Tuple[tf.Tensor, Dict[str, tf.Tensor]]:
        """The weighted sum of the terms' means, from the memory as it was before this step.

        Args:
            anchors: `[batch, anchors, dim]` unit rows with gradient; those of views come first.
            keys: `[batch, M, dim]` unit rows of the same images, read where there is no bank.
            indices: `[batch]` records.
            draws: what negatives are drawn by.
            present: `[batch, M]` bool, which views there are: each mean is over the images of the
                global batch that have both views of its term. None: all. A bank's row of a view
                that an image never has stays as it started, and is drawn as the others are.

        Returns:
            The loss, and a scalar for each name in `statistics`.
        """
        if present is not None and self.queue is not None:
            raise ValueError("present: expected None with a queue. Received: a mask of views.")
        anchors = tf.gather(anchors, [term.anchor for term in self._terms], axis=1)
        if self.bank is not None:
            keys = self.bank.rows(indices)
        # t: terms, d: dim.
        positive = tf.einsum("btd,btd->bt", anchors, tf.gather(keys, self._places, axis=1))
        pairs = [(term.anchor % self._num_views, term.key) for term in self._terms]
        share = shares(present, pairs, positive)
        if self.bank is not None and self._settings.negatives == "own":
            found = self._against_own_rows(anchors, positive, draws.rows, share)
        else:
            rows, counts = self._shared_rows(keys, draws.shared, present)
            found = self._against_shared_rows(anchors, positive, rows, counts, share)
        means = _mean(share, found.losses)
        if self.partition is not None:
            scores = found.positive, found.negative
            self.partition.follow(lambda: _mean(share, _flat(self._row_estimate(), *scores)))
        weights = tf.constant([term.weight for term in self._terms], means.dtype)
        return tf.reduce_sum(weights * means), self._logs(found, means, share)

    def remember(
        self, indices: tf.Tensor, keys: tf.Tensor, present: Optional[tf.Tensor] = None
    ) -> None:
        """Writes the batch into the memory, after losses and gradients have read it.

        Args:
            indices: `[batch]` records of this replica's rows.
            keys: `[batch, M, dim]` without gradient.
            present: as for `loss`.
        """
        if self.bank is not None:
            there = None if present is None else ops.cross_replica_concat(present)
            records, rows = ops.cross_replica_concat(indices), ops.cross_replica_concat(keys)
            self.bank.update(records, rows, there)
        if self.queue is not None:
            self.queue.enqueue(ops.cross_replica_concat(keys))

    def _against_own_rows(self, anchors, positive, keys, share) -> _Compared:
        """Each image draws entries of the bank, its own among them as in the authors' code."""
        number = self._settings.num_negatives
        drawn = ops.keyed_integers(keys, number, below=self._num_records)
        # A record's rows lie side by side: an anchor is as long as all, and 0 beside its key's.
        places = tf.one_hot(self._places, self._num_views, dtype=anchors.dtype)
        blocks = tf.einsum("btd,tv->btvd", anchors, places)
        blocks = tf.reshape(blocks, [*anchors.shape[:2], -1])
        problem = (blocks, self.bank.features, drawn, positive)
        z = self._z(lambda: _mean(share, ops.bank_losses(self._row_estimate(), *problem)[0]))
        each, negative = ops.bank_losses(self._row_loss(z), *problem)
        return _Compared(each, positive, negative)

    def _against_shared_rows(self, anchors, positive, rows, counts, share) -> _Compared:
        """All images have the same negatives: entries of the bank, the queue, or the batch."""
        negative = tf.stack(
            [
                tf.matmul(anchors[:, t], rows[:, place], transpose_b=True)
                for t, place in enumerate(self._places)
            ],
            axis=1,
        )
        z = self._z(lambda: _mean(share, _flat(self._row_estimate(), positive, negative)))
        each = _flat(self._row_loss(z), positive, negative, counts)
        return _Compared(each, positive, negative, counts)

    def _shared_rows(self, keys, key, present) -> Tuple[tf.Tensor, Optional[tf.Tensor]]:
        """Rows `[n, M, dim]`, and which count for each anchor `[batch, T, n]`; None: all."""
        if self.bank is not None:
            number = self._settings.num_negatives
            drawn = ops.keyed_integers(key, number, below=self._num_records)
            return self.bank.rows(drawn), None
        if self.queue is not None:
            return self.queue.rows, None
        rows, others = other_images(keys)
        counts = tf.tile(others[:, tf.newaxis], [1, len(self._places), 1])
        if present is not None:
            there = tf.gather(ops.cross_replica_concat(present), self._places, axis=1)
            counts &= tf.transpose(there)
        return rows, counts

    def _logs(self, found: _Compared, means: tf.Tensor, share: tf.Tensor) -> Dict[str, tf.Tensor]:
        """See `statistics`."""
        softmax = tf.stop_gradient(found.losses)
        if self.partition is not None:
            rows = tf.reduce_logsumexp(self._scaled(found.positive, found.negative), axis=-1)
            softmax = rows - tf.stop_gradient(found.positive) / self._settings.temperature
        counts = tf.ones_like(found.negative)
        if found.counts is not None:
            counts = tf.cast(found.counts, counts.dtype)
        # k of each anchor: fewer where other images lack the view of its key.
        numbers = tf.maximum(tf.reduce_sum(counts, axis=2), 1.0)
        negative = tf.reduce_sum(counts * found.negative, axis=2) / numbers
        values = {
            "loss": means,
            "information": _mean(share, tf.math.log1p(numbers) - softmax),
            "information-log-k": _mean(share, tf.math.log(numbers) - softmax),
            "positive": _mean(share, found.positive),
            "negative": _mean(share, negative),
        }
        if self.partition is not None:
            z = _known(tf.convert_to_tensor(self.partition.value))
            own = tf.stop_gradient(found.positive) / self._settings.temperature - tf.math.log(z)
            values["partition"] = z / self._num_records
            values["probability"] = _mean(share, tf.exp(own))
        return {
            f"{kind}/{term.name}": value[t]
            for kind, value in values.items()
            for t, term in enumerate(self._terms)
        }

    def _z(self, estimate: Callable[[], tf.Tensor]) -> Optional[tf.Tensor]:
        """Partition sums `[T]`, from the first batch; None where they have no part."""
        return None if self.partition is None else _known(self.partition.sums(estimate))

    def _row_loss(self, z: Optional[tf.Tensor]) -> ops.DecomposedLoss:
        """Loss of cosines `[rows, n]` and positive ones `[rows]`, T rows of each image."""
        temperature = self._settings.temperature
        if z is None:
            return losses.decomposed_info_nce(temperature=temperature)
        return losses.decomposed_nce(
            temperature=temperature,
            num_data=self._num_records,
            num_draws=self._settings.num_negatives,
            z=z,
        )

    def _row_estimate(self) -> ops.DecomposedLoss:
        """Not a loss: Z as each row has it, N times the mean of exp(cosine / tau) over the row."""
        temperature, number = self._settings.temperature, self._settings.num_negatives
        log_share = math.log(self._num_records / (1 + number))

        def whole(log_sums, positive):
            sums = tf.concat([log_sums, positive[:, tf.newaxis] / temperature], axis=1)
            # Z itself is a float32 number, its multiples need not be.
            return tf.exp(tf.reduce_logsumexp(sums, axis=1) + log_share)

        return ops.DecomposedLoss(
            lambda scores: tf.reduce_logsumexp(scores / temperature, axis=1), whole
        )

    def _scaled(self, positive, negative) -> tf.Tensor:
        """Cosines over the temperature, `[..., 1 + n]`, without gradient."""
        scores = tf.concat([positive[..., tf.newaxis], negative], axis=-1)
        return tf.stop_gradient(scores) / self._settings.temperature


def _flat(loss: ops.DecomposedLoss, positive, negative, counts=None) -> tf.Tensor:
    """Losses `[batch, T]` of cosines `[batch, T]` and `[batch, T, n]`."""
    rows = [-1, negative.shape[2]]
    options = {} if counts is None else {"counts": tf.reshape(counts, rows)}
    each = loss(tf.reshape(negative, rows), tf.reshape(positive, [-1]), **options)
    return tf.reshape(each, positive.shape)


def _mean(share: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """`[T]` means of `[batch, T]` by the images' shares."""
    return tf.reduce_sum(share * values, axis=0)


def _known(z: tf.Tensor) -> tf.Tensor:
    """Partition sums, 1 where no image has had both views yet: none has a share in the loss."""
    return tf.where(z > 0, z, tf.ones_like(z))
