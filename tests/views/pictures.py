"""Pictures for the tests of views, and NumPy versions of the colour operations."""

import io

import numpy as np
from PIL import Image

from tests.random_inputs import fresh_rng

GREY = np.array([0.299, 0.587, 0.114])


def picture(height: int = 60, width: int = 80, detail: int = 8, margin: int = 0) -> np.ndarray:
    """A smooth random photograph-like image, uint8 `[height, width, 3]`, with all colours.

    `margin` keeps its colours about that far from 0 and 255.
    """
    shape = (detail, detail, 3)
    coarse = fresh_rng().integers(margin, 256 - margin, shape, dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.BICUBIC))


def encoded(image: np.ndarray, kind: str, **options) -> bytes:
    """The bytes of an image file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


def brightness(x, factor):
    return np.clip(x * factor, 0, 1)


def contrast(x, factor):
    return np.clip(x * factor + (x @ GREY).mean() * (1 - factor), 0, 1)


def saturation(x, factor):
    return np.clip(x * factor + (x @ GREY)[..., None] * (1 - factor), 0, 1)


def hue(x, shift):
    """Through HSV, by sectors: another formula than the library's."""
    high, low = x.max(-1), x.min(-1)
    chroma = high - low
    safe = np.where(chroma == 0, 1, chroma)
    red, green, blue = np.moveaxis(x, -1, 0)
    angle = np.where(
        high == red,
        ((green - blue) / safe) % 6,
        np.where(high == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    angle = (angle / 6 + shift) % 1 * 6
    second = chroma * (1 - np.abs(angle % 2 - 1))
    zero = np.zeros_like(chroma)
    sectors = [
        (chroma, second, zero),
        (second, chroma, zero),
        (zero, chroma, second),
        (zero, second, chroma),
        (second, zero, chroma),
        (chroma, zero, second),
    ]
    sector = np.floor(angle).astype(int) % 6
    rgb = np.choose(sector[..., None], [np.stack(s, -1) for s in sectors])
    return np.where(chroma[..., None] == 0, x, rgb + low[..., None])


OPERATIONS = (brightness, contrast, saturation, hue)
