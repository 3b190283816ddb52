"""What a method is made for and is given: the sizes of a run, batches, networks' outputs."""

import dataclasses
from typing import Any, Callable, Dict, Tuple

import tensorflow as tf

Batch = Dict[str, Any]
Logs = Dict[str, tf.Tensor]
# From a network, images -> `[batch, dim]`, to its outputs for all records, `[num_records, dim]`.
Extract = Callable[[tf.keras.layers.Layer], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Plan:
    """The sizes of a run, which schedules, banks and queues are made for.

    Attributes:
        batch_size: rows of a global batch, over all replicas and micro-batches.
        steps_per_epoch: optimizer steps in an epoch.
        total_steps: optimizer steps in the run.
        num_records: N; record indices are 0..N-1.
        micro_batches: parts of a batch that pass one after another, for gradient accumulation.
        seed: the run's; what a method draws for itself is keyed by it.
        view_channels: channels of each view, for methods with an encoder for every view.
        view_size: side of the full-size views in pixels.
        labelled_batch_size: labelled rows beside a global batch, for methods that need them.
        num_classes: their classes; 0 where nobody asked.
    """

    batch_size: int
    steps_per_epoch: int
    total_steps: int
    num_records: int
    seed: int = 0
    micro_batches: int = 1
    view_channels: Tuple[int, ...] = (3, 3)
    view_size: int = 224
    labelled_batch_size: int = 0
    num_classes: int = 0
