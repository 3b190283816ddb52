"""Records -> batches of views, as a pure function of (seed, step).

The order of an epoch is a keyed permutation and every image's randomness has its own key, so
nothing has to be saved or skipped to resume: the stream is simply started at the step wanted, and
any number of workers together produce the batches a single one would.
"""

from typing import Any, Callable, Optional, Sequence

import numpy as np
import tensorflow as tf

from tfssl.data.source import Source
from tfssl.ops.keyed_random import fold_key
from tfssl.settings import SettingsError

# Keeps the keys of the shuffling apart from those of the views, which are (seed, epoch, index).
_SHUFFLE = 0x5EED

Batch = dict[str, Any]


def steps_per_epoch(source: Source, batch_size: int) -> int:
    """Number of whole batches in one pass over the drawable records; the rest is dropped.

    Args:
        source: the records.
        batch_size: global batch size, >= 1.

    Returns:
        At least 1.

    Raises:
        SettingsError: the batch is larger than the source.
    """
    available = len(source.drawable)
    if not 1 <= batch_size <= available:
        raise SettingsError(
            f"batch_size: expected 1 to {available}, the number of images in {source.name}. "
            f"Received: batch_size={batch_size}."
        )
    return available // batch_size


def epoch_order(source: Source, *, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """The order in which one epoch visits the drawable records.

    Sorting one keyed hash a record gives every permutation the same chance. (TensorFlow's
    `index_shuffle` is cheaper, but its orders for neighbouring seeds are strongly correlated.)

    Args:
        source: the records.
        seed: the run's seed, an int64.
        epoch: scalar int64, from 0.

    Returns:
        `[M]` int64, a permutation of `source.drawable`.
    """
    with tf.init_scope():  # Outside the graph, so that it is captured and not copied into it.
        drawable = tf.constant(source.drawable)
    return tf.gather(drawable, tf.argsort(fold_key(seed, _SHUFFLE, epoch, drawable)))


def training_batches(
    source: Source,
    family: Any,
    *,
    batch_size: int,
    seed: int,
    epochs: int,
    start_step: int = 0,
    num_steps: Optional[int] = None,
    order: Optional[np.ndarray] = None,
    with_labels: bool = False,
    micro_batches: int = 1,
    input_context: Optional[tf.distribute.InputContext] = None,
) -> tf.data.Dataset:
    """Batches of views for training.

    One epoch visits every drawable record once, or what `order` says; an incomplete last batch is
    dropped.

    Args:
        source: the records.
        family: a view family of `tfssl.views`: `family(images, keys)` for images of one size, else
            `family.crop(image, key)` for each record and `family.finish(crops, keys)`; of what it
            gives, `family.num_views` are views, and the next are patches.
        batch_size: global, of one optimizer step; a multiple of `micro_batches * replicas`.
        seed: the run's seed, an int64.
        epochs: length of the whole run.
        start_step: optimizer steps already done; the stream is the tail of the full one.
        num_steps: at most so many steps, >= 1; nothing is read ahead of them. None: to the end.
        order: integers, drawable records, at least as many as an epoch has rows: what the epoch of
            `start_step` visits, again where a record comes again, each time in a view of its own.
            The stream ends with that epoch. None: a keyed permutation in every epoch.
        with_labels: adds "label".
        micro_batches: elements that one step is cut into, for gradient accumulation.
        input_context: which rows this input pipeline reads; all by default.

    Returns:
        Dictionaries of static shapes: "views", a tuple of `[rows, size, size, channels]` float32;
        "patches" `[rows, 9, size, size, channels]` float32 where the family gives them; "index"
        and "label" `[rows]` int64. An element holds one replica's rows, replica by replica.

    Raises:
        SettingsError: the batch cannot be cut evenly or is larger than the source.
        ValueError: labels are wanted and there are none; a number of steps out of range; an order
            that is too short or has records that cannot be drawn.
    """
    context = input_context or tf.distribute.InputContext()
    steps = steps_per_epoch(source, batch_size)
    if start_step < 0 or (num_steps is not None and num_steps < 1):
        raise ValueError(
            f"expected start_step >= 0 and num_steps >= 1. Received: {start_step=}, {num_steps=}."
        )
    rows = _rows(batch_size, micro_batches, context)
    first_epoch, first_step = divmod(start_step, steps)
    if order is not None:
        order = _checked_order(order, source, steps * batch_size)
        epochs = min(first_epoch + 1, epochs)

    def epoch_elements(epoch: tf.Tensor) -> tf.data.Dataset:
        done = tf.where(tf.equal(epoch, first_epoch), first_step, 0) * micro_batches

        def own(stream: tf.Tensor) -> tf.Tensor:
            stream = _own_rows(stream[: steps * batch_size], rows, context)
            return tf.reshape(stream[done:], [-1, rows])

        if order is None:
            elements = {"index": own(epoch_order(source, seed=seed, epoch=epoch))}
        else:
            places = tf.range(steps * batch_size, dtype=tf.int64)
            elements = {"index": own(order), "place": own(places)}
        return tf.data.Dataset.from_tensor_slices(elements).map(lambda e: {**e, "epoch": epoch})

    remaining = max(epochs * steps - start_step, 0)
    if num_steps is not None:
        remaining = min(remaining, num_steps)
    remaining *= micro_batches * _local_replicas(context)
    dataset = tf.data.Dataset.range(first_epoch, epochs).flat_map(epoch_elements).take(remaining)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(remaining))
    return _assemble(dataset, source, family, seed=seed, with_labels=with_labels, rows=rows)


def evaluation_batches(
    source: Source,
    family: Any,
    *,
    batch_size: int,
    with_labels: bool = True,
    input_context: Optional[tf.distribute.InputContext] = None,
) -> tf.data.Dataset:
    """Batches of views of all drawable records, once and in index order.

    Args:
        source: the records.
        family: a view family, see `training_batches`; its keys are those of seed 0, epoch 0.
        batch_size: global batch size; a multiple of the replicas.
        with_labels: adds "label".
        input_context: which part of each batch this input pipeline reads. Default: all of it.

    Returns:
        A dataset as of `training_batches`, and "mask" `[rows]` bool: False on the rows that only
        fill up the last batch (they repeat the last record). Nothing is dropped.

    Raises:
        SettingsError: the batch cannot be cut evenly.
        ValueError: labels are wanted and there are none.
    """
    context = input_context or tf.distribute.InputContext()
    rows = _rows(batch_size, 1, context)
    count = len(source.drawable)
    place = np.arange(-(-count // batch_size) * batch_size)
    padded = tf.constant(source.drawable[np.minimum(place, count - 1)])
    index = tf.reshape(_own_rows(padded, rows, context), [-1, rows])
    mask = tf.reshape(_own_rows(tf.constant(place < count), rows, context), [-1, rows])
    dataset = tf.data.Dataset.from_tensor_slices({"index": index, "mask": mask})
    dataset = dataset.map(lambda element: {**element, "epoch": tf.constant(0, tf.int64)})
    return _assemble(dataset, source, family, seed=0, with_labels=with_labels, rows=rows)


def distribute(
    strategy: tf.distribute.Strategy,
    make: Callable[[tf.distribute.InputContext], tf.data.Dataset],
) -> Any:
    """Lets every input pipeline of a strategy read only its own rows of each global batch.

    Args:
        strategy: any strategy, the default one included.
        make: builds a dataset for an input context, such as `lambda context:
            training_batches(..., input_context=context)`.

    Returns:
        What `fit` and `strategy.run` iterate over: replica r of n gets rows r/n to (r+1)/n of the
        batch that a single replica would get.
    """
    return strategy.distribute_datasets_from_function(make)


def _rows(batch_size: int, micro_batches: int, context: tf.distribute.InputContext) -> int:
    """Rows of one element: one replica's share of one micro-batch."""
    replicas = context.num_replicas_in_sync
    if micro_batches < 1 or batch_size < 1 or batch_size % (micro_batches * replicas):
        raise SettingsError(
            "batch_size: expected a multiple of the micro-batches times the replicas. Received: "
            f"batch_size={batch_size}, micro_batches={micro_batches}, replicas={replicas}."
        )
    return batch_size // (micro_batches * replicas)


def _local_replicas(context: tf.distribute.InputContext) -> int:
    """Number of replicas that one input pipeline feeds."""
    return context.num_replicas_in_sync // context.num_input_pipelines


def _checked_order(order: np.ndarray, source: Source, count: int) -> tf.Tensor:
    """A given order as a tensor outside of any graph."""
    order = np.asarray(order, np.int64)
    if order.ndim != 1 or len(order) < count or not np.isin(order, source.drawable).all():
        raise ValueError(
            f"order: expected at least {count} records that can be read. Received: "
            f"order.shape={order.shape}, {int((~np.isin(order, source.drawable)).sum())} of them "
            "not readable."
        )
    with tf.init_scope():
        return tf.constant(order)


def _own_rows(stream: tf.Tensor, rows: int, context: tf.distribute.InputContext) -> tf.Tensor:
    """`[micro-batches, replicas of this pipeline, rows]` of the global stream `[n]`."""
    local = _local_replicas(context)
    first = context.input_pipeline_id * local
    stream = tf.reshape(stream, [-1, context.num_replicas_in_sync, rows])
    return stream[:, first : first + local]


def _assemble(
    dataset: tf.data.Dataset,
    source: Source,
    family: Any,
    *,
    seed: int,
    with_labels: bool,
    rows: int,
) -> tf.data.Dataset:
    """Turns elements {"index" `[rows]`, "epoch", "place"?, "mask"?} into batches of views."""
    if with_labels and source.labels is None:
        raise ValueError(f"expected a source with labels. Received: {source.name} has none.")
    labels = tf.constant(source.labels) if with_labels else None

    def add_keys(element: Batch) -> Batch:
        epoch = tf.fill([rows], element.pop("epoch"))
        element["key"] = fold_key(seed, epoch, element["index"])
        if "place" in element:
            # A record that comes twice in an epoch is seen in two ways.
            element["key"] = fold_key(element["key"], element.pop("place"))
        if labels is not None:
            element["label"] = tf.gather(labels, element["index"])
        return element

    def named(made: Sequence[tf.Tensor]) -> Batch:
        views, patches = made[: family.num_views], made[family.num_views :]
        return {"views": tuple(views), **({"patches": patches[0]} if patches else {})}

    def batched(element: Batch) -> Batch:
        keys = element.pop("key")
        drawn_by = (keys,) if source.draws else ()
        images = source.load_batch(element["index"], *drawn_by)
        return {**named(family(images, keys)), **element}

    def crop(element: Batch) -> Batch:
        crops = family.crop(source.load(element["index"]), element["key"])
        return {"crops": tuple(crops), **element}

    def finish(element: Batch) -> Batch:
        crops, keys = element.pop("crops"), element.pop("key")
        return {**named(family.finish(crops, keys)), **element}

    # None of them has Python control flow on tensors, and looking for it takes seconds.
    add_keys, batched, crop, finish = map(
        tf.autograph.experimental.do_not_convert, (add_keys, batched, crop, finish)
    )
    dataset = dataset.map(add_keys)
    if source.image_shape is not None:
        dataset = dataset.map(batched, tf.data.AUTOTUNE)
    else:
        dataset = dataset.unbatch().map(crop, tf.data.AUTOTUNE)
        dataset = dataset.batch(rows, drop_remainder=True).map(finish, tf.data.AUTOTUNE)
    options = tf.data.Options()
    options.deterministic = True
    # The rows are divided above; TensorFlow must not divide them again.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)
