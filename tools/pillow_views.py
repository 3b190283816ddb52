"""The view recipes of the benchmark written with Pillow, as the yardstick in two processes.

The recipes are read from `tfssl.views.FAMILIES` by the caller and passed as plain data, so that
worker processes import nothing but Pillow and NumPy.
"""

import io
import math
import multiprocessing
import random
import time
from typing import Any, Sequence

import numpy as np
import pillow_operations
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

_INTERPOLATION = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}

# A view: (size, area range, interpolation, steps), a step: (name of the layer, its arguments).
View = tuple[int, tuple[float, float], str, list[tuple[str, dict[str, Any]]]]


class PillowPool:
    """Worker processes that make views with Pillow; a context manager."""

    def __init__(self, processes: int):
        """Starts the processes afresh."""
        self._processes = processes
        self._pool = multiprocessing.get_context("spawn").Pool(processes)

    def __enter__(self):
        """Returns itself."""
        return self

    def __exit__(self, *_):
        """Ends the processes."""
        self._pool.terminate()
        self._pool.join()

    def seconds(self, images: Sequence[Any], views: Sequence[View]) -> float:
        """Wall time of making all views of some images.

        Args:
            images: encoded files (bytes) or uint8 arrays `[height, width, 3]`.
            views: the views to make of each image.
        """
        parts = [(images[i :: self._processes], views) for i in range(self._processes)]
        start = time.perf_counter()
        self._pool.starmap(_make_all, parts, chunksize=1)
        return time.perf_counter() - start


def _make_all(images: Sequence[Any], views: Sequence[View]) -> int:
    """Makes all views of some images; they stay in the worker, which favours Pillow."""
    count = 0
    for item in images:
        if isinstance(item, bytes):
            image = Image.open(io.BytesIO(item)).convert("RGB")
        else:
            image = Image.fromarray(item)
        count += sum(make(image, *view).size for view in views)
    return count


def make(image: Image.Image, size: int, area, interpolation: str, steps) -> np.ndarray:
    """One view of a Pillow image: `[size, size, 3]` float32, normalised."""
    left, top, width, height = _random_window(image.size, area)
    view = image.crop((left, top, left + width, top + height))
    view = view.resize((size, size), _INTERPOLATION[interpolation])
    for name, arguments in steps:
        if random.random() < arguments.get("probability", 1.0):
            view = _STEPS[name](view, arguments)
    pixels = np.asarray(view, np.float32) / np.float32(255)
    return (pixels - np.float32(0.45)) / np.float32(0.225)


def _random_window(size: tuple[int, int], area) -> tuple[int, int, int, int]:
    """(left, top, width, height) by torchvision's rules."""
    width, height = size
    for _ in range(10):
        part = random.uniform(*area) * width * height
        ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(part * ratio)), round(math.sqrt(part / ratio))
        if 0 < w <= width and 0 < h <= height:
            return random.randint(0, width - w), random.randint(0, height - h), w, h
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side, side


def _jitter(view: Image.Image, arguments: dict[str, Any]) -> Image.Image:
    operations = list(_JITTER)
    random.shuffle(operations)
    for name in operations:
        strength = arguments[name]
        low, high = (-strength, strength) if name == "hue" else (max(0, 1 - strength), 1 + strength)
        view = _JITTER[name](view, random.uniform(low, high))
    return view


def _hue(view: Image.Image, shift: float) -> Image.Image:
    hue, saturation, value = view.convert("HSV").split()
    turned = np.asarray(hue) + np.uint8(int(shift * 255) % 256)
    return Image.merge("HSV", (Image.fromarray(turned), saturation, value)).convert("RGB")


def _blur(view: Image.Image, arguments: dict[str, Any]) -> Image.Image:
    return view.filter(ImageFilter.GaussianBlur(random.uniform(*arguments["sigma"])))


def _rand_augment(view: Image.Image, arguments: dict[str, Any]) -> Image.Image:
    """Two operations of magnitude 10, each left out half of the time."""
    for _ in range(2):
        name, level = random.choice(arguments["operations"]), min(10.0, random.gauss(10, 0.5))
        if random.random() < 0.5:
            continue
        if name in pillow_operations.MAPS:
            sign, cubic = random.choice([-1, 1]), random.random() < 0.5
            view = pillow_operations.affine(view, name, sign * level, cubic, (124, 116, 104))
        else:
            view = pillow_operations.point(view, name, level)
    return view


_JITTER = {
    "brightness": lambda view, factor: ImageEnhance.Brightness(view).enhance(factor),
    "contrast": lambda view, factor: ImageEnhance.Contrast(view).enhance(factor),
    "saturation": lambda view, factor: ImageEnhance.Color(view).enhance(factor),
    "hue": _hue,
}
_STEPS = {
    "ColorJitter": _jitter,
    "Grayscale": lambda view, _: view.convert("L").convert("RGB"),
    "GaussianBlur": _blur,
    "Solarize": lambda view, arguments: ImageOps.solarize(view, arguments["threshold"]),
    "HorizontalFlip": lambda view, _: ImageOps.mirror(view),
    "Levels": lambda view, _: view,
    "RandAugment": _rand_augment,
}
