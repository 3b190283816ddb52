"""`digits`: handwritten digits on coloured, cluttered canvases; small, embedded, and not trivial.

The 1,797 digits of scikit-learn (8x8 pixels) are divided once, class by class, into training and
test digits. Every record is a 32x32 canvas with one of its split's digits, at a place, scale and
colour of its own, over coloured clouds with strokes and a piece of another digit. Nearest
neighbours in pixel space hardly see the digit; a person reads it at once, and a small encoder that
learns what survives cropping and the loss of colour does too.

Every canvas is a pure function of (split, index): all its draws come from one generator seeded
with them.
"""

import functools
from typing import Iterator

import numpy as np

from tfssl.data.class_lists import choose_classes, keep_classes
from tfssl.data.settings import DataConfig
from tfssl.data.source import NoSuchSplit, PixelSource

# How hard the task is. Lengths are in pixels of the canvas, colours and lumas in [0, 1].
CANVAS = 32
NUM_CANVASES = {"train": 8192, "test": 2048}
TEST_DIGITS = 0.2  # Fraction of each class's digits that only test canvases show.
# The digit, light on a darker ground. It nearly fills the canvas, so that its place says little
# and its shape is what two crops share; a small digit's place would be what methods learn.
DIGIT_SIZE = (20.0, 26.0)  # Height of the digit's 8x8 box, which its ink nearly fills.
DIGIT_ASPECT = (0.85, 1.15)  # Width over height, relative to the original.
DIGIT_CONTRAST = (0.40, 0.50)  # Luma between the digit and the mean background.
DIGIT_SATURATION = 0.6
INK_RANGE = (0.30, 0.70)  # Ink below the first is transparent, above the second opaque.
# The background: clouds of strong colours and nearly one luma. They defeat nearest neighbours in
# pixels, and grey views do not see them.
BACKGROUND_SATURATION = 0.4
BACKGROUND_MARGIN = 0.08  # Mean lumas of background and digit stay this far from 0 and 1.
LUMA_SPREAD = 0.3  # Part of the room between the margins that mean lumas take.
CLOUD_CELLS = 5  # Random values along each axis, joined smoothly.
CLOUD_GREY = 0.1  # Range of the part of a cloud that is the same in all channels.
CLOUD_TINT = 1.6  # Range of the part that each channel has on its own, without its luma.
# The clutter.
NUM_STROKES = 2
STROKE_LENGTH = (4.0, 12.0)
STROKE_WIDTH = (0.6, 1.2)  # Half of the width.
NUM_FRAGMENTS = 1
FRAGMENT_SIZE = (7.0, 11.0)  # Other digits of the split, too small and faint to compete.
CLUTTER_CONTRAST = 0.15  # Largest difference in luma from the mean background.
CLUTTER_SATURATION = 0.25

_SEED = 1797
_SPLITS = ("train", "test")
_CHUNK = 256  # Canvases drawn at once: their intermediate arrays stay in the cache.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Draws a canvas: background, digit, strokes and fragments.
_NUM_DRAWS = 5 + 3 * CLOUD_CELLS**2 + 7 + 9 * (NUM_STROKES + NUM_FRAGMENTS)


def open_digits(config: DataConfig, split: str) -> PixelSource:
    """Opens the training or test canvases.

    Args:
        config: the data settings; `class_list` may name some of the digits '0' to '9'.
        split: `train` (8,192 canvases) or `test` (2,048).

    Returns:
        The source, 32x32x3 pixels in memory, labels 0 to 9.

    Raises:
        SettingsError: another split, or a class list with other classes.
    """
    if split not in _SPLITS:
        raise NoSuchSplit(f"split of digits: expected 'train' or 'test'. Received: {split!r}.")
    pixels, labels = _all_canvases(split)
    names = tuple(str(digit) for digit in range(10))
    chosen = choose_classes(config.class_list, names, where="digits")
    kept, labels = keep_classes(labels, names, chosen)
    return PixelSource(f"digits/{split}", pixels[kept], labels=labels, class_names=chosen)


@functools.lru_cache(maxsize=None)
def _all_canvases(split: str) -> tuple[np.ndarray, np.ndarray]:
    """All canvases of a split, to be copied; drawing them takes seconds."""
    return draw_canvases(split, np.arange(NUM_CANVASES[split]))


@functools.lru_cache(maxsize=None)
def digit_split(split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The handwritten digits of one split; the two splits share none.

    Args:
        split: `train` or `test`.

    Returns:
        images: `[n, 8, 8]` float32 ink in [0, 1].
        labels: `[n]` int64.
        numbers: `[n]` int64, their positions in scikit-learn's dataset.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(_SEED).permutation(len(data.target))
    test = np.zeros(len(order), bool)
    for digit in range(10):
        members = order[data.target[order] == digit]
        test[members[: round(TEST_DIGITS * len(members))]] = True
    members = np.flatnonzero(test == (split == "test"))
    # Mixed again, or the first training digits would all be of the classes with most digits.
    numbers = np.random.default_rng((_SEED, 1)).permutation(members)
    images = (data.images[numbers] / 16.0).astype(np.float32)
    return images, data.target[numbers].astype(np.int64), numbers.astype(np.int64)


def draw_canvases(split: str, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draws canvases; each depends on its split and index alone.

    Args:
        split: `train` or `test`.
        indices: `[n]` integer, >= 0.

    Returns:
        pixels: `[n, 32, 32, 3]` uint8.
        labels: `[n]` int64.
    """
    images, labels, _ = digit_split(split)
    number = _SPLITS.index(split)
    draws = np.stack(
        [np.random.default_rng((_SEED, number, int(i))).random(_NUM_DRAWS) for i in indices]
    ).astype(np.float32)
    chosen = np.asarray(indices) % len(images)
    chunks = [slice(first, first + _CHUNK) for first in range(0, len(chosen), _CHUNK)]
    pixels = [_draw(draws[rows], images, chosen[rows]) for rows in chunks]
    return np.concatenate(pixels), labels[chosen]


def _draw(draws: np.ndarray, images: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Composes canvases `[n, 32, 32, 3]` from uniform draws `[n, _NUM_DRAWS]`, back to front."""
    draw = iter(draws.T)
    # The digit's contrast comes first: the background leaves room for it in [0, 1].
    contrast = _between(draw, *DIGIT_CONTRAST)
    room = 1.0 - contrast - 2.0 * BACKGROUND_MARGIN
    luma = BACKGROUND_MARGIN + (0.5 + LUMA_SPREAD * (next(draw) - 0.5)) * room
    canvas = _background(draw, luma)
    for _ in range(NUM_STROKES):
        canvas = _paint(canvas, _clutter_colour(draw, luma), _stroke(draw))
    for _ in range(NUM_FRAGMENTS):
        colour = _clutter_colour(draw, luma)
        others = images[(next(draw) * len(images)).astype(np.int64)]
        canvas = _paint(canvas, colour, _glyph(draw, others, FRAGMENT_SIZE, inside=False))
    colour = _colour(draw, luma + contrast, DIGIT_SATURATION)
    canvas = _paint(canvas, colour, _glyph(draw, images[chosen], DIGIT_SIZE, inside=True))
    pixels = np.rint(np.clip(canvas, 0.0, 1.0) * 255.0).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))


def _between(draw: Iterator[np.ndarray], low: float, high: float) -> np.ndarray:
    """The next draw `[n]`, scaled to `[low, high)`."""
    return low + (high - low) * next(draw)


def _colour(draw: Iterator[np.ndarray], luma: np.ndarray, saturation: float) -> np.ndarray:
    """Colours `[n, 3]` with the given luma `[n]` (before clipping) and a random tint."""
    tint = np.stack([next(draw), next(draw), next(draw)], axis=-1) - 0.5
    tint -= (tint @ _LUMA)[:, None]
    return np.clip(luma[:, None] + 2.0 * saturation * tint, 0.0, 1.0)


def _clutter_colour(draw: Iterator[np.ndarray], luma: np.ndarray) -> np.ndarray:
    """Colours `[n, 3]` near the background's luma `[n]`."""
    nearby = luma + _between(draw, -CLUTTER_CONTRAST, CLUTTER_CONTRAST)
    return _colour(draw, nearby, CLUTTER_SATURATION)


def _background(draw: Iterator[np.ndarray], luma: np.ndarray) -> np.ndarray:
    """Soft clouds `[n, 3, 32, 32]` around a colour of the given luma `[n]`."""
    middle = _colour(draw, luma, BACKGROUND_SATURATION)
    cells = [next(draw) for _ in range(3 * CLOUD_CELLS**2)]
    cells = np.stack(cells, -1).reshape(-1, 3, CLOUD_CELLS, CLOUD_CELLS) - 0.5
    tint = cells - np.einsum("c,nchw->nhw", _LUMA, cells)[:, None]
    cells = CLOUD_GREY * cells[:, :1] + CLOUD_TINT * tint
    weights = _cubic_weights(np.float32([-4.0]), np.float32([CANVAS + 8.0]), CLOUD_CELLS)[0]
    return middle[:, :, None, None] + weights @ cells @ weights.T


def _stroke(draw: Iterator[np.ndarray]) -> np.ndarray:
    """Coverage `[n, 32, 32]` in [0, 1] of one straight stroke with round ends."""
    centre_y, centre_x = _between(draw, 0.0, CANVAS), _between(draw, 0.0, CANVAS)
    half = 0.5 * _between(draw, *STROKE_LENGTH)[:, None, None]
    angle = _between(draw, 0.0, np.pi)[:, None, None]
    width = _between(draw, *STROKE_WIDTH)[:, None, None]
    pixel = np.arange(CANVAS, dtype=np.float32) + 0.5
    y = (pixel - centre_y[:, None])[:, :, None]
    x = (pixel - centre_x[:, None])[:, None, :]
    cos, sin = np.cos(angle), np.sin(angle)
    beyond = np.maximum(np.abs(x * cos + y * sin) - half, 0.0)
    distance = np.sqrt(beyond**2 + (y * cos - x * sin) ** 2)
    return np.clip(width + 0.5 - distance, 0.0, 1.0)


def _glyph(
    draw: Iterator[np.ndarray], images: np.ndarray, size: tuple[float, float], *, inside: bool
) -> np.ndarray:
    """Coverage `[n, 32, 32]` in [0, 1] of digits `[n, 8, 8]` at a random size and place."""
    height = _between(draw, *size)
    width = np.minimum(height * _between(draw, *DIGIT_ASPECT), CANVAS)
    # Digits stay whole; fragments may hang over the border by half their size.
    overhang = 0.0 if inside else 0.5
    top = _between(draw, 0.0, 1.0) * (CANVAS - height * (1 - 2 * overhang)) - overhang * height
    left = _between(draw, 0.0, 1.0) * (CANVAS - width * (1 - 2 * overhang)) - overhang * width
    rows, columns = _cubic_weights(top, height, 8), _cubic_weights(left, width, 8)
    ink = rows @ images @ columns.transpose(0, 2, 1)
    low, high = INK_RANGE
    return np.clip((ink - low) / (high - low), 0.0, 1.0)


def _cubic_weights(start: np.ndarray, size: np.ndarray, samples: int) -> np.ndarray:
    """Weights `[n, 32, samples]` that stretch samples over `size` pixels from `start`.

    Cubic convolution with a = -1/2, Keys 1981.
    """
    pixel = np.arange(CANVAS, dtype=np.float32) + 0.5
    sample = (pixel - start[:, None]) / size[:, None] * samples - 0.5
    t = np.abs(sample[:, :, None] - np.arange(samples, dtype=np.float32))
    near = (1.5 * t - 2.5) * t * t + 1.0
    far = ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0
    return np.where(t < 1.0, near, np.where(t < 2.0, far, 0.0))


def _paint(canvas: np.ndarray, colour: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """Blends a colour `[n, 3]` over each canvas, by the coverage `[n, 32, 32]` of its pixels."""
    return canvas + coverage[:, None] * (colour[:, :, None, None] - canvas)
