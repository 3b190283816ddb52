"""Small noisy pictures whose class is the direction of their stripes, and nothing else is.

Place, colours and brightness are drawn anew for every picture. Two pictures of one class are two
views: what they share is the direction. An encoder of two convolutions can tell directions apart,
but not before it has learned to.
"""

from typing import List, Sequence

import numpy as np

CLASSES = 8
WAVELENGTH = 4.0  # Pixels.


def draw(labels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Pictures `[n, size, size, 3]` float32 for labels `[n]`."""
    n = len(labels)
    column = np.arange(size, dtype=np.float32)
    angle = np.pi * (labels + rng.uniform(-0.2, 0.2, n)) / CLASSES
    along = np.cos(angle)[:, None, None] * column + np.sin(angle)[:, None, None] * column[:, None]
    phase = rng.uniform(0, 2 * np.pi, (n, 1, 1))
    stripes = np.sin(2 * np.pi * along / WAVELENGTH + phase)[..., None]
    colour = 1.0 + 0.5 * rng.normal(size=(n, 1, 1, 3))
    brightness = 0.5 * rng.normal(size=(n, 1, 1, 3))
    noise = rng.normal(size=(n, size, size, 3))
    return (colour * stripes + brightness + noise).astype(np.float32)


def in_channels(pictures: np.ndarray, channels: int) -> np.ndarray:
    """Pictures as an encoder of views side by side sees them; six channels hold them twice."""
    return np.concatenate([pictures] * (2 if channels == 6 else 1), axis=-1)


def draw_views(
    labels: np.ndarray,
    size: int,
    rng: np.random.Generator,
    *,
    channels: Sequence[int],
    coloured: bool = False,
) -> List[np.ndarray]:
    """Views `[n, size, size, channels]`, each of a picture of its own.

    Coloured, the last view is plain but for noise, in a colour for every direction: whoever
    predicts its pixels from the first one has to see the direction.
    """
    views = [draw(labels, size, rng)[..., :number] for number in channels]
    if coloured:
        angle = 2 * np.pi * labels / CLASSES
        colour = np.stack([np.cos(angle), np.sin(angle)], axis=-1)[:, None, None] / 2
        views[-1] = (colour + 0.1 * rng.normal(size=views[-1].shape)).astype(np.float32)
    return views


def draw_patches(labels: np.ndarray, patch: int, rng: np.random.Generator) -> np.ndarray:
    """Patches `[n, 9, patch, patch, 3]` of pictures, cut from a 3x3 grid without gaps."""
    grid = draw(labels, 3 * patch, rng).reshape(len(labels), 3, patch, 3, patch, 3)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(len(labels), 9, patch, patch, 3)
