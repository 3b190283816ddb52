"""Each operation of RandAugment against Pillow, to the bit (property 12 of the InfoMin sheet)."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.random_inputs import fresh_rng
from tests.views import pictures, pillow_operations
from tfssl.views import rand_augment_operations as operations
from tfssl.views.affine import transform_levels

FILL = (124, 30, 201)


def planar(image):
    return tf.constant(np.moveaxis(image, -1, 0)[None], tf.float32)


def interleaved(levels):
    return np.moveaxis(np.asarray(levels[0]), 0, -1)


def noise(shape):
    return fresh_rng().integers(0, 256, (*shape, 3), dtype=np.uint8)


def examples():
    """Noise, a photograph's smoothness, blocks of equal pixels, a channel of one level, ramps."""
    blocks = noise((5, 6)).repeat(4, 0).repeat(5, 1)
    flat = noise((30, 30))
    flat[..., 1] = 77
    row, column = np.mgrid[:24, :32]
    ramps = np.stack([8 * column, 10 * row, 4 * (row + column)], -1).astype(np.uint8)
    return [noise((20, 20)), pictures.picture(20, 30, margin=80), blocks, flat, ramps]


def mapped(name, cubic, *, compiled=True):
    """A map of levels at a strength, float64."""

    def change(levels, strength):
        coefficients = operations.AFFINE_OPERATIONS[name](strength, *levels.shape[2:])
        coefficients = [tf.cast(c, tf.float64) for c in coefficients]
        return transform_levels(levels, coefficients, fill=FILL, cubic=cubic)

    return tf.function(change, jit_compile=compiled, autograph=False)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("cubic", [False, True])
@pytest.mark.parametrize("name", pillow_operations.MAPS)
def test_maps_equal_pillow(name, cubic, compiled):
    change = mapped(name, cubic, compiled=compiled)
    for image in (*examples(), noise((1, 6)), noise((9, 2))):
        for level in (-10.0, 10.0, 0.0, *fresh_rng().uniform(-10, 10, 3)):
            pillow = pillow_operations.affine(Image.fromarray(image), name, level, cubic, FILL)
            result = interleaved(change(planar(image), tf.constant(level / 10, tf.float64)))
            # Rotation's sines may differ in their last bit; then one level is on the other side.
            wrong = (result != np.asarray(pillow)).any(-1).sum()
            assert wrong <= (1 if name == "Rotate" else 0), (image.shape, level)


def test_the_fill_colour_comes_in_where_the_picture_left():
    image = noise((10, 20))
    result = interleaved(mapped("TranslateXRel", False)(planar(image), tf.constant(1.0, "float64")))
    # The source is 0.45 * 20 = 9 pixels to the right.
    np.testing.assert_array_equal(result[:, :11], image[:, 9:])
    np.testing.assert_array_equal(result[:, 11:], np.broadcast_to(FILL, (10, 9, 3)))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", pillow_operations.POINTS)
def test_point_operations_equal_pillow(name, compiled):
    change = operations.POINT_OPERATIONS[name]
    change = tf.function(change, jit_compile=compiled, autograph=False)
    for image in (*examples(), noise((3, 40)), noise((2, 9))):
        for level in (10.0, 9.7, 7.5, 3.3, *fresh_rng().uniform(0, 10, 2)):
            pillow = pillow_operations.point(Image.fromarray(image), name, level)
            result = interleaved(change(planar(image), tf.constant(level / 10, tf.float64)))
            np.testing.assert_array_equal(result, pillow, err_msg=f"{image.shape}, {level}")


def test_levels_of_the_table():
    """At 9.7: Posterize keeps 3 bits, Solarize starts at 248, SolarizeAdd adds 106."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, -1)

    def at(name, level):
        strength = tf.constant(level / 10, tf.float64)
        return interleaved(operations.POINT_OPERATIONS[name](planar(ramp), strength))[0, :, 0]

    x = np.arange(256)
    np.testing.assert_array_equal(at("Posterize", 9.7), x // 32 * 32)
    np.testing.assert_array_equal(at("Solarize", 9.7), np.where(x >= 248, 255 - x, x))
    added = np.where(x < 128, np.minimum(x + 106, 255), x)
    np.testing.assert_array_equal(at("SolarizeAdd", 9.7), added)
    # And at 10: 4 bits, nothing, 110.
    np.testing.assert_array_equal(at("Posterize", 10), x // 16 * 16)
    np.testing.assert_array_equal(at("Solarize", 10), x)
    np.testing.assert_array_equal(at("SolarizeAdd", 10)[:128], np.minimum(x[:128] + 110, 255))


def test_the_fifteen_operations_of_infomin_and_the_eight_of_cmc():
    everything = {*pillow_operations.POINTS, *pillow_operations.MAPS}
    assert len(operations.INFOMIN_OPERATIONS) == 15
    assert set(operations.INFOMIN_OPERATIONS) == everything - {"Identity"}
    assert set(operations.CMC_OPERATIONS) == set(pillow_operations.CMC)
