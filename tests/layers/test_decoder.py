"""The decoder: sizes and weights, what a transposed convolution is, precision, XLA."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl.layers import decoder


@pytest.mark.parametrize(
    "map_shape, image_size, channels, doublings",
    [
        ((4, 4, 512), 128, 3, 5),  # The map of section 4.3 and its images.
        ((6, 6, 128), 32, 2, 2),  # Doubled to 24, then resized.
        ((3, 3, 5), 3, 1, 0),  # As large as the images already.
        ((1, 1, 7), 2, 4, 1),
    ],
)
def test_shapes_and_widths(map_shape, image_size, channels, doublings):
    model = decoder(map_shape, image_size=image_size, channels=channels)
    assert model.output_shape == (None, image_size, image_size, channels)
    maps = fresh_rng().normal(size=(2, *map_shape)).astype(np.float32)
    assert model(maps).shape == (2, image_size, image_size, channels)
    names = [layer.name for layer in model.layers if layer.name.startswith("up")]
    assert names == [f"up{i + 1}" for i in range(doublings)]
    # As many as the map has, from 32 to 256, and half as many after every doubling.
    first = min(256, map_shape[2])
    widths = [max(first // 2**i, 32) for i in range(doublings)]
    found = [tuple(model.get_layer(name).kernel.shape) for name in names]
    depths = [map_shape[2], *widths]
    assert found == [(4, 4, out, into) for into, out in zip(depths, widths)]
    assert all(model.get_layer(name).bias is None for name in names)
    assert tuple(model.get_layer("pixels").kernel.shape) == (1, 1, depths[-1], channels)


def test_a_doubling_against_numpy(float64):
    """Each place adds its kernel at twice its place, less the padding; then statistics and ReLU."""
    rng = fresh_rng()
    model = decoder((3, 3, 2), image_size=6, channels=2)
    model.set_weights([rng.uniform(0.2, 1, w.shape) for w in model.get_weights()])
    kernel = model.get_layer("up1").kernel.numpy()
    pixels, bias = model.get_layer("pixels").get_weights()
    gamma, beta = model.get_layer("bn1").get_weights()[:2]
    maps = rng.normal(size=(5, 3, 3, 2))
    wide = np.zeros((5, 8, 8, kernel.shape[2]))
    for row, column in np.ndindex(3, 3):
        place = np.einsum("bi,hwoi->bhwo", maps[:, row, column], kernel)
        wide[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += place
    x = wide[:, 1:7, 1:7]
    x = (x - x.mean(axis=(0, 1, 2))) / np.sqrt(x.var(axis=(0, 1, 2)) + 1e-5) * gamma + beta
    expected = np.maximum(x, 0) @ pixels[0, 0] + bias
    np.testing.assert_allclose(model(maps, training=True), expected, rtol=1e-6, atol=1e-9)


def test_the_last_map_is_resized_bilinearly():
    model = decoder((2, 2, 3), image_size=5, channels=2)
    maps = fresh_rng().normal(size=(2, 2, 2, 3)).astype(np.float32)
    before = tf.keras.Model(model.inputs, model.get_layer("float").output)(maps)
    assert before.shape == (2, 4, 4, 2)
    np.testing.assert_allclose(model(maps), tf.image.resize(before, [5, 5]), atol=1e-6)


def test_every_weight_learns_and_xla_agrees():
    model = decoder((2, 2, 3), image_size=7, channels=1)
    maps = tf.constant(fresh_rng().normal(size=(4, 2, 2, 3)), tf.float32)

    def run():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(maps, training=True) - 1))
        return loss, tape.gradient(loss, model.trainable_variables)

    eager, compiled = run(), tf.function(run, jit_compile=True, autograph=False)()
    assert all(np.any(g) for g in eager[1])
    for one, other in zip(tf.nest.flatten(eager), tf.nest.flatten(compiled)):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("image_size", [4, 5])
def test_half_precision_ends_in_float32(policy, image_size):
    maps = fresh_rng().normal(size=(8, 2, 2, 3)).astype(np.float32)
    full = decoder((2, 2, 3), image_size=image_size, channels=2)
    tf.keras.mixed_precision.set_global_policy(policy)
    half = decoder((2, 2, 3), image_size=image_size, channels=2)
    half.set_weights(full.get_weights())
    found, expected = half(maps), full(maps)
    assert found.dtype == tf.float32 and half.get_layer("up1").compute_dtype != "float32"
    np.testing.assert_allclose(found, expected, atol=0.05 * np.abs(expected).max())


def test_float64_stays(float64):
    for size in (4, 5):
        assert decoder((2, 2, 3), image_size=size, channels=1)(tf.ones([1, 2, 2, 3])).dtype == (
            tf.float64
        )


@pytest.mark.parametrize("map_shape", [(2, 3, 4), (9, 9, 4), (0, 0, 4)])
def test_refusals(map_shape):
    with pytest.raises(ValueError, match="map_shape: expected a square of at most 8.*Received: "):
        decoder(map_shape, image_size=8, channels=1)
