"""Decoding against Pillow."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.random_inputs import fresh_rng
from tests.views import pictures
from tfssl.views.decode import decode_part, open_image


def pillow(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def decode(data, low, high):
    """The asked part, cut from what was decoded."""
    shape, pixels = open_image(tf.constant(data))
    part, origin = decode_part(
        tf.constant(data), shape, pixels, tf.constant(low), tf.constant(high)
    )
    (top, left), (bottom, right) = low - origin.numpy(), high - origin.numpy()
    return shape.numpy(), part.numpy(), part.numpy()[top:bottom, left:right]


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_any_part_of_a_jpeg_equals_pillow(subsampling):
    """Also at the edges of the part, where colour comes from pixels outside it."""
    rng = fresh_rng()
    data = pictures.encoded(
        pictures.picture(150, 200, detail=40), "JPEG", quality=80, subsampling=subsampling
    )
    expected = pillow(data)
    for _ in range(15):
        low = np.array([rng.integers(0, 150), rng.integers(0, 200)], np.int32)
        high = np.array([rng.integers(low[0] + 1, 151), rng.integers(low[1] + 1, 201)], np.int32)
        shape, part, cut = decode(data, low, high)
        assert shape.tolist() == [150, 200]
        np.testing.assert_array_equal(cut, expected[low[0] : high[0], low[1] : high[1]])
        assert part.shape[0] <= high[0] - low[0] + 8 and part.shape[1] <= high[1] - low[1] + 8


RGBA = np.dstack([pictures.picture(20, 30), np.full((20, 30), 99, np.uint8)])


@pytest.mark.parametrize(
    "kind, image",
    [
        ("PNG", pictures.picture(20, 30)),
        ("PNG", pictures.picture(20, 30)[..., 0]),
        ("PNG", RGBA),
        ("BMP", pictures.picture(20, 30)),
        ("BMP", RGBA),
        ("GIF", pictures.picture(20, 30)[..., 0]),
        ("JPEG", pictures.picture(20, 30)[..., 0]),
        ("JPEG", pictures.picture(1, 1)),
        ("PNG", pictures.picture(1, 1)),
    ],
    ids=lambda value: value if isinstance(value, str) else "x".join(map(str, value.shape)),
)
def test_every_format_equals_pillow(kind, image):
    data = pictures.encoded(image, kind)
    high = np.array(image.shape[:2], np.int32)
    shape, _, cut = decode(data, np.zeros(2, np.int32), high)
    assert shape.tolist() == high.tolist()
    np.testing.assert_array_equal(cut, pillow(data))


def test_first_frame_of_an_animation():
    frames = [Image.fromarray(pictures.picture(10, 12)).quantize(64) for _ in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    _, _, cut = decode(buffer.getvalue(), np.zeros(2, np.int32), np.array([10, 12], np.int32))
    np.testing.assert_array_equal(cut, pillow(buffer.getvalue()))


def test_bytes_that_are_no_image_raise():
    with pytest.raises(tf.errors.InvalidArgumentError):
        open_image(tf.constant(b"not an image"))
