"""A picture of the views: one row an image, one column a view."""

from typing import Optional, Sequence

import numpy as np


def view_grid(
    views: Sequence[np.ndarray],
    *,
    mean: Optional[Sequence[float]],
    std: Optional[Sequence[float]],
    patches: Optional[np.ndarray] = None,
    num_images: int = 8,
    gap: int = 2,
) -> np.ndarray:
    """Draws the views of the first images of a batch side by side.

    Args:
        views: arrays `[batch, size, size, channels]`; sizes may differ between views. Of a clip,
            `[batch, frames, size, size, channels]`, every frame is a column. With three
            channels they are RGB, normalised by `mean` and `std`. Other views are channels of any
            colour space in [-1, 1]: one is drawn in grey, two as red and green.
        mean, std: per channel, for images in [0, 1]; None where views of three channels are of
            another colour space, too, and drawn as red, green and blue.
        patches: `[batch, 9, size, size, channels]`, normalised alike, drawn as one more column:
            three by three in raster order, with gaps.
        num_images: rows of the picture, at most.
        gap: white pixels between pictures.

    Returns:
        uint8 `[height, width, 3]`.
    """
    rows = min(num_images, len(views[0]))
    columns = [
        _pixels(images[:rows], mean, std)
        for view in views
        for images in (np.moveaxis(view, 1, 0) if np.ndim(view) == 5 else [view])
    ]
    if patches is not None:
        columns.append(_mosaics(_pixels(patches[:rows], mean, std), gap))
    cell = max(column.shape[1] for column in columns)
    height = rows * (cell + gap) + gap
    width = sum(column.shape[2] + gap for column in columns) + gap
    canvas = np.full((height, width, 3), 255, np.uint8)
    left = gap
    for column in columns:
        size = column.shape[1]
        for row, picture in enumerate(column):
            top = gap + row * (cell + gap)
            canvas[top : top + size, left : left + size] = picture
        left += size + gap
    return canvas


def _pixels(
    images: np.ndarray, mean: Optional[Sequence[float]], std: Optional[Sequence[float]]
) -> np.ndarray:
    """uint8 pixels of normalised images or of some channels."""
    images = np.asarray(images, np.float32)
    if images.shape[-1] == 3 and mean is not None:
        unit = images * np.asarray(std) + np.asarray(mean)
    else:
        unit = (images + 1) / 2
    if images.shape[-1] == 1:
        unit = np.repeat(unit, 3, axis=-1)
    if images.shape[-1] == 2:
        unit = np.concatenate([unit, np.full_like(unit[..., :1], 0.5)], axis=-1)
    return np.clip(np.rint(unit[..., :3] * 255), 0, 255).astype(np.uint8)


def _mosaics(patches: np.ndarray, gap: int) -> np.ndarray:
    """`[rows, 9, size, size, channels]` patches as one square picture a row, white between them."""
    rows, count, size, _, channels = patches.shape
    side = round(count**0.5)
    pitch = size + gap
    pictures = np.full((rows, *[side * pitch - gap] * 2, channels), 255, np.uint8)
    for number in range(count):
        top, left = (pitch * place for place in divmod(number, side))
        pictures[:, top : top + size, left : left + size] = patches[:, number]
    return pictures
