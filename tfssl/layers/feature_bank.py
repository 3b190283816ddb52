"""Feature bank: the last embedding of every record, kept from step to step."""

import math
from typing import NamedTuple, Optional, Tuple, Union

import tensorflow as tf

from tfssl import ops
from tfssl.layers.mirrored_state import mirrored_state
from tfssl.layers.normalization import at_least_float32

# Types of half the memory.
_HALF = ("float16", "bfloat16")
# Length of a sum of two rows that is rounding error.
_SHORT = 1e-6


class BankUpdate(NamedTuple):
    """What one update of a bank changed; equal indices have equal rows.

    Attributes:
        indices: `[batch]` int64 records.
        old, new: `[batch, *dim]` float32 rows before and after, as the bank held and holds them.
        counted: `[batch]` bool, one True for each different index, at its last place.
    """

    indices: tf.Tensor
    old: tf.Tensor
    new: tf.Tensor
    counted: tf.Tensor


class FeatureBank(tf.keras.layers.Layer):
    """One row of length 1 for every record, moved towards the record's newest embedding.

    NPID, Wu, Xiong, Yu, Lin 2018, arXiv 1805.01978; InterCLR, Xie et al., arXiv 2008.11702, Eq. 2,
    with the renormalisation of its code. CMC, Tian, Krishnan, Isola 2020, arXiv 1906.05849, has a
    row for every view of a record: here they lie side by side, so that one look-up finds all.

    Args:
        num_records: N, records of the bank.
        dim: width of a row, or (views, width): so many rows for every record.
        new_weight: omega in (0, 1]: row <- normalise((1 - omega) row + omega embedding). 1 replaces
            the row.
        start: "directions": random ones of length 1. "uniform": numbers in +-sqrt(3 / width), whose
            rows have length 1 on average, as CMC's code has it.
        seed: of the start.
        dtype: None for float32 (float64 under a float64 policy), or float16 or bfloat16 to halve
            the memory; rows are rounded as they are written, and sums are made in float32.
        name: the layer's name.

    Attributes:
        features: `[num_records, *dim]` variable. N * dim * 4 bytes in float32: 656 MB for the
            1,281,167 records of ImageNet at 128.

    Raises:
        ValueError: an argument out of range.

    Notes:
        Under a strategy every replica has a copy and must be given the same global batch; then
        all copies stay equal to the bit.
    """

    def __init__(
        self,
        num_records: int,
        dim: Union[int, Tuple[int, int]],
        *,
        new_weight: float = 0.5,
        start: str = "directions",
        seed: int = 0,
        dtype: Optional[str] = None,
        name: Optional[str] = None,
    ):
        """Makes the bank."""
        super().__init__(name=name)
        shape = (num_records, *(dim if isinstance(dim, (tuple, list)) else (dim,)))
        known = start in _STARTS and dtype in (None, *_HALF)
        if min(shape) < 1 or not 0 < new_weight <= 1 or not known:
            raise ValueError(
                "expected num_records and dim >= 1, 0 < new_weight <= 1, start one of "
                f"{tuple(_STARTS)}, dtype None or one of {_HALF}. Received: {num_records=}, "
                f"{dim=}, {new_weight=}, {start=}, {dtype=}."
            )
        self.new_weight = new_weight
        full = at_least_float32()
        self.features = mirrored_state(
            lambda: tf.cast(_STARTS[start](shape, seed, full), dtype or full), "features"
        )

    def rows(self, indices: tf.Tensor) -> tf.Tensor:
        """Rows of records, at least in float32, without gradient; `indices` of any shape."""
        return tf.stop_gradient(ops.at_least_float32(tf.gather(self.features, indices)))

    def update(
        self, indices: tf.Tensor, embeddings: tf.Tensor, present: Optional[tf.Tensor] = None
    ) -> BankUpdate:
        """Moves rows towards embeddings. Of one record's several embeddings the last one counts.

        Args:
            indices: `[batch]` integers in [0, num_records); the global batch.
            embeddings: `[batch, *dim]` floating; normalised here, without gradient.
            present: `[batch, views]` bool, which rows of a record there are embeddings of; the
                others stay as they were. None: all.

        Returns:
            What changed, for sums that follow the bank.
        """
        last = ops.last_of_equals(indices)
        old = self.rows(indices)
        moved = _moved(old, embeddings, self.new_weight)
        if present is not None:
            moved = tf.where(present[..., tf.newaxis], moved, old)
        new = tf.gather(moved, last)
        stored = tf.cast(new, self.features.dtype)
        self.features.scatter_update(tf.IndexedSlices(stored, indices))
        counted = last == tf.range(tf.shape(indices)[0])
        return BankUpdate(indices, old, ops.at_least_float32(stored), counted)

    def fill(self, features: tf.Tensor) -> None:
        """Sets the whole bank to `[num_records, *dim]` features, normalised here."""
        rows = tf.math.l2_normalize(ops.at_least_float32(features), axis=-1)
        self.features.assign(tf.cast(rows, self.features.dtype))


@tf.function(jit_compile=True, autograph=False)
def _moved(old, embeddings, new_weight):
    """normalise((1 - w) old + w normalise(embedding)), Eq. 2."""
    embeddings = tf.math.l2_normalize(tf.cast(tf.stop_gradient(embeddings), old.dtype), axis=-1)
    if new_weight == 1:
        return embeddings
    mixed = (1 - new_weight) * old + new_weight * embeddings
    # Opposite rows cancel out and leave no direction; then the new one counts.
    lengths = tf.norm(mixed, axis=-1, keepdims=True)
    return tf.math.l2_normalize(tf.where(lengths < _SHORT, embeddings, mixed), axis=-1)


def _directions(shape, seed, dtype):
    """Random rows of length 1."""
    rows = tf.random.stateless_normal(shape, [seed, 0], dtype=dtype)
    return tf.math.l2_normalize(rows, axis=-1)


def _uniform(shape, seed, dtype):
    """Random numbers, of which a row has the squared length 1 on average."""
    bound = math.sqrt(3 / shape[-1])
    return tf.random.stateless_uniform(shape, [seed, 0], -bound, bound, dtype)


_STARTS = {"directions": _directions, "uniform": _uniform}
