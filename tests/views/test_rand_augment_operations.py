"""Each operation of RandAugment against Pillow, on random images."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.random_inputs import fresh_rng
from tests.views import pictures, pillow_operations
from tfssl.views import rand_augment_operations as operations
from tfssl.views.affine import transform_affine

FILL = (124, 30, 201)
# Places in the input have rounding errors of some 1e-6 pixels, and values change by up to some
# hundred levels a pixel.
ROUNDING = 0.02


def planar(image):
    return tf.constant(np.moveaxis(image, -1, 0)[None] / 255.0, tf.float32)


def levels(images):
    return np.moveaxis(np.asarray(images[0], np.float64), 0, -1) * 255


def noise(shape):
    return fresh_rng().integers(0, 256, (*shape, 3), dtype=np.uint8)


def ours(name, image, level, cubic):
    matrix = operations.AFFINE_OPERATIONS[name](
        tf.constant(level / 10, tf.float32), *image.shape[:2]
    )
    fill = [value / 255 for value in FILL]
    return levels(transform_affine(planar(image), matrix, fill=fill, cubic=cubic))


def far_from_the_edge(name, level, shape):
    """Pixels of the output that do not come from the very edge of the input.

    There rounding decides between the picture and the fill colour.
    """
    height, width = shape
    y, x = np.mgrid[:height, :width] + 0.5
    if name == "Rotate":
        angle = np.radians(30 * level / 10)
        x, y = x - width / 2, y - height / 2
        x, y = np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y
        x, y = x + width / 2, y + height / 2
    else:
        a, b, c, d, e, f = pillow_operations.shear_or_translation(name, level, (width, height))
        x, y = a * x + b * y + c, d * x + e * y + f
    distances = np.abs([x, x - width, y, y - height])
    return (distances > 1e-4).all(0)


@pytest.mark.parametrize("shape", [(23, 23), (12, 31), (1, 6), (9, 2)])
@pytest.mark.parametrize("cubic", [False, True])
@pytest.mark.parametrize("name", pillow_operations.MAPS)
def test_maps_equal_pillow(name, cubic, shape):
    """Pillow cuts the digits behind the point off, so ours is up to one level brighter.

    On images of floating-point numbers it does not: there both agree.
    """
    levels = [-10.0, 10.0, 0.0, *fresh_rng().uniform(-10, 10, 20)]
    # At some levels an edge runs along the centres of a small image's pixels.
    clear = [level for level in levels if far_from_the_edge(name, level, shape).mean() > 0.8]
    assert len(clear) > 6
    for level in clear[:6]:
        image = noise(shape)
        result = ours(name, image, level, cubic)
        sure = far_from_the_edge(name, level, shape)
        pillow = pillow_operations.affine(Image.fromarray(image), name, level, cubic, FILL)
        difference = (result - np.asarray(pillow))[sure]
        assert difference.min() > -ROUNDING and difference.max() < 1 + ROUNDING, level
        for channel, fill in enumerate(FILL):
            single = Image.fromarray(image[..., channel].astype(np.float32))
            exact = pillow_operations.affine(single, name, level, cubic, fill)
            np.testing.assert_allclose(
                result[sure, channel], np.clip(exact, 0, 255)[sure], atol=ROUNDING
            )


def test_the_fill_colour_comes_in_where_the_picture_left():
    image = noise((10, 20))
    result = ours("TranslateXRel", image, 10.0, False)
    # The source is 0.45 * 20 = 9 pixels to the right.
    np.testing.assert_allclose(result[:, :11], image[:, 9:], atol=1e-3)
    np.testing.assert_allclose(result[:, 11:], np.broadcast_to(FILL, (10, 9, 3)), atol=1e-3)


# Largest differences below and above Pillow, in levels. Exact operations have rounding errors of
# float32; Pillow cuts AutoContrast's digits off.
TOLERANCES = {
    "AutoContrast": (1e-3, 1 + 1e-3),
    "Equalize": (1e-3, 1e-3),
    "Identity": (0, 1e-4),
    "Invert": (1e-3, 1e-3),
    "Posterize": (1e-3, 1e-3),
    "Solarize": (1e-3, 1e-3),
    "SolarizeAdd": (1e-3, 1e-3),
}


@pytest.mark.parametrize("name", pillow_operations.POINTS)
def test_point_operations_equal_pillow(name):
    examples = [pictures.picture(), pictures.picture(20, 30, margin=80), noise((20, 20))]
    examples += [noise((3, 40)), noise((2, 9))]
    flat = noise((30, 30))
    flat[..., 1] = 77
    for image in (*examples, flat):
        for level in (10.0, 9.7, 7.5, 3.3, 1.0):
            pillow = pillow_operations.point(Image.fromarray(image), name, level)
            result = levels(
                operations.POINT_OPERATIONS[name](
                    planar(image), tf.constant(level / 10, tf.float32)
                )
            )
            difference = result - np.asarray(pillow, np.float64)
            # Enhancers blend with an image that Pillow has rounded, and cut off or round.
            blend = 1.01 + 0.5 * abs(0.1 + 1.8 * level / 10 - 1)
            below, above = TOLERANCES.get(name, (blend, blend))
            assert difference.min() >= -below and difference.max() <= above, (image.shape, level)


def test_levels_of_the_table():
    """At 9.7: Posterize keeps 3 bits, Solarize starts at 248, SolarizeAdd adds 106."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, -1)
    apply = {
        name: levels(operations.POINT_OPERATIONS[name](planar(ramp), tf.constant(0.97)))[0, :, 0]
        for name in ("Posterize", "Solarize", "SolarizeAdd")
    }
    x = np.arange(256)
    np.testing.assert_allclose(apply["Posterize"], x // 32 * 32, atol=1e-3)
    np.testing.assert_allclose(apply["Solarize"], np.where(x >= 248, 255 - x, x), atol=1e-3)
    added = np.where(x < 128, np.minimum(x + 106, 255), x)
    np.testing.assert_allclose(apply["SolarizeAdd"], added, atol=1e-3)
    solarized = operations.POINT_OPERATIONS["Solarize"](planar(ramp), tf.constant(1.0))
    np.testing.assert_array_equal(solarized, planar(ramp))


def test_sharpness_is_the_formula():
    """The 3 x 3 kernel (1 1 1, 1 5 1, 1 1 1) / 13, inside; without Pillow's rounding."""
    image = fresh_rng().uniform(0.3, 0.7, (9, 14))
    smooth = image.copy()
    for y in range(1, 8):
        for x in range(1, 13):
            window = image[y - 1 : y + 2, x - 1 : x + 2]
            smooth[y, x] = (window.sum() + 4 * image[y, x]) / 13
    for strength in (0.0, 0.4, 1.0):
        factor = 0.1 + 1.8 * strength
        expected = np.clip(smooth + factor * (image - smooth), 0, 1)
        result = operations.sharpen(tf.constant(image[None, None], tf.float32), strength)
        np.testing.assert_allclose(result[0, 0], expected, atol=1e-6)


def test_rounding_errors_are_no_contrast():
    """A channel that is of one level but for its last bits is not stretched."""
    image = 0.4 + fresh_rng().uniform(-1e-6, 1e-6, (1, 3, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(operations.auto_contrast(tf.constant(image)), image)


@pytest.mark.parametrize("name", pillow_operations.POINTS)
def test_point_operations_compile(name):
    # Half-way between levels, so that no rounding error decides what is the nearest.
    image = planar(np.clip(noise((8, 9)), 1, 254) + 0.3)
    function = operations.POINT_OPERATIONS[name]
    compiled = tf.function(function, jit_compile=True, autograph=False)
    strength = tf.constant(0.87)
    np.testing.assert_allclose(compiled(image, strength), function(image, strength), atol=2e-6)
