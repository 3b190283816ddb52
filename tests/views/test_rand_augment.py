"""What RandAugment draws, and that it applies what it drew, against Pillow."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.random_inputs import fresh_rng
from tests.views import pillow_operations
from tfssl.ops import fold_key, keyed_uniform
from tfssl.views import RandAugment
from tfssl.views.rand_augment_operations import CMC_OPERATIONS, INFOMIN_OPERATIONS

ALL = pillow_operations.POINTS + pillow_operations.MAPS
FILL = (124, 116, 104)
# In levels, of a level divided by 255 and multiplied again.
ROUNDING = 1e-4


def run(layer, images, keys, compiled=True):
    """Views of images `[batch, height, width, 3]` in levels, as such levels."""
    function = tf.function(layer.transform, jit_compile=compiled, autograph=False)
    planar = tf.transpose(tf.constant(images, tf.float32) / 255.0, [0, 3, 1, 2])
    return tf.transpose(function(planar, keys), [0, 2, 3, 1]).numpy().astype(np.float64) * 255


def fresh_keys(count):
    return fold_key(int(fresh_rng().integers(2**31)), tf.range(count))


def same(image, count):
    return np.repeat(image[None], count, 0)


def pillow(image, name, level, sign, cubic):
    picture = Image.fromarray(image)
    if name in pillow_operations.MAPS:
        return np.asarray(pillow_operations.affine(picture, name, sign * level, cubic, FILL))
    return np.asarray(pillow_operations.point(picture, name, level))


@pytest.mark.parametrize("names", [CMC_OPERATIONS, INFOMIN_OPERATIONS], ids=["cmc", "infomin"])
@pytest.mark.parametrize("shape, compiled", [((9, 11), False), ((17, 19), True)])
def test_draws_are_followed_through_pillow(shape, compiled, names):
    """Which operations, in which order, how strong, which way, how interpolated; to the bit."""
    images = fresh_rng().integers(0, 256, (40, *shape, 3), dtype=np.uint8)
    keys = fresh_keys(40)
    layer = RandAugment(operations=names)
    received = run(layer, images, keys, compiled)
    order = [n for n in names if n in pillow_operations.POINTS]
    order += [n for n in names if n in pillow_operations.MAPS]
    draws = keyed_uniform(keys, 11).numpy()[:, 1:].reshape(40, 2, 5)
    levels = layer._magnitudes(tf.constant(draws[..., 2])).numpy()
    wrong = 0
    for image, view, slots, magnitudes in zip(images, received, draws, levels):
        for (fires, choice, _, sign, interpolation), level in zip(slots, magnitudes):
            if fires < 0.5:
                name = order[int(choice * len(order))]
                sign = -1 if sign < 0.5 else 1
                image = pillow(image, name, float(level), sign, interpolation >= 0.5)
        wrong += np.abs(view - image).max() > ROUNDING
    # A sine's last bit may put a level of a rotation on the other side; see the operations' tests.
    assert wrong <= 1


@pytest.mark.parametrize("names, magnitude", [(pillow_operations.CMC, 10.0), (ALL, 6.0)])
def test_every_operation_comes_at_its_rate(names, magnitude):
    """2,000 views of one picture, each told by the Pillow picture that it equals.

    Half of the operations are left out; signs and interpolations share the rest of a map equally.
    """
    count, rate = 2000, 0.5 / len(names)
    # More than 255 pixels: of fewer, Equalize changes nothing.
    image = fresh_rng().integers(30, 221, (16, 19, 3), dtype=np.uint8)
    outcomes = {}
    for name in set(names) - {"Identity"}:
        kinds = itertools.product((-1, 1), (False, True))
        for sign, cubic in kinds if name in pillow_operations.MAPS else [(1, False)]:
            outcomes[name, sign, cubic] = pillow(image, name, magnitude, sign, cubic)
    outcomes["Identity", 1, False] = image
    layer = RandAugment(operations=names, num_operations=1, magnitude=magnitude, deviation=0.0)
    views = run(layer, same(image, count), fresh_keys(count))
    distances = [np.abs(views - x).max(axis=(1, 2, 3)) for x in outcomes.values()]
    distances = np.stack(distances, axis=1)
    assert distances.min(1).max() < 2
    counts = np.bincount(distances.argmin(1), minlength=len(outcomes))
    for (name, _, _), number in zip(outcomes, counts):
        chance = rate / 4 if name in pillow_operations.MAPS else rate
        chance += 0.5 if name == "Identity" else 0.0
        assert abs(number - count * chance) < 6 * np.sqrt(count * chance * (1 - chance)), name


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_operations_are_drawn_with_replacement(probability):
    """Brightness or nothing, twice: a level of 20 stays, becomes 38, or 72 if drawn twice."""
    count = 2000
    layer = RandAugment(
        operations=["Brightness", "Identity"], deviation=0.0, operation_probability=probability
    )
    images = np.full((count, 1, 1, 3), 20.0)
    values = run(layer, images, fresh_keys(count))[:, 0, 0, 0]
    once = probability / 2
    chances = ((1 - once) ** 2, 2 * once * (1 - once), once**2)
    for value, chance in zip((20, 38, 72), chances):
        number = (np.abs(values - value) < 1e-3).sum()
        bound = 5 * np.sqrt(count * chance * (1 - chance))
        assert abs(number - count * chance) <= bound, value


def test_magnitudes_are_clipped_normal_numbers():
    """Half of them are 10 (property 12 of the InfoMin sheet).

    With x standard normal the mean is 10 - 0.5 E[max(x, 0)] = 10 - 0.5 / sqrt(2 pi).
    """
    count = 4000
    draws = keyed_uniform(fresh_keys(count), 1)[:, 0]
    magnitudes = RandAugment()._magnitudes(draws).numpy()
    assert magnitudes.max() == 10 and magnitudes.min() > 7
    assert abs((magnitudes == 10).sum() - count / 2) < 5 * np.sqrt(count / 4)
    deviation = 0.5 * np.sqrt(0.5 - 1 / (2 * np.pi))
    mean = 10 - 0.5 / np.sqrt(2 * np.pi)
    assert magnitudes.mean() == pytest.approx(mean, abs=5 * deviation / np.sqrt(count))
    # Three quarters of all are above 10 - 0.6745 * 0.5.
    assert abs((magnitudes < 10 - 0.33724).sum() - count / 4) < 5 * np.sqrt(count * 3 / 16)


def test_magnitudes_at_the_ends():
    """Both ends of the uniform draws are finite, and both ends of the range are kept."""
    draws = tf.constant([0.0, 2.0**-24, 0.25, 0.5, 0.75, 1 - 2.0**-24])
    narrow = RandAugment(magnitude=5.0, deviation=0.5)._magnitudes(draws).numpy()
    quarter = 0.5 * 0.6744898
    np.testing.assert_allclose(narrow[2:5], [5 - quarter, 5, 5 + quarter], rtol=1e-6)
    # Some five standard deviations are as far as 24 bits go.
    assert 2 < narrow[0] < narrow[1] < 2.6 and 7.4 < narrow[-1] < 8
    wide = RandAugment(magnitude=5.0, deviation=100.0)._magnitudes(draws).numpy()
    np.testing.assert_allclose(wide, [0, 0, 0, 5, 10, 10], atol=1e-4)
    fixed = RandAugment(magnitude=3.0, deviation=0.0)._magnitudes(draws).numpy()
    np.testing.assert_array_equal(fixed, np.full(6, 3, np.float32))


def test_keys_decide():
    image = fresh_rng().integers(0, 256, (8, 6, 3)) / 255
    images = tf.constant(np.repeat(np.moveaxis(image, -1, 0)[None], 64, 0), tf.float32)
    keys = fresh_keys(64)
    layer = tf.function(RandAugment(operation_probability=1.0).transform, autograph=False)
    views = layer(images, keys).numpy()
    np.testing.assert_array_equal(layer(images, keys[::-1])[::-1], views)
    # A few of 64 views have no operation that depends on a magnitude, and are alike.
    assert len(np.unique(views.reshape(64, -1), axis=0)) > 40
    other = tf.function(
        RandAugment(operation_probability=1.0, stream=1).transform, autograph=False
    )(images, keys)
    assert (np.abs(other - views).max(axis=(1, 2, 3)) > 0.01).sum() > 40


def test_compiled_is_eager():
    """On values between levels, so that no rounding error decides what is the nearest."""
    images = fresh_rng().integers(1, 255, (24, 7, 10, 3)) + 0.3
    keys = fresh_keys(24)
    layer = RandAugment(operations=ALL, num_operations=1, operation_probability=1.0)
    planar = tf.transpose(tf.constant(images, tf.float32) / 255.0, [0, 3, 1, 2])
    eager = tf.transpose(layer.transform(planar, keys), [0, 2, 3, 1]).numpy()
    np.testing.assert_allclose(run(layer, images, keys), eager * 255.0, atol=ROUNDING)


@pytest.mark.parametrize("argument", ["probability", "operation_probability"])
def test_probability_0_changes_no_bit(argument):
    images = fresh_rng().random((20, 5, 8, 3)) * 255
    layer = RandAugment(operations=ALL, **{argument: 0.0})
    scaled = tf.constant(images, tf.float32) / 255.0
    result = layer({"images": scaled, "keys": fresh_keys(20)})["images"]
    np.testing.assert_array_equal(result, scaled)


@pytest.mark.parametrize("shape", [(1, 1), (6, 40)])
def test_views_stay_in_range(shape):
    """Black, white, one colour, and noise, three operations each."""
    images = fresh_rng().integers(0, 2, (90, *shape, 3)) * 255.0
    images[:30] = np.repeat([0.0, 255.0], 15)[:, None, None, None]
    images[30:60] = fresh_rng().random((30, 1, 1, 3)) * 255
    layer = RandAugment(operations=ALL, num_operations=3, magnitude=8.0, deviation=3.0)
    views = run(layer, images, fresh_keys(90), compiled=False)
    assert np.isfinite(views).all() and views.shape == images.shape
    assert views.min() >= 0 and views.max() <= 255 + 1e-4


@pytest.mark.parametrize(
    "bad",
    [
        {"operations": ()},
        {"operations": ("Rotate", "Cutout")},
        {"num_operations": 0},
        {"operation_probability": 1.5},
        {"magnitude": 11.0},
        {"magnitude": np.nan},
        {"deviation": -1.0},
        {"deviation": np.inf},
        {"fill": (0, 0)},
        {"fill": (0, 0, 256)},
    ],
)
def test_bad_arguments_are_refused(bad):
    with pytest.raises(ValueError, match=f"RandAugment: expected .* Received: .*{next(iter(bad))}"):
        RandAugment(**bad)
