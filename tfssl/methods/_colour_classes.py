"""Colours as classes: bins of the Lab space, and how much of each a colour is.

Zhang, Isola, Efros 2016, "Colorful Image Colorization", arXiv 1603.08511, and 2017, "Split-Brain
Autoencoders", arXiv 1611.09842.
"""

import pathlib
from typing import Optional

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


def chroma_targets(ab: tf.Tensor, centres: np.ndarray, *, soft: bool = False) -> tf.Tensor:
    """Shares of the classes in colours, which sum to 1.

    Args:
        ab: `[..., 2]` floating, in the units of Lab.
        centres: `[classes, 2]`.
        soft: the five nearest centres, weighted by a Gaussian of deviation 5; otherwise the nearest
            one alone.

    Returns:
        `[..., classes]` float32 (float64 for float64 colours), without gradient.
    """
    rows = tf.reshape(ops.at_least_float32(tf.stop_gradient(ab)), [-1, 2])
    offsets = rows[:, tf.newaxis] - tf.constant(centres, rows.dtype)
    squares = tf.reduce_sum(tf.square(offsets), axis=2)
    found, places = tf.math.top_k(-squares, _NEAREST if soft else 1)
    weights = tf.nn.softmax(found / (2 * _SIGMA**2))
    marks = tf.one_hot(places, len(centres), dtype=rows.dtype)
    targets = tf.reduce_sum(weights[..., tf.newaxis] * marks, axis=1)
    return tf.reshape(targets, [*ab.shape[:-1], len(centres)])


def lightness_targets(lightness: tf.Tensor) -> tf.Tensor:
    """One-hot classes of width 1, `[..., 100]` float32, of L in 0..100, `[..., 1]`."""
    classes = tf.cast(tf.floor(tf.stop_gradient(lightness[..., 0])), tf.int32)
    return tf.one_hot(tf.clip_by_value(classes, 0, LIGHTNESS_CLASSES - 1), LIGHTNESS_CLASSES)
