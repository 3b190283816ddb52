"""Digits and backgrounds whose pixels tell which they are and where they were cut."""

import pathlib
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from tests.data.conftest import smooth_image
from tests.data.prepared import write_prepared
from tfssl.data.moving_digits import MovingDigits

SIDE = 96
DIGITS, BACKGROUNDS = 12, 9
# Of each split of what `write_data` writes.
RECORDS_ON_DISK = {"train": 10, "test": 6}
IMAGES_ON_DISK = {"train": 9, "test": 5}


class Shown(NamedTuple):
    """What a frame shows: numbers of digit and background, top-left pixels."""

    digit: int
    image: int
    corner: tuple
    place: tuple


def digit_pixels(count=DIGITS):
    """`[count, 28, 28]` uint8: white frames with the number's bits inside, half opaque."""
    pixels = np.zeros([count, 28, 28], np.uint8)
    pixels[:, [0, -1]] = 255
    pixels[:, :, [0, -1]] = 255
    for number in range(count):
        for bit in range(4):
            pixels[number, 4 + 5 * bit : 7 + 5 * bit, 4:24] = 128 * (number >> bit & 1)
    return pixels


def background_pixels(count=BACKGROUNDS):
    """`[count, 96, 96, 3]` uint8: the number in red, the row in green, the column in blue."""
    numbers, rows, columns = np.meshgrid(
        np.arange(count), np.arange(SIDE), np.arange(SIDE), indexing="ij"
    )
    return np.stack([20 * numbers, 2 * rows, 2 * columns], axis=-1).astype(np.uint8)


def source(shared="digit,position,background", **options):
    labels = {"labels": np.arange(DIGITS) % 10, "background_labels": np.arange(BACKGROUNDS) % 4}
    return MovingDigits(
        "moving",
        digit_pixels(),
        background_pixels(),
        shared=shared.split(","),
        **{**labels, **options},
    )


def read(frame):
    """What a frame `[64, 64, 3]` shows, from its pixels."""
    white = (frame == 255).all(axis=-1)
    place = int(white.any(axis=1).argmax()), int(white.any(axis=0).argmax())
    box = frame[place[0] : place[0] + 28, place[1] : place[1] + 28]
    assert box.shape == (28, 28, 3) and white.sum() == 4 * 27
    free = np.argwhere(_outside(place))[0]
    red, green, blue = (int(v) for v in frame[tuple(free)])
    corner = green // 2 - free[0], blue // 2 - free[1]
    assert red % 20 == 0
    # Behind a half opaque pixel red is lifted far above that of the background.
    bits = [int(box[5 + 5 * bit, 10, 0]) > red + 2 for bit in range(4)]
    digit = sum(int(bit) << i for i, bit in enumerate(bits))
    return Shown(digit, red // 20, corner, place)


def _outside(place):
    outside = np.ones([64, 64], bool)
    outside[place[0] : place[0] + 28, place[1] : place[1] + 28] = False
    return outside


def small_image(split, number):
    return np.asarray(smooth_image(number + 50 * (split == "test"), (12, 12)))


def write_data(root: pathlib.Path) -> pathlib.Path:
    """Writes what `--data_dir` names: MNIST, and backgrounds of several sizes; returns its path.

    Records have three classes, by their number. The test split has the digits from the last one
    on. "large" are backgrounds as large as STL-10's, "small" are smooth images of 12 pixels, and
    "trained" are the same without a test split.
    """
    label = tfds.features.ClassLabel(names=["ant", "bee", "cat"])

    def write(name, shape, sizes, pixels):
        features = tfds.features.FeaturesDict(
            {"image": tfds.features.Image(shape=shape), "label": label}
        )
        write_prepared(
            *(root, name, features, sizes),
            lambda split, number: {"image": pixels(split, number), "label": number % 3},
        )

    def digit(split, number):
        return digit_pixels()[number if split == "train" else -1 - number][..., np.newaxis]

    write("mnist", (28, 28, 1), RECORDS_ON_DISK, digit)
    write("large", (96, 96, 3), IMAGES_ON_DISK, lambda _, number: background_pixels()[number])
    write("small", (12, 12, 3), IMAGES_ON_DISK, small_image)
    write("trained", (12, 12, 3), {"train": 4}, small_image)
    return root
