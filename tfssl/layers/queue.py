"""Queue: the newest embeddings of past batches, as negatives.

MoCo, He, Fan, Wu, Xie, Girshick 2020, arXiv 1911.05722, Algorithm 1.
"""

from typing import Optional, Tuple, Union

import tensorflow as tf

from tfssl import ops
from tfssl.layers.mirrored_state import mirrored_state
from tfssl.layers.normalization import at_least_float32


class Queue(tf.keras.layers.Layer):
    """Ring of rows of length 1: a batch overwrites the oldest ones.

    Args:
        size: rows that it holds.
        dim: width of a row, or (views, width) for a row of every view side by side.
        filled: start full of random directions, as MoCo does; otherwise start empty, and `mask`
            says which rows are there.
        seed: of the random directions.
        name: the layer's name.

    Attributes:
        ring: `[size, *dim]` variable, at least float32, the newest rows just before `pointer`.
        pointer: int64 scalar, rows written so far; the next one goes to pointer modulo size.

    Raises:
        ValueError: an argument is below 1, or a batch is larger or of another width than the queue.

    Notes:
        Under a strategy every replica has a copy and must be given the same global batch.
    """

    def __init__(
        self,
        size: int,
        dim: Union[int, Tuple[int, int]],
        *,
        filled: bool = True,
        seed: int = 0,
        name: Optional[str] = None,
    ):
        """Makes the ring."""
        super().__init__(name=name)
        shape = (size, *(dim if isinstance(dim, (tuple, list)) else (dim,)))
        if min(shape) < 1:
            raise ValueError(f"expected size and dim >= 1. Received: {size=}, {dim=}.")
        self.size, self.filled = size, filled

        def start():
            rows = tf.random.stateless_normal(shape, [seed, 1], dtype=at_least_float32())
            return tf.math.l2_normalize(rows, axis=-1) if filled else tf.zeros_like(rows)

        self.ring = mirrored_state(start, "ring")
        self.pointer = mirrored_state(tf.constant(0, tf.int64), "pointer")

    @property
    def rows(self) -> tf.Tensor:
        """`[size, *dim]`, all rows, without gradient."""
        return tf.stop_gradient(tf.convert_to_tensor(self.ring))

    @property
    def mask(self) -> tf.Tensor:
        """`[size]` bool, which rows hold an embedding."""
        return tf.range(self.size, dtype=tf.int64) < (self.size if self.filled else self.pointer)

    def enqueue(self, embeddings: tf.Tensor) -> None:
        """Writes a batch over the oldest rows, going on at the start after the end.

        Args:
            embeddings: `[batch, *dim]` floating, batch <= size; the global batch. Normalised here,
                without gradient.
        """
        shape, dim = embeddings.shape, self.ring.shape[1:]
        # Eager, a scatter of wider rows would write on into the rows after them.
        if shape[1:] != dim or shape[0] is None or shape[0] > self.size:
            wanted = ", ".join(map(str, ("batch", *dim)))
            raise ValueError(
                f"expected embeddings [{wanted}] of at most {self.size} rows, numbers known "
                f"statically. Received: embeddings.shape={shape}."
            )
        batch = shape[0]
        rows = tf.math.l2_normalize(ops.at_least_float32(tf.stop_gradient(embeddings)), axis=-1)
        places = (self.pointer + tf.range(batch, dtype=tf.int64)) % self.size
        self.ring.scatter_update(tf.IndexedSlices(tf.cast(rows, self.ring.dtype), places))
        self.pointer.assign_add(batch)
