"""Feature bank: the last embedding of every record, kept from step to step."""

from typing import NamedTuple, Optional

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
        old, new: `[batch, dim]` float32 rows before and after, as the bank held and holds them.
        counted: `[batch]` bool, one True for each different index, at its last place.
    """

    indices: tf.Tensor
    old: tf.Tensor
    new: tf.Tensor
    counted: tf.Tensor


class FeatureBank(tf.keras.layers.Layer):
    """One row of length 1 for every record, moved towards the record's newest embedding.

    NPID, Wu, Xiong, Yu, Lin 2018, arXiv 1805.01978; InterCLR, Xie et al., arXiv 2008.11702, Eq. 2,
    with the renormalisation of its code.

    Args:
        num_records: N, rows of the bank.
        dim: width of a row.
        new_weight: omega in (0, 1]: row <- normalise((1 - omega) row + omega embedding). 1 replaces
            the row.
        seed: of the start, random directions.
        dtype: None for float32 (float64 under a float64 policy), or float16 or bfloat16 to halve
            the memory; rows are rounded as they are written, and sums are made in float32.
        name: the layer's name.

    Attributes:
        features: `[num_records, dim]` variable. N * dim * 4 bytes in float32: 656 MB for the
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
        dim: int,
        *,
        new_weight: float = 0.5,
        seed: int = 0,
        dtype: Optional[str] = None,
        name: Optional[str] = None,
    ):
        """Makes the bank."""
        super().__init__(name=name)
        if min(num_records, dim) < 1 or not 0 < new_weight <= 1 or dtype not in (None, *_HALF):
            raise ValueError(
                "expected num_records and dim >= 1, 0 < new_weight <= 1, dtype None or one of "
                f"{_HALF}. "
                f"Received: {num_records=}, {dim=}, {new_weight=}, {dtype=}."
            )
        self.new_weight = new_weight
        full = at_least_float32()
        dtype = dtype or full

        def directions():
            rows = tf.random.stateless_normal([num_records, dim], [seed, 0], dtype=full)
            return tf.cast(tf.math.l2_normalize(rows, axis=1), dtype)

        self.features = mirrored_state(directions, "features")

    def rows(self, indices: tf.Tensor) -> tf.Tensor:
        """Rows of records, at least in float32, without gradient; `indices` of any shape."""
        return tf.stop_gradient(ops.at_least_float32(tf.gather(self.features, indices)))

    def update(self, indices: tf.Tensor, embeddings: tf.Tensor) -> BankUpdate:
        """Moves rows towards embeddings. Of one record's several embeddings the last one counts.

        Args:
            indices: `[batch]` integers in [0, num_records); the global batch.
            embeddings: `[batch, dim]` floating; normalised here, without gradient.

        Returns:
            What changed, for sums that follow the bank.
        """
        last = ops.last_of_equals(indices)
        old = self.rows(indices)
        new = tf.gather(_moved(old, embeddings, self.new_weight), last)
        stored = tf.cast(new, self.features.dtype)
        self.features.scatter_update(tf.IndexedSlices(stored, indices))
        counted = last == tf.range(tf.shape(indices)[0])
        return BankUpdate(indices, old, ops.at_least_float32(stored), counted)

    def fill(self, features: tf.Tensor) -> None:
        """Sets the whole bank to `[num_records, dim]` features, normalised here."""
        rows = tf.math.l2_normalize(ops.at_least_float32(features), axis=1)
        self.features.assign(tf.cast(rows, self.features.dtype))


@tf.function(jit_compile=True, autograph=False)
def _moved(old, embeddings, new_weight):
    """normalise((1 - w) old + w normalise(embedding)), Eq. 2."""
    embeddings = tf.math.l2_normalize(tf.cast(tf.stop_gradient(embeddings), old.dtype), axis=1)
    if new_weight == 1:
        return embeddings
    mixed = (1 - new_weight) * old + new_weight * embeddings
    # Opposite rows cancel out and leave no direction; then the new one counts.
    lengths = tf.norm(mixed, axis=1, keepdims=True)
    return tf.math.l2_normalize(tf.where(lengths < _SHORT, embeddings, mixed), axis=1)
