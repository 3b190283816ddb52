"""Labelled rows beside a batch, for methods that learn from some labels."""

from typing import Any, Optional

import tensorflow as tf

from tfssl.data.pipeline import Batch, steps_per_epoch, training_batches
from tfssl.data.source import Source
from tfssl.ops.keyed_random import fold_key
from tfssl.settings import SettingsError

# The seed of labelled batches is another one: a record in both batches is not seen in one way.
_LABELLED = 0x1ABE1
# Steps of a stream that is never read to its end.
_ENDLESS = 1 << 40


def check_labelled_rows(source: Source, batch_size: int, *, parts: int) -> None:
    """Raises SettingsError unless so many labelled rows can be drawn, and cut into equal parts."""
    available = len(source.drawable)
    if batch_size > available or batch_size % parts:
        raise SettingsError(
            f"labelled_batch_size: expected a multiple of replicas x micro-batches, {parts}, and "
            f"at most the number of labelled records, {available}. Received: {batch_size}.",
            "labelled_batch_size",
        )


def with_labelled_batches(
    batches: tf.data.Dataset,
    source: Source,
    family: Any,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    micro_batches: int = 1,
    input_context: Optional[tf.distribute.InputContext] = None,
) -> tf.data.Dataset:
    """Training batches with labelled rows beside them, a pure function of (seed, step) too.

    The labelled records are visited in epochs of their own, as often as the batches need.

    Args:
        batches: what `training_batches` makes from the same step, in the same parts.
        source: the labelled records, see `tfssl.data.labelled`.
        family: the view family.
        batch_size: labelled rows of one optimizer step, of all replicas and parts; a multiple of
            them.
        seed, start_step, micro_batches, input_context: those of the batches.

    Returns:
        The batches, each with "labelled": a dictionary of "views" and "label".

    Raises:
        SettingsError: the rows cannot be divided, or there are fewer labelled records.
    """
    context = input_context or tf.distribute.InputContext()
    check_labelled_rows(source, batch_size, parts=micro_batches * context.num_replicas_in_sync)
    drawn = training_batches(
        source,
        family,
        batch_size=batch_size,
        seed=int(fold_key(seed, _LABELLED)),
        # More than any run has: the batches end first.
        epochs=_ENDLESS // steps_per_epoch(source, batch_size),
        start_step=start_step,
        with_labels=True,
        micro_batches=micro_batches,
        input_context=input_context,
    )

    def beside(batch: Batch, own: Batch) -> Batch:
        return {**batch, "labelled": {name: own[name] for name in ("views", "label")}}

    beside = tf.autograph.experimental.do_not_convert(beside)
    return tf.data.Dataset.zip((batches, drawn)).map(beside)
