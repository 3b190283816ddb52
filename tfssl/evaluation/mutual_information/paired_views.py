"""Two views of the same scenes, as arrays or as a stream of batches, checked."""

from typing import Any, Callable, Iterable, Iterator, NamedTuple, Optional, Tuple

import numpy as np
import tensorflow as tf

from tfssl import ops

Batches = Callable[[int], Iterable[dict[str, Any]]]


class Pair(NamedTuple):
    """Paired views, row by row.

    Attributes:
        first: `[n, ...]` float32, or uint8 images.
        second: as many rows; their shape may differ.
    """

    first: tf.Tensor
    second: tf.Tensor

    @property
    def shapes(self) -> Tuple[list, list]:
        """Shapes of one first and of one second view."""
        return tuple([int(n) for n in view.shape[1:]] for view in self)


def paired_views(first: Any, second: Any) -> Pair:
    """Both as tensors; raises ValueError where they do not fit.

    Args:
        first: `[n, ...]` finite numbers, n >= 2.
        second: the same n.
    """
    first, second = _view("first", first), _view("second", second)
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(
            "expected at least two pairs of views. Received: "
            f"first.shape={first.shape}, second.shape={second.shape}."
        )
    return Pair(tf.constant(first), tf.constant(second))


def split_pairs(pair: Pair, held_out: float, key: tf.Tensor) -> Tuple[Pair, Pair]:
    """A keyed random split of the rows: those kept, and a part held out.

    Args:
        pair: all rows.
        held_out: the part held out, in (0, 1); at least two rows.
        key: scalar from `ops.fold_key`.

    Raises:
        ValueError: fewer than two rows would be kept.
    """
    rows = len(pair.first)
    count = max(2, round(rows * held_out))
    if rows - count < 2:
        raise ValueError(
            "expected at least two rows to train on beside those held out. "
            f"Received: held_out={held_out}, rows={rows}."
        )
    order = ops.keyed_permutations(key, rows)
    kept, rest = order[count:], order[:count]
    return tuple(Pair(*(tf.gather(view, part) for view in pair)) for part in (kept, rest))


def whole_batches(pair: Pair, batch_size: int) -> Iterator[Pair]:
    """Rows in their order, `batch_size` at a time; fewer rows than that are one batch."""
    rows = len(pair.first)
    size = min(batch_size, rows)
    for start in range(0, rows - size + 1, size):
        yield Pair(*(view[start : start + size] for view in pair))


def epoch_of(
    batches: Batches, epoch: int, name: str, like: Optional[Pair] = None
) -> Iterator[Pair]:
    """The batches of one epoch, without the rows that are padding.

    Args:
        batches: epoch number -> batches `{"views": (first, second), "mask"?}`. One that is padding
            but for fewer than two rows is left out.
        epoch: the number.
        name: what the batches are called in a message.
        like: a batch whose shapes and types all others must have. None: the first.

    Raises:
        ValueError: no batch, or one that does not fit.
    """
    empty = True
    for batch in batches(epoch):
        views = tuple(batch["views"])
        if len(views) != 2:
            raise ValueError(f"expected two views in {name}. Received: {len(views)} views.")
        if "mask" in batch:
            keep = np.asarray(batch["mask"], bool)
            if keep.sum() < 2:
                continue
            views = tuple(np.asarray(view)[keep] for view in views)
        pair = paired_views(*views)
        like = like or pair
        if _kinds(pair) != _kinds(like):
            raise ValueError(
                f"expected {name} of one kind of views, {_kinds(like)}. Received: {_kinds(pair)}."
            )
        empty = False
        yield pair
    if empty:
        raise ValueError(f"expected batches in every epoch of {name}. Received: none in {epoch=}.")


def endless(batches: Batches, name: str, like: Optional[Pair] = None) -> Iterator[Pair]:
    """The batches of epoch 0, 1, 2 and so on; arguments as for `epoch_of`."""
    epoch = 0
    while True:
        for pair in epoch_of(batches, epoch, name, like):
            like = like or pair
            yield pair
        epoch += 1


def _kinds(pair: Pair) -> list:
    return [(view.shape[1:].as_list(), view.dtype.name) for view in pair]


def _view(name: str, view: Any) -> np.ndarray:
    """uint8 images as they are, everything else in float32 and finite."""
    view = np.asarray(view)
    if view.ndim < 2:
        raise ValueError(f"expected {name} of shape [n, ...]. Received: {name}.shape={view.shape}.")
    if view.ndim == 4 and view.dtype == np.uint8:
        return view
    view = view.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(view).reshape(len(view), -1).all(axis=1))
    if len(bad):
        raise ValueError(
            f"expected finite {name}. Received: NaN or Inf in {len(bad)} of {len(view)} rows, "
            f"the first in row {bad[0]}."
        )
    return view
