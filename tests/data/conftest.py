"""A view family as small as can be, folders of images, and no network."""

import socket

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfssl.data import decode_rgb


class FakeFamily:
    """Two views: the image in [0, 1], and the image plus a number that shows its key."""

    num_views = 2

    def __call__(self, images, keys):
        return self.finish((tf.cast(images, tf.float32) / 255.0,), keys)

    def crop(self, image, key):
        pixels = decode_rgb(image) if image.dtype == tf.string else image
        return (tf.image.resize(tf.cast(pixels, tf.float32) / 255.0, [8, 8]),)

    def finish(self, crops, keys):
        shift = tf.cast(keys % 1009, tf.float32)
        return crops[0], crops[0] + shift[:, None, None, None]


@pytest.fixture
def family():
    return FakeFamily()


def smooth_image(seed, size=(40, 30)):
    """A Pillow RGB image without sharp edges, so that lossy formats keep it."""
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.BICUBIC)


@pytest.fixture
def image_folder(tmp_path):
    """Ten small JPEGs in two classes; returns the folder."""
    for number in range(10):
        path = tmp_path / "images" / ("ant", "bee")[number % 2] / f"{number:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        smooth_image(number, (20 + number, 30 - number)).save(path, quality=95)
    return tmp_path / "images"


@pytest.fixture
def no_network(monkeypatch):
    """Any attempt to connect fails the test at once."""

    def refuse(*args, **kwargs):
        raise AssertionError(f"a connection was tried: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
