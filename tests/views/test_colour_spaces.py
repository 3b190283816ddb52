"""Colour spaces against scikit-image and against published values; their ranges and limits."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from skimage import color, util

from tests.random_inputs import fresh_rng
from tfssl.views import COLOR_SPACES, ColorConversion, convert_color
from tfssl.views.normalize import IMAGENET_MEAN, IMAGENET_STD

ALL = tuple(COLOR_SPACES)
# float64 of NumPy by another route: what all types of input are held against.
YARDSTICKS = {"rgb": util.img_as_float, **{n: getattr(color, f"rgb2{n}") for n in ALL[1:]}}

# Smallest and largest value of each channel over all 256^3 colours.
RANGES = {
    "lab": [(0, 100), (-86.183, 98.233), (-107.857, 94.478)],
    "ydbdr": [(0, 1), (-1.333, 1.333), (-1.333, 1.333)],
    "yiq": [(0, 1), (-0.5959, 0.5959), (-0.5227, 0.5227)],
    "yuv": [(0, 1), (-0.436, 0.436), (-0.615, 0.615)],
    "ypbpr": [(0, 1), (-0.5, 0.5), (-0.5, 0.5)],
    "ycbcr": [(16, 235), (16, 240), (16, 240)],
    "hsv": [(0, 1), (0, 1), (0, 1)],
    "hed": [(0, 1.878), (0, 1.1347), (0, 1.5736)],
    "luv": [(0, 100), (-83.078, 175.015), (-134.098, 107.399)],
    "xyz": [(0, 0.9505), (0, 1), (0, 1.0888)],
    "rgbcie": [(-0.0147, 0.1635), (0, 0.1829), (0, 0.1928)],
}
# Those whose statistics are the middle and half of the ranges.
CENTRED = ("yiq", "yuv", "ypbpr", "luv", "xyz", "hsv", "hed", "rgbcie")

# RGB of 0..255 -> the value in a space.
PUBLISHED = [
    ((255, 0, 0), "lab", (53.2406, 80.0923, 67.2028)),
    ((255, 0, 0), "ydbdr", (0.299, -0.45, -1.333)),
    ((0, 0, 255), "lab", (32.2957, 79.1856, -107.8573)),
    ((128, 64, 200), "lab", (41.8848, 53.5213, -60.3550)),
    ((128, 64, 200), "ydbdr", (0.38682, 0.59799, -0.21882)),
    ((128, 64, 200), "yiq", (0.38682, -0.02182, 0.21906)),
    ((128, 64, 200), "yuv", (0.38682, 0.19561, 0.10101)),
    ((128, 64, 200), "ycbcr", (100.7144, 178.2470, 146.3957)),
    ((128, 64, 200), "hsv", (0.7451, 0.68, 0.78431)),
    ((128, 64, 200), "hed", (0.07651, 0.05482, 0)),
    ((128, 64, 200), "luv", (41.8848, 15.0677, -92.7510)),
]


def colours(*shape):
    """Random colours, with the corners of the cube, greys and dark ones among them."""
    pixels = fresh_rng().integers(0, 256, [*shape, 3], dtype=np.uint8)
    corners = list(itertools.product([0, 255], repeat=3))
    special = [*corners, (1, 1, 1), (128, 128, 128), (1, 0, 0), (0, 3, 2), (10, 11, 10)]
    pixels.reshape(-1, 3)[: len(special)] = special
    return pixels


def grid():
    """A coarse grid of all colours, finer on the edges between blue, magenta and black."""
    coarse = np.array(list(itertools.product(range(0, 256, 15), repeat=3)))
    fine = [(red, 0, blue) for red in range(256) for blue in (0, 254, 255)]
    return np.concatenate([coarse, fine]).astype(np.uint8)


def tolerance(space):
    """1e-3 of lab and luv, 1e-5 of the widest range elsewhere."""
    return 1e-3 if space in ("lab", "luv") else 2e-5 * max(COLOR_SPACES[space].std)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("space", ALL)
def test_equals_scikit_image(space, dtype):
    """Property 14. The yardstick sees what is left of the colours in the type."""
    pixels = colours(3, 8, 7)
    images = tf.constant(pixels) if dtype == "uint8" else tf.cast(pixels / 255.0, dtype)
    seen = pixels if dtype == "uint8" else tf.cast(images, tf.float64).numpy()
    expected = YARDSTICKS[space](seen)
    result = convert_color(images, space)
    assert result.dtype == (tf.float64 if dtype == "float64" else tf.float32)
    atol = tolerance(space) if dtype != "float64" else 1e-12 * tolerance(space) / 1e-5
    np.testing.assert_allclose(result, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("pixel, space, expected", PUBLISHED)
def test_published_values(pixel, space, expected):
    """Property 14, with the last digit of what is published."""
    result = convert_color(np.array(pixel, np.uint8), space)
    atol = {"lab": 1e-3, "luv": 1e-3, "ycbcr": 1e-4, "hsv": 5e-5}.get(space, 1e-5)
    np.testing.assert_allclose(result, expected, rtol=0, atol=atol)


def test_matrices():
    """Rows of RGBCIE and of the unmixing of stains, to the digits that are published."""
    rows = [
        (0.13725336, 0.02629378, -0.01466154),
        (0.01638562, 0.14980090, 0.01669446),
        (0.00329059, 0.01979351, 0.16969164),
    ]
    np.testing.assert_allclose(convert_color(np.eye(3), "rgbcie"), np.transpose(rows), atol=6e-9)
    unmixing = [
        (1.87798, -1.00768, -0.55612),
        (-0.06591, 1.13473, -0.13552),
        (-0.60191, -0.48041, 1.57359),
    ]
    # Densities 1, 0 and 0 in turn; negative stains are cut off.
    darkest = np.where(np.eye(3) == 1, 1e-6, 1.0)
    np.testing.assert_allclose(convert_color(darkest, "hed"), np.maximum(unmixing, 0), atol=6e-6)


def test_statistics():
    """CMC's for lab, YCbCr and YDbDr, ImageNet's for RGB."""
    expected = {
        "lab": ((50, 6.025, -6.6895), (50, 92.208, 101.1675)),
        "ycbcr": ((116.151, 121.080, 132.342), (109.500, 111.855, 111.964)),
        "ydbdr": ((0.457, -0.082, -0.052), (0.500, 1.331, 1.333)),
        "rgb": (IMAGENET_MEAN, IMAGENET_STD),
    }
    for space, (mean, std) in expected.items():
        definition = COLOR_SPACES[space]
        assert (definition.mean, definition.std) == (mean, std)
    assert set(ALL) == set(expected) | set(CENTRED)


def test_white_and_greys():
    """Property 14: white is (100, 0, 0) in Lab and (1, 0, 0) in YDbDr, greys have no chroma.

    Lab's white differs from the matrix by 1.4e-5 of X and 7e-5 of Z, so it is 0 to 0.006.
    """
    levels = np.arange(256, dtype=np.uint8)
    greys = np.repeat(levels[:, np.newaxis], 3, axis=1)
    for space, at_white, atol in [
        ("lab", 100, 6e-3),
        ("luv", 100, 1e-2),
        ("ydbdr", 1, 1e-6),
        ("yiq", 1, 1e-6),
        ("yuv", 1, 1e-6),
        ("ypbpr", 1, 1e-6),
    ]:
        result = convert_color(greys, space).numpy()
        np.testing.assert_allclose(result[-1, 0], at_white, rtol=1e-6)
        np.testing.assert_allclose(result[0, 0], 0, atol=2e-6)
        assert (np.diff(result[:, 0]) > 0).all()
        assert np.abs(result[:, 1:]).max() <= atol
    np.testing.assert_allclose(convert_color(greys, "ycbcr")[:, 1:], 128, atol=1e-4)
    hsv = convert_color(greys, "hsv").numpy()
    assert not hsv[:, :2].any()
    np.testing.assert_allclose(hsv[:, 2], levels / 255, atol=1e-7)


@pytest.mark.parametrize("space", RANGES)
def test_exact_ranges(space):
    """Property 14: normalised Lab lies in [-1, 1]. So do the other spaces that claim it."""
    pixels = grid()
    result = convert_color(pixels, space).numpy()
    low, high = np.transpose(RANGES[space])
    digits = np.array([1.5e-3 if high[0] > 2 else 6e-5] * 3)
    # Hues stay below 1, and few colours come near.
    digits[0] = 0.01 if space == "hsv" else digits[0]
    np.testing.assert_allclose(result.min(axis=0), low, rtol=0, atol=digits.max())
    assert (np.abs(result.max(axis=0) - high) <= digits).all()
    if space in (*CENTRED, "lab"):
        definition = COLOR_SPACES[space]
        inside = (result - definition.mean) / definition.std
        # CMC's numbers for lab are rounded by a part in a million.
        assert np.abs(inside).max() <= 1 + 5e-6
        ends = np.abs([inside.min(axis=0), inside.max(axis=0)])
        assert np.abs(ends - 1).max() < (0.02 if space == "hsv" else 2e-5)


@pytest.mark.parametrize("space", ALL)
def test_commutes_with_flip_and_is_of_each_pixel(space):
    """Property 14."""
    pixels = colours(4, 9)
    result = convert_color(pixels, space).numpy()
    atol = tolerance(space)
    np.testing.assert_allclose(convert_color(pixels[:, ::-1], space), result[:, ::-1], atol=atol)
    one = convert_color(pixels[2, 5], space)
    assert one.shape == [3]
    np.testing.assert_allclose(one, result[2, 5], atol=atol)


@pytest.mark.parametrize("space", ALL)
def test_any_axis_and_xla(space):
    pixels = colours(2, 5, 6)
    expected = convert_color(pixels, space).numpy()
    floats = (pixels / 255).astype(np.float32)
    for images, axis, compiled in [
        (pixels, 1, True),
        (pixels, -1, False),
        (floats, 0, False),
        (floats, -1, True),
    ]:
        moved = tf.constant(np.moveaxis(images, -1, axis))
        run = tf.function(
            lambda x: convert_color(x, space, channel_axis=axis),
            autograph=False,
            jit_compile=compiled,
        )
        result = np.moveaxis(run(moved).numpy(), axis, -1)
        np.testing.assert_allclose(result, expected, rtol=0, atol=tolerance(space))


def test_unknown_sizes():
    unknown = tf.TensorSpec([None, None, None, None], tf.uint8)
    run = tf.function(lambda x: convert_color(x, "lab"), [unknown], autograph=False)
    pixels = colours(2, 3, 4)
    np.testing.assert_array_equal(run(pixels), convert_color(pixels, "lab"))
    assert run(pixels[:0]).shape == [0, 3, 4, 3]


@pytest.mark.parametrize("space", ALL)
def test_gradients(space):
    """Finite in corners of the maps, and within the maps those of differences in float64."""
    corners = np.array(
        [[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0], [1, 1, 0], [0, 0, 1e-6], [0.04045] * 3]
    )
    inner = fresh_rng().uniform(0.06, 1, [40, 3])
    points = tf.constant(np.concatenate([corners, inner]), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(points)
        values = convert_color(points, space)
    slopes = tape.batch_jacobian(values, points).numpy()
    assert np.isfinite(slopes).all()
    step, inner = 1e-6, points.numpy().astype(np.float64)[len(corners) :]
    for channel, move in enumerate(step * np.eye(3)):
        ends = [convert_color(inner + sign * move, space).numpy() for sign in (1, -1)]
        expected = (ends[0] - ends[1]) / (2 * step)
        scale = np.abs(expected).max()
        # A point beside a corner of hsv or hed may lie on both of its sides.
        close = np.isclose(slopes[len(corners) :, :, channel], expected, atol=1e-4 * scale)
        assert close.mean() > 0.98


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("space", ["hed", "xyz"])
def test_every_level(space, compiled):
    """Levels in planes have arithmetic of their own for the curves."""
    levels = np.random.default_rng(3).permutation(256).astype(np.uint8).reshape(16, 16)
    image = np.stack([levels, levels.T, np.flipud(levels)], axis=-1)
    run = tf.function(
        lambda x: convert_color(x, space, channel_axis=0), autograph=False, jit_compile=compiled
    )
    result = np.moveaxis(run(np.moveaxis(image, -1, 0)).numpy(), 0, -1)
    np.testing.assert_allclose(result, YARDSTICKS[space](image), rtol=0, atol=4e-7)
    if space == "hed":
        # White has no stain at all.
        assert (run(np.full([3, 2, 2], 255, np.uint8)).numpy() == 0).all()


def test_light_is_bright_in_the_dark():
    """The smallest steps of bytes and of floats are told apart: the line below the powers."""
    dark = np.linspace(0, 1e-3, 50, dtype=np.float32)[:, np.newaxis].repeat(3, 1)
    result = convert_color(dark, "xyz")[:, 1].numpy()
    np.testing.assert_allclose(result, dark[:, 0] / 12.92, rtol=1e-6)


def test_hue_stays_below_a_turn():
    """Also that of a red which is hardly bluish, whose hue is 1 when rounded."""
    reds = np.array([[1.0, 0.0, 1e-9], [1.0, 0.3, 0.3 + 3e-8], [0.7, 0.0, 1e-3]], np.float32)
    hue = convert_color(reds, "hsv")[:, 0].numpy()
    assert (hue >= 0).all() and (hue < 1).all()
    assert hue[0] == 0 and hue[2] == pytest.approx(1 - 1e-3 / 0.7 / 6, abs=1e-6)


def test_a_model_with_it_is_saved_and_loaded(tmp_path):
    """Of TensorFlow's own operations only, so that a reader needs nothing else."""
    pairs = [(tf.uint8, "hed"), (tf.float32, "lab"), (tf.float32, "hsv")]
    inputs = [tf.keras.Input([None, None, 3], dtype=dtype) for dtype, _ in pairs]
    planar = tf.keras.Input([3, None, None], dtype=tf.uint8)
    results = [convert_color(i, s) for i, (_, s) in zip(inputs, pairs)]
    results.append(convert_color(planar, "hed", channel_axis=1))
    model = tf.keras.Model([*inputs, planar], results)
    kinds = {type(layer).__name__ for layer in model.layers}
    assert kinds <= {"InputLayer", "TFOpLambda", "SlicingOpLambda"}
    model.save(str(tmp_path / "model"), save_format="tf")
    pixels = tf.constant(colours(2, 6, 5))
    images = [pixels, *[tf.cast(pixels, tf.float32) / 255.0] * 2]
    images.append(tf.transpose(pixels, [0, 3, 1, 2]))
    for load in (tf.saved_model.load, tf.keras.models.load_model):
        *results, planar = load(str(tmp_path / "model"))(images)
        results.append(tf.transpose(planar, [0, 2, 3, 1]))
        for result, space in zip(results, ["hed", "lab", "hsv", "hed"]):
            expected = convert_color(pixels, space)
            np.testing.assert_allclose(result, expected, atol=tolerance(space))


def test_the_layer_converts_and_leaves_the_rest():
    images = tf.cast(colours(2, 5, 6) / 255.0, tf.float32)
    batch = {"images": images, "keys": tf.zeros([2], tf.int64), "index": tf.range(2)}
    for space in ALL:
        result = ColorConversion(space)(batch)
        expected = convert_color(images, space)
        np.testing.assert_allclose(result["images"], expected, atol=tolerance(space))
        assert result["index"] is batch["index"]


def test_a_list_is_an_image():
    np.testing.assert_allclose(convert_color([1.0, 0.0, 0.0], "ydbdr"), [0.299, -0.45, -1.333])


@pytest.mark.parametrize("make", [lambda s: convert_color(np.zeros(3), s), ColorConversion])
def test_an_unknown_space_is_refused(make):
    with pytest.raises(ValueError, match="colour space out of rgb, lab, .* Received: space='RGB'"):
        make("RGB")


@pytest.mark.parametrize("shape, axis", [([2, 4], -1), ([4, 4, 3], 1), ([3], 1), ([], -1)])
def test_other_than_three_channels_are_refused(shape, axis):
    with pytest.raises(ValueError, match="3 channels on the given axis. Received: shape=.*axis="):
        convert_color(np.zeros(shape), "lab", channel_axis=axis)


def test_an_unknown_rank_is_refused():
    run = tf.function(lambda x: convert_color(x, "lab"), [tf.TensorSpec(None)], autograph=False)
    with pytest.raises(ValueError, match="3 channels on the given axis. Received: shape=<unknown"):
        run(tf.zeros([3]))


@pytest.mark.parametrize("dtype", [np.int32, np.uint16, bool])
def test_other_types_are_refused(dtype):
    with pytest.raises(ValueError, match="expected uint8 or floating images. Received: dtype="):
        convert_color(np.zeros([2, 3], dtype), "lab")
