"""A picture of the views: one row an image, one column a view."""

from typing import Sequence

import numpy as np


def view_grid(
    views: Sequence[np.ndarray],
    *,
    mean: Sequence[float],
    std: Sequence[float],
    num_images: int = 8,
    gap: int = 2,
) -> np.ndarray:
    """Draws the views of the first images of a batch side by side.

    Args:
        views: arrays `[batch, size, size, channels]`, normalised by `mean` and `std`; sizes may
            differ between views.
        mean, std: per channel, for images in [0, 1].
        num_images: rows of the picture, at most.
        gap: white pixels between pictures.

    Returns:
        uint8 `[height, width, 3]`.
    """
    rows = min(num_images, len(views[0]))
    cell = max(view.shape[1] for view in views)
    height = rows * (cell + gap) + gap
    width = sum(view.shape[2] + gap for view in views) + gap
    canvas = np.full((height, width, 3), 255, np.uint8)
    left = gap
    for view in views:
        pixels = np.asarray(view[:rows], np.float32) * np.asarray(std) + np.asarray(mean)
        pixels = np.clip(np.rint(pixels * 255), 0, 255).astype(np.uint8)
        size = pixels.shape[1]
        for row, picture in enumerate(pixels):
            top = gap + row * (cell + gap)
            canvas[top : top + size, left : left + size] = picture
        left += size + gap
    return canvas
