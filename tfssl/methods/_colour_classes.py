"""Colours as classes: bins of the Lab space, and how much of each a colour is.

Zhang, Isola, Efros 2016, "Colorful Image Colorization", arXiv 1603.08511, and 2017, "Split-Brain
Autoencoders", arXiv 1611.09842.
"""

import pathlib
from typing import Optional, Tuple

import numpy as np
import tensorflow as tf

from tfssl import ops
from tfssl.settings import SettingsError

STEP = 10
LIGHTNESS_CLASSES = 100
_NEAREST, _SIGMA = 5, 5.0

# Bins of a and b that hold a colour of sRGB, of all 256^3: for each a from -90 to 100 the smallest
# and the largest b. They number 261. The published list of 313 cannot be derived by that rule.
_FIRST_A = -90
_RANGES = (
    ((80, 80), (40, 80), (20, 90), (0, 90), (-20, 90), (-30, 90), (-40, 90), (-40, 90), (-50, 90))
    + ((-60, 90), (-70, 80), (-70, 80), (-80, 80), (-90, 80), (-90, 70), (-100, 70), (-110, 70))
    + ((-110, 70), (-90, 0), (-70, -50))
)


def chroma_centres(path: Optional[str] = None, *, soft: bool = False) -> np.ndarray:
    """Centres (a, b) of the classes of colour, `[classes, 2]` float32, by a and then by b.

    Args:
        path: text file of two numbers a line, in place of the 261 occupied bins.
        soft: whether targets are soft, for which there must be five centres.

    Raises:
        SettingsError: the file cannot be read or holds something else.
    """
    if path is None:
        places = [
            (_FIRST_A + STEP * i, b)
            for i, (low, high) in enumerate(_RANGES)
            for b in range(low, high + 1, STEP)
        ]
        return np.array(places, np.float32)
    try:
        centres = np.loadtxt(pathlib.Path(path), np.float32, ndmin=2)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"centres: expected a text file with two numbers a line. Received: {path}, {error}.",
            "centres",
        ) from error
    least, different = _NEAREST if soft else 2, len(np.unique(centres, axis=0))
    fit = centres.shape[1] == 2 and np.isfinite(centres).all() and different == len(centres)
    if not fit or different < least:
        raise SettingsError(
            f"centres: expected {least} or more different lines with two finite numbers each. "
            f"Received: {len(centres)} lines of {centres.shape[1]}, {different} different, in "
            f"{path}.",
            "centres",
        )
    return centres


def chroma_classes(
    ab: tf.Tensor, centres: np.ndarray, *, soft: bool = False
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Classes of colours, and what share of a colour each of them is.

    Args:
        ab: `[..., 2]` floating, in the units of Lab.
        centres: `[classes, 2]`.
        soft: the five nearest centres, weighted by a Gaussian of deviation 5; otherwise the nearest
            one alone.

    Returns:
        `[..., k]` int32, the nearest first, and their shares `[..., k]`, which sum to 1, float32
        (float64 for float64 colours); k is 5 or 1. Without gradient.
    """
    rows = tf.reshape(ops.at_least_float32(tf.stop_gradient(ab)), [-1, 2])
    if soft:
        found, places = tf.math.top_k(-_squares(rows, centres), _NEAREST)
        shares = tf.nn.softmax(found / (2 * _SIGMA**2))
    else:
        places = _nearest(rows, centres)[:, tf.newaxis]
        shares = tf.ones_like(places, rows.dtype)
    return tuple(tf.reshape(t, [*ab.shape[:-1], t.shape[1]]) for t in (places, shares))


def lightness_classes(lightness: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    """The same for classes of width 1 of L in 0..100, `[..., 1]`."""
    lightness = ops.at_least_float32(tf.stop_gradient(lightness))
    classes = tf.cast(tf.floor(lightness), tf.int32)
    return tf.clip_by_value(classes, 0, LIGHTNESS_CLASSES - 1), tf.ones_like(lightness)


def _squares(rows: tf.Tensor, centres: np.ndarray) -> tf.Tensor:
    """Squared distances `[rows, classes]`."""
    a, b = (tf.square(rows[:, i, tf.newaxis] - centres[:, i]) for i in (0, 1))
    return a + b


def _nearest(rows: tf.Tensor, centres: np.ndarray) -> tf.Tensor:
    """Places `[rows]` of the nearest centres; by a table, where they lie on a grid of 10."""

    def nearest():
        return tf.argmin(_squares(rows, centres), axis=1, output_type=tf.int32)

    cells = centres / STEP
    if np.any(cells != np.rint(cells)):
        return nearest()
    low, high = (edge(cells, axis=0).astype(np.int32) for edge in (np.min, np.max))
    # With an empty edge, where colours beyond it are looked up.
    table = np.full(high - low + 3, -1, np.int32)
    table[tuple((cells.astype(np.int32) - low + 1).T)] = np.arange(len(centres))
    found = tf.cast(tf.round(rows / STEP), tf.int32) - low + 1
    found = tf.gather_nd(table, tf.clip_by_value(found, 0, high - low + 2))
    # A mean of colours need not be near any colour of sRGB.
    known = found >= 0
    return tf.cond(tf.reduce_all(known), lambda: found, lambda: tf.where(known, found, nearest()))
