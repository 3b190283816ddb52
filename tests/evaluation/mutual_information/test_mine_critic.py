"""MINE's critics: their layers against NumPy, their sizes, seeds and precision."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl.evaluation.mutual_information.mine_critic import CRITICS, MineCritic

SHAPES = {
    "vector": ([5], [3]),
    "images": ([64, 64, 1], [64, 64, 2]),
    "patches": ([64, 64, 3], [64, 64, 1]),
}


def _views(kind, batch=3):
    rng = fresh_rng()
    return [tf.constant(rng.normal(size=[batch, *s]), tf.float32) for s in SHAPES[kind]]


def _weights(critic):
    """Kernels and biases in the order in which the layers compute."""
    return [variable.numpy().astype(np.float64) for variable in critic.trainable_variables]


def _leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def _convolved(images, kernel, bias):
    """3 x 3, stride 2, zero padding 1."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    side = images.shape[1] // 2
    found = np.zeros([len(images), side, side, len(bias)])
    for row in range(3):
        for column in range(3):
            shifted = padded[:, row : row + 2 * side : 2, column : column + 2 * side : 2]
            found += np.einsum("bhwc,co->bhwo", shifted, kernel[row, column])
    return _leaky(found + bias)


def _by_layers(kind, critic, first, second):
    """The critic from its weights."""
    weights = iter(_layer_weights(critic))
    if kind == "vector":
        hidden = np.concatenate([first, second], axis=1)
        for _ in range(2):
            kernel, bias = next(weights)
            hidden = np.maximum(hidden @ kernel + bias, 0)
    else:
        inputs = [np.concatenate([first, second], axis=3)] if kind == "images" else [first, second]
        features = []
        for maps in inputs:
            for _ in range(4):
                maps = _convolved(maps, *next(weights))
            features.append(maps.mean(axis=(1, 2)))
        kernel, bias = next(weights)
        hidden = _leaky(np.concatenate(features, axis=1) @ kernel + bias)
    kernel, bias = next(weights)
    assert not list(weights)
    return (hidden @ kernel + bias)[:, 0]


def _layer_weights(critic):
    """Kernel and bias of every layer: those of the towers first, in order, then the head's."""
    layers = [layer for tower in critic._towers for layer in tower] + critic._head
    return [layer.get_weights() for layer in layers if layer.get_weights()]


@pytest.mark.parametrize("kind", CRITICS)
def test_agrees_with_numpy(kind):
    critic = MineCritic(kind, *SHAPES[kind], width=1 / 32, seed=1)
    for variable in critic.trainable_variables:
        variable.assign_add(fresh_rng().normal(size=variable.shape) * 0.1)
    views = _views(kind)
    found = critic(*views)
    assert found.shape == [3] and found.dtype == tf.float32
    expected = _by_layers(kind, critic, *[view.numpy() for view in views])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(critic.score(*critic.encode(*views)), found)


def _convolutions(channels, filters=(64, 128, 256, 512)):
    inputs = (channels, *filters)
    return sum(9 * a * b + b for a, b in zip(inputs, filters))


@pytest.mark.parametrize(
    "kind, number",
    [
        ("vector", 8 * 256 + 256 + 256 * 256 + 256 + 257),
        ("images", _convolutions(3) + 512 * 512 + 512 + 513),
        ("patches", _convolutions(3) + _convolutions(1) + 1024 * 512 + 512 + 513),
    ],
)
def test_number_of_weights_at_full_width(kind, number):
    critic = MineCritic(kind, *SHAPES[kind])
    assert sum(weights.size for weights in _weights(critic)) == number


@pytest.mark.parametrize("kind", CRITICS)
def test_width_multiplies_hidden_units(kind):
    critic = MineCritic(kind, *SHAPES[kind], width=0.25)
    units = [bias.shape[0] for _, bias in _layer_weights(critic)]
    tower = [16, 32, 64, 128]
    hidden = {"vector": [64, 64], "images": [*tower, 128], "patches": [*tower, *tower, 128]}
    assert units == [*hidden[kind], 1]
    narrow = MineCritic(kind, *SHAPES[kind], width=1e-6)
    assert {bias.shape[0] for _, bias in _layer_weights(narrow)} == {1}


@pytest.mark.parametrize("kind", ["images", "patches"])
def test_views_of_any_size_and_uint8(kind):
    critic = MineCritic(kind, [96, 80, 3], [32, 48, 1], width=1 / 16, seed=2)
    rng = fresh_rng()
    first = rng.integers(0, 256, [2, 96, 80, 3]).astype(np.uint8)
    second = rng.integers(0, 256, [2, 32, 48, 1]).astype(np.uint8)
    found = critic(tf.constant(first), tf.constant(second))
    scaled = [tf.constant(view / np.float32(255)) for view in (first, second)]
    np.testing.assert_allclose(found, critic(*scaled), rtol=1e-4, atol=1e-6)
    resized = [tf.image.resize(view, [64, 64], antialias=True) for view in scaled]
    np.testing.assert_allclose(found, critic(*resized), rtol=1e-4, atol=1e-6)


def test_patches_have_towers_of_their_own():
    critic = MineCritic("patches", [64, 64, 2], [64, 64, 2], width=1 / 16)
    views = fresh_rng().normal(size=[2, 64, 64, 2]).astype(np.float32)
    first, second = critic.encode(tf.constant(views), tf.constant(views))
    assert first.shape == second.shape == [2, 32]
    assert not np.allclose(first, second)
    again, _ = critic.encode(tf.constant(views), tf.constant(views * 2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("kind", CRITICS)
def test_weights_depend_on_the_seed_alone(kind):
    found = []
    for seed, other in ((0, 1), (0, 2), (3, 1)):
        tf.keras.utils.set_random_seed(other)
        found.append(_weights(MineCritic(kind, *SHAPES[kind], width=1 / 16, seed=seed)))
    for one, same, different in zip(*found):
        np.testing.assert_array_equal(one, same)
        assert one.ndim == 1 or (one != different).all()
    # No two layers start with the same numbers, apart from Glorot's scale.
    starts = set()
    kernels = [kernel for kernel in found[0] if kernel.ndim > 1 and kernel.size > 3]
    for kernel in kernels:
        fans = np.prod(kernel.shape[:-2]) * sum(kernel.shape[-2:])
        unit = kernel.ravel()[:4] / np.sqrt(6 / fans)
        assert (np.abs(unit) <= 1).all()
        starts.add(tuple(np.round(unit, 4)))
    assert len(starts) == len(kernels)


@pytest.mark.parametrize("kind", CRITICS)
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_everything_is_in_float32_under_any_policy(kind, policy):
    views = _views(kind)
    expected = MineCritic(kind, *SHAPES[kind], width=1 / 16)(*views)
    tf.keras.mixed_precision.set_global_policy(policy)
    critic = MineCritic(kind, *SHAPES[kind], width=1 / 16)
    assert {variable.dtype for variable in critic.trainable_variables} == {tf.float32}
    np.testing.assert_array_equal(critic(*views), expected)
    wide = critic(*[tf.cast(view, tf.float64) for view in views])
    assert wide.dtype == tf.float32
    np.testing.assert_array_equal(wide, expected)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"kind": "words"}, "one of .*'patches'.*Received: critic='words'"),
        ({"first_shape": [8, 8, 3]}, r"views \[dim\] .*Received: first_shape=\(8, 8, 3\)"),
        ({"second_shape": [0]}, r"at least 1. Received: .*second_shape=\(0,\)"),
        ({"kind": "images"}, r"\[height, width, channels\].*Received: first_shape=\(4,\)"),
        ({"width": 0.0}, "width > 0. Received: width=0.0"),
        ({"seed": -1}, "seed >= 0. Received: seed=-1"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(changes, message):
    arguments = {"kind": "vector", "first_shape": [4], "second_shape": [4], **changes}
    with pytest.raises(ValueError, match=message):
        MineCritic(**arguments)
