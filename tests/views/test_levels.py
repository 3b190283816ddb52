"""Views in whole levels of 8 bits against Pillow (sections 2.2 and 2.3 of the InfoMin sheet)."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance

from tests.random_inputs import fresh_rng
from tests.views import pictures
from tfssl import views
from tfssl.ops import fold_key, keyed_uniform
from tfssl.views import levels

ENHANCERS = {
    "brightness": (levels.brighten_levels, ImageEnhance.Brightness),
    "contrast": (levels.contrast_levels, ImageEnhance.Contrast),
    "saturation": (levels.saturate_levels, ImageEnhance.Color),
}


def planar(image):
    return tf.constant(np.moveaxis(image, -1, 0)[None], tf.float32)


def interleaved(images):
    return np.moveaxis(np.asarray(images[0]), 0, -1)


def as_levels(images):
    """Floats in [0, 1], which must be whole levels, as such levels."""
    scaled = np.asarray(images, np.float64) * 255
    np.testing.assert_allclose(scaled, np.round(scaled), atol=1e-4)
    return np.round(scaled).astype(np.uint8)


def pillow_hue(image, turns):
    """torchvision's `adjust_hue` of a picture."""
    hue, saturation, value = Image.fromarray(image).convert("HSV").split()
    hue = (np.asarray(hue).astype(int) + int(turns * 255)) % 256
    bands = (Image.fromarray(hue.astype(np.uint8)), saturation, value)
    return np.asarray(Image.merge("HSV", bands).convert("RGB"))


def examples():
    noise = fresh_rng().integers(0, 256, (40, 50, 3), dtype=np.uint8)
    return [noise, noise[:5, :5].repeat(6, 0).repeat(7, 1), pictures.picture(30, 20, margin=60)]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", ENHANCERS)
def test_enhancers_equal_pillow(name, compiled):
    ours, enhancer = ENHANCERS[name]
    ours = tf.function(ours, jit_compile=compiled, autograph=False)
    for image in examples():
        for factor in (0.0, 0.2, 1.0, 1.8, *fresh_rng().uniform(0, 3, 3)):
            expected = enhancer(Image.fromarray(image)).enhance(factor)
            received = interleaved(ours(planar(image), tf.constant(factor, tf.float64)))
            np.testing.assert_array_equal(received, expected, err_msg=f"{factor}")


@pytest.mark.parametrize("compiled", [False, True])
def test_hue_equals_pillow(compiled):
    """Of a plane of all colours, and of noise."""
    ours = tf.function(levels.shift_hue_levels, jit_compile=compiled, autograph=False)
    first, second = np.meshgrid(*[np.arange(256, dtype=np.uint8)] * 2)
    third = np.full_like(first, fresh_rng().integers(256))
    plane = np.stack([first, second, third], -1)[..., fresh_rng().permutation(3)]
    for image in (plane, *examples()):
        for turns in (-0.5, 0.0, 0.5, *fresh_rng().uniform(-0.5, 0.5, 3)):
            received = interleaved(ours(planar(image), tf.constant(turns, tf.float64)))
            np.testing.assert_array_equal(received, pillow_hue(image, turns), err_msg=f"{turns}")


@pytest.mark.parametrize("compiled", [False, True])
def test_greyscale_equals_pillow(compiled):
    """And its three channels are equal (property 13)."""
    layer = views.Grayscale(levels=True)
    run = tf.function(layer.transform, jit_compile=compiled, autograph=False)
    for image in examples():
        received = as_levels(interleaved(run(planar(image / 255.0), fold_key(0, tf.range(1)))))
        expected = np.asarray(Image.fromarray(image).convert("L"))
        np.testing.assert_array_equal(received, np.repeat(expected[..., None], 3, -1))


@pytest.mark.parametrize("compiled", [False, True])
def test_jitter_follows_its_draws_through_pillow(compiled):
    """Four operations in the order drawn, each rounded as Pillow rounds it (property 10)."""
    strengths = {"brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2}
    layer = views.ColorJitter(levels=True, **strengths)
    images = fresh_rng().integers(0, 256, (20, 12, 9, 3), dtype=np.uint8)
    keys = fold_key(int(fresh_rng().integers(2**31)), tf.range(20))
    run = tf.function(layer.transform, jit_compile=compiled, autograph=False)
    floats = tf.transpose(tf.constant(images, tf.float32) / 255.0, [0, 3, 1, 2])
    received = as_levels(tf.transpose(run(floats, keys), [0, 2, 3, 1]))
    draws = keyed_uniform(keys, 6).numpy()[:, 1:]
    orders = list(itertools.permutations(range(4)))
    for image, view, draw in zip(images, received, draws):
        for operation in orders[int(draw[4] * 24)]:
            name = list(strengths)[operation]
            low, high = (-0.2, 0.2) if name == "hue" else (0.2, 1.8)
            amount = np.float32(low) + draw[operation] * np.float32(high - low)
            if name == "hue":
                image = pillow_hue(image, float(amount))
            else:
                picture = ENHANCERS[name][1](Image.fromarray(image)).enhance(float(amount))
                image = np.asarray(picture)
        np.testing.assert_array_equal(view, image)


def test_jitter_of_strength_0_changes_nothing():
    """Property 10."""
    images = fresh_rng().integers(0, 256, (3, 3, 8, 8)) / 255
    layer = views.ColorJitter(levels=True)
    run = tf.function(layer.transform, autograph=False)
    received = run(tf.constant(images, tf.float32), fold_key(1, tf.range(3)))
    np.testing.assert_array_equal(as_levels(received), np.round(images * 255))


def test_factors_and_shifts_stay_in_their_ranges():
    """Property 10: of a grey that only brightness changes, and of a red that only hue does."""
    count = 2000
    keys = fold_key(int(fresh_rng().integers(2**31)), tf.range(count))
    grey = tf.fill([count, 3, 1, 1], 100 / 255)
    bright = views.ColorJitter(brightness=0.8, levels=True).transform(grey, keys)
    found = as_levels(bright)[:, 0, 0, 0]
    assert found.min() >= 19 and found.max() <= 180 and np.ptp(found) > 155
    wide = views.ColorJitter(brightness=2.0, levels=True).transform(grey, keys)
    assert as_levels(wide).min() == 0
    red = tf.tile(tf.constant([[[[1.0]], [[0.0]], [[0.0]]]]), [count, 1, 1, 1])
    turned = as_levels(views.ColorJitter(hue=0.1, levels=True).transform(red, keys))[..., 0, 0]
    hues = [np.asarray(Image.fromarray(c[None, None]).convert("HSV"))[0, 0, 0] for c in turned]
    turns = (np.array(hues, int) + 128) % 256 - 128
    assert turns.min() >= -27 and turns.max() <= 26 and np.ptp(turns) > 45


def test_blur_is_rounded_and_its_kernel_has_23_weights():
    """Property 11: the kernel sums to 1, is symmetric, and is the outer product of its axes."""
    sigma = float(fresh_rng().uniform(0.3, 2.0))
    layer = views.GaussianBlur(sigma=(sigma, sigma), window=23, levels=True)
    point = np.zeros((1, 3, 47, 47), np.float32)
    point[:, :, 23, 23] = 1.0
    plain = views.GaussianBlur(sigma=(sigma, sigma), window=23)
    keys = fold_key(0, tf.range(1))
    kernel = plain.transform(tf.constant(point), keys).numpy()[0, 0]
    weights = np.exp(-(np.arange(-11, 12) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    np.testing.assert_allclose(kernel[12:35, 12:35], np.outer(weights, weights), atol=1e-6)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert (kernel[:12] == 0).all() and (kernel[:, 35:] == 0).all()
    image = fresh_rng().integers(0, 256, (1, 3, 30, 26)) / 255
    floats = plain.transform(tf.constant(image, tf.float32), keys).numpy() * 255
    found = as_levels(layer.transform(tf.constant(image, tf.float32), keys))
    assert np.abs(found - floats).max() < 0.501
    flat = tf.fill([1, 3, 30, 26], 77 / 255)
    np.testing.assert_array_equal(as_levels(layer.transform(flat, keys)), np.full(flat.shape, 77))
