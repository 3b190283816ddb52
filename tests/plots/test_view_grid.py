"""The grid of views shows every pixel where it belongs."""

import numpy as np
import pytest

from tests.random_inputs import fresh_rng
from tfssl.plots import view_grid

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


def test_pictures_stand_side_by_side_at_their_own_size():
    random = fresh_rng()
    pictures = [random.integers(0, 256, (5, size, size, 3), np.uint8) for size in (8, 8, 3)]
    views = [(picture / 255 - MEAN) / STD for picture in pictures]
    grid = view_grid(views, mean=MEAN, std=STD, num_images=4, gap=2)
    assert grid.shape == (4 * 10 + 2, 10 + 10 + 5 + 2, 3) and grid.dtype == np.uint8
    for row in range(4):
        for left, size, picture in zip((2, 12, 22), (8, 8, 3), pictures):
            top = 2 + 10 * row
            shown = grid[top : top + size, left : left + size]
            np.testing.assert_array_equal(shown, picture[row])
    assert (grid[:2] == 255).all() and (grid[:, :2] == 255).all()


def test_frames_of_a_clip_are_columns():
    random = fresh_rng()
    clips, frames = (random.integers(0, 256, (2, *n, 4, 4, 3), np.uint8) for n in ((3,), ()))
    grid = view_grid(
        [(pixels / 255 - MEAN) / STD for pixels in (clips, frames)], mean=MEAN, std=STD, gap=1
    )
    assert grid.shape == (2 * 5 + 1, 4 * 5 + 1, 3)
    for row in range(2):
        for column, picture in enumerate([*clips[row], frames[row]]):
            shown = grid[1 + 5 * row :, 1 + 5 * column :][:4, :4]
            np.testing.assert_array_equal(shown, picture)


def test_values_beyond_the_range_are_clipped():
    view = np.full((1, 2, 2, 3), 100.0)
    grid = view_grid([view, -view], mean=MEAN, std=STD, gap=0)
    assert (grid[:, :2] == 255).all() and (grid[:, 2:] == 0).all()


def test_patches_are_one_more_column_in_raster_order():
    random = fresh_rng()
    view = random.integers(0, 256, (3, 8, 8, 3), np.uint8)
    patches = random.integers(0, 256, (3, 9, 4, 4, 3), np.uint8)
    grid = view_grid(
        [(view / 255 - MEAN) / STD],
        mean=MEAN,
        std=STD,
        patches=(patches / 255 - MEAN) / STD,
        num_images=2,
        gap=1,
    )
    # Three patches of 4 with two gaps are 14 pixels.
    assert grid.shape == (2 * 15 + 1, 9 + 15 + 1, 3)
    covered = np.zeros(grid.shape[:2], bool)
    for row in range(2):
        np.testing.assert_array_equal(grid[1 + 15 * row :][:8, 1:9], view[row])
        covered[1 + 15 * row :, 1:9][:8] = True
        for number in range(9):
            top, left = 1 + 15 * row + 5 * (number // 3), 10 + 5 * (number % 3)
            place = slice(top, top + 4), slice(left, left + 4)
            np.testing.assert_array_equal(grid[place], patches[row, number])
            covered[place] = True
    assert (grid[~covered] == 255).all()


@pytest.mark.parametrize("mean, std", [(None, None), (MEAN, STD)])
def test_groups_of_channels_in_any_colours(mean, std):
    """Values in [-1, 1]: one channel in grey, two as red and green with blue in the middle."""
    random = fresh_rng()
    pixels = random.integers(0, 256, (3, 6, 6, 3), np.uint8)
    light, chroma = np.split(pixels / 127.5 - 1, [1], axis=-1)
    grid = view_grid([light, chroma], mean=mean, std=std, num_images=2, gap=1)
    assert grid.shape == (2 * 7 + 1, 2 * 7 + 1, 3)
    for row in range(2):
        top = 1 + 7 * row
        grey, colour = grid[top : top + 6, 1:7], grid[top : top + 6, 8:14]
        for channel in range(3):
            np.testing.assert_array_equal(grey[..., channel], pixels[row, ..., 0])
        np.testing.assert_array_equal(colour[..., :2], pixels[row, ..., 1:])
        assert (colour[..., 2] == 128).all()


def test_whole_images_of_another_space():
    """Three channels without mean and std are in [-1, 1] as well, their patches too."""
    pixels = fresh_rng().integers(0, 256, (1, 10, 4, 4, 3), np.uint8)
    made = pixels / 127.5 - 1
    grid = view_grid([made[:, 0]], mean=None, std=None, patches=made[:, 1:], gap=0)
    assert grid.shape == (12, 16, 3)
    np.testing.assert_array_equal(grid[:4, :4], pixels[0, 0])
    np.testing.assert_array_equal(grid[4:8, 12:16], pixels[0, 6])


def test_values_beyond_the_range_of_channels_are_clipped():
    light = np.array([[[[-3.0], [3.0]]]]).repeat(2, axis=1)
    grid = view_grid([light], mean=None, std=None, gap=0)
    assert (grid[:, 0] == 0).all() and (grid[:, 1] == 255).all()
