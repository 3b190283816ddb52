"""The invertible map of colours: properties 24 to 27 of the InfoMin sheet, graphs, SavedModel."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl.export.encoder_copy import copy_encoder
from tfssl.layers import CouplingFlow
from tfssl.layers.coupling_block import KINDS

EVERY = pytest.mark.parametrize("kind", KINDS)
FORMS = [*((kind, "bounded") for kind in KINDS), ("nvp", "plain"), ("nvp_swap", "plain")]
EVERY_SCALE = pytest.mark.parametrize("kind, scale", FORMS)
# Weights that change colours by about as much as their spread.
SPREAD = 0.3


def random_flow(kind="vp", **options):
    """A flow with random weights in all layers, the last ones included."""
    # Scales that nothing bounds multiply, block after block.
    spread = SPREAD * (2 / 3 if options.get("scale") == "plain" else 1)
    flow = CouplingFlow(kind, **options)
    rng = fresh_rng()
    flow.set_weights([rng.uniform(-spread, spread, w.shape) for w in flow.get_weights()])
    return flow


def random_images(dtype=np.float32, shape=(4, 8, 8, 3)):
    return fresh_rng().uniform(-3, 3, shape).astype(dtype)


def by_hand(flow, images, kind, scale):
    """The table of section 3.5 in float64; the log-determinant of every pixel beside it."""
    x, log = np.asarray(images, np.float64), 0.0

    def network(model, values):
        *hidden, last = [layer.get_weights() for layer in model]
        for kernel, bias in hidden:
            values = np.maximum(values @ kernel + bias, 0)
        return values @ last[0] + last[1]

    def log_scale(values):
        return 2 * np.tanh(values / 2) if scale == "bounded" else values

    for number, block in enumerate(flow.blocks):
        first = number % 3
        second = [c for c in range(3) if c != first]
        x1, x2 = x[..., [first]], x[..., second]
        if kind == "vp":
            x1 = x1 + network(block.f, x2)
            x2 = x2 + network(block.g, x1)
        elif kind == "vp_nice":
            x2 = x2 + network(block.g, x1)
        elif kind == "nvp":
            s = log_scale(network(block.f, x1))
            x2, log = x2 * np.exp(s) + network(block.g, x1), log + s.sum(axis=-1)
        else:
            s = log_scale(network(block.f, x2))
            x1, log = x1 * np.exp(s) + network(block.g, x2), log + s.sum(axis=-1)
        x = x.copy()
        x[..., [first]], x[..., second] = x1, x2
    return x, log


@EVERY_SCALE
def test_values_against_the_table(kind, scale, float64):
    flow, images = random_flow(kind, scale=scale), random_images(np.float64)
    expected, logs = by_hand(flow, images, kind, scale)
    found, log_det = flow.forward(images)
    assert found.dtype == log_det.dtype == tf.float64
    assert np.abs(expected - images).max() > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(log_det, np.broadcast_to(logs, images.shape[:3]).sum(axis=(1, 2)))
    np.testing.assert_array_equal(flow(images), found)


@EVERY_SCALE
def test_there_and_back(kind, scale):
    """Property 24."""
    flow, images = random_flow(kind, scale=scale), random_images()
    bound = 1e-4 if kind.startswith("nvp") else 1e-5
    assert np.abs(flow.inverse(flow(images)) - images).max() <= bound
    assert np.abs(flow(flow.inverse(images)) - images).max() <= bound
    assert np.abs(flow(images) - images).max() > 0.1


@EVERY_SCALE
def test_there_and_back_in_double_precision(kind, scale, float64):
    flow, images = random_flow(kind, scale=scale), random_images(np.float64)
    assert np.abs(flow.inverse(flow(images)) - images).max() <= 1e-11
    assert np.abs(flow(flow.inverse(images)) - images).max() <= 1e-11


def jacobians(flow, images):
    """`[pixels, 3, 3]`, the derivative of every pixel's colour by itself."""
    images = tf.constant(images)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(images)
        channels = tf.unstack(flow(images), axis=-1)
    # The sum over pixels has of each pixel its own derivative, for it is changed by itself.
    rows = [tape.gradient(channel, images) for channel in channels]
    return np.stack(rows, axis=-2).reshape(-1, 3, 3).astype(np.float64)


@EVERY_SCALE
def test_the_log_determinant_is_that_of_the_jacobian(kind, scale):
    """Property 25."""
    flow = random_flow(kind, scale=scale)
    images = random_images(shape=(2, 5, 5, 3))
    _, logs = np.linalg.slogdet(jacobians(flow, images))
    found = flow.log_det(images)
    np.testing.assert_allclose(found, logs.reshape(2, -1).sum(axis=1), atol=1e-3)
    if kind.startswith("vp"):
        np.testing.assert_array_equal(found, np.zeros(2))
        np.testing.assert_allclose(np.exp(logs), 1, atol=1e-4)
    else:
        assert np.abs(logs).max() > 0.01


@EVERY
def test_the_log_determinant_in_double_precision(kind, float64):
    flow, images = random_flow(kind), random_images(np.float64, (1, 4, 4, 3))
    _, logs = np.linalg.slogdet(jacobians(flow, images))
    np.testing.assert_allclose(flow.log_det(images), [logs.sum()], atol=1e-9)


@EVERY
def test_every_pixel_is_changed_by_itself(kind):
    """Property 26."""
    flow, images, rng = random_flow(kind), random_images(), fresh_rng()
    other = images.copy()
    other[1, 3, 5] += 1.0
    changed = (flow(other).numpy() != flow(images).numpy()).any(axis=-1)
    assert changed[1, 3, 5] and changed.sum() == 1
    order = rng.permutation(64)
    shuffled = images.reshape(4, 64, 3)[:, order].reshape(images.shape)
    expected = flow(images).numpy().reshape(4, 64, 3)[:, order].reshape(images.shape)
    # A product of matrices may round its last rows in another order.
    np.testing.assert_allclose(flow(shuffled), expected, rtol=1e-5, atol=1e-5)


@EVERY
def test_channels_take_turns(kind):
    """Property 27: 1, 2, 3, 1; which channels a block changes; after three of them all."""
    flow, images = random_flow(kind), random_images()
    assert [block.channel for block in flow.blocks] == [0, 1, 2, 0, 1, 2]
    own = {"vp": {0, 1, 2}, "vp_nice": {1, 2}, "nvp": {1, 2}, "nvp_swap": {0}}[kind]
    columns = np.split(images.reshape(-1, 3), 3, axis=1)
    for number, block in enumerate(flow.blocks[:3]):
        after = [column.numpy() for column in block.forward(list(map(tf.constant, columns)))[0]]
        changed = {c for c in range(3) if not np.array_equal(after[c], columns[c])}
        assert changed == {(c + number) % 3 for c in own}
    short = random_flow(kind, num_blocks=3)
    assert (short(images).numpy() != images).reshape(-1, 3).mean(axis=0).min() > 0.9


@EVERY
def test_it_starts_as_the_identity(kind):
    """Property 27; and its last layers are what changes first."""
    flow, images = CouplingFlow(kind), random_images()
    np.testing.assert_array_equal(flow(images), images)
    np.testing.assert_array_equal(flow.inverse(images), images)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(flow(images) ** 3)
    gradients = tape.gradient(loss, flow.trainable_variables)
    moved = [bool(tf.reduce_any(g != 0)) for g in gradients]
    last = ["linear3" in v.name for v in flow.trainable_variables]
    assert sum(last) == 2 * 6 * (1 if kind == "vp_nice" else 2)
    assert all(m for m, at_end in zip(moved, last) if at_end)
    assert not any(m for m, at_end in zip(moved, last) if not at_end)


@EVERY
def test_gradients_against_differences(kind, float64):
    """Of images and of weights, along random directions."""
    flow, rng = random_flow(kind), fresh_rng()
    images, weights = tf.constant(random_images(np.float64, (2, 3, 3, 3))), fresh_rng()
    target = weights.normal(size=(2, 3, 3, 3))

    def loss(x):
        found, log_det = flow.forward(x)
        return tf.reduce_sum(target * found) + tf.reduce_sum(log_det)

    with tf.GradientTape() as tape:
        tape.watch(images)
        value = loss(images)
    by_image, *by_weight = tape.gradient(value, [images, *flow.trainable_variables])
    # So short that hardly ever one of the 14,000 ReLUs has its corner on the way.
    step = 1e-9
    along = rng.normal(size=images.shape)
    slope = (loss(images + step * along) - loss(images - step * along)) / (2 * step)
    assert float(tf.reduce_sum(by_image * along)) == pytest.approx(float(slope), rel=1e-3, abs=1e-3)
    ways = [rng.normal(size=v.shape) for v in flow.trainable_variables]
    values = []
    start = [v.numpy() for v in flow.trainable_variables]
    for sign in (1, -1):
        for variable, old, way in zip(flow.trainable_variables, start, ways):
            variable.assign(old + sign * step * way)
        values.append(float(loss(images)))
    slope = (values[0] - values[1]) / (2 * step)
    found = sum(float(tf.reduce_sum(g * way)) for g, way in zip(by_weight, ways))
    assert found == pytest.approx(slope, rel=1e-3, abs=1e-3)


@EVERY
@pytest.mark.parametrize("jit", [False, True])
def test_programs_equal_eager_calls(kind, jit):
    flow, images = random_flow(kind, num_blocks=3), random_images()

    def everything(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            found, log_det = flow.forward(x)
            loss = tf.reduce_sum(found**2)
        return found, log_det, flow.inverse(x), tape.gradient(loss, x)

    program = tf.function(everything, jit_compile=jit, autograph=False)
    received = program(tf.constant(images))
    assert [tuple(t.shape) for t in program.get_concrete_function(images).outputs] == [
        (4, 8, 8, 3),
        (4,),
        (4, 8, 8, 3),
        (4, 8, 8, 3),
    ]
    for expected, found in zip(everything(tf.constant(images)), received):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_does_not_reach_it(policy):
    tf.keras.mixed_precision.set_global_policy(policy)
    flow, images = random_flow(), random_images()
    found = flow(tf.cast(images, policy[6:]))
    assert found.dtype == tf.float32
    assert {v.dtype for v in flow.variables} == {tf.float32}
    assert np.abs(flow.inverse(flow(images)) - images).max() <= 1e-5


def test_weights_are_plain_variables_and_go_into_a_checkpoint(tmp_path):
    flow, images = random_flow(), random_images()
    # Six blocks of 2 -> 32 -> 32 -> 1 and 1 -> 32 -> 32 -> 2.
    size = sum(int(np.prod(v.shape)) for v in flow.trainable_variables)
    assert size == 6 * ((2 * 32 + 32) + (32 + 32) + 2 * (32 * 32 + 32) + (32 + 1) + (64 + 2))
    assert len(flow.variables) == len(flow.trainable_variables)
    path = tf.train.Checkpoint(generator=flow).write(str(tmp_path / "state"))
    other = random_flow()
    tf.train.Checkpoint(generator=other).read(path).assert_consumed()
    np.testing.assert_array_equal(other(images), flow(images))


ELSEWHERE = """
import sys
sys.modules["tfssl"] = None  # importing it raises ImportError
import numpy as np, tensorflow as tf
path, given, found = sys.argv[1:]
model = tf.keras.models.load_model(path, compile=False)
np.save(found, model(tf.constant(np.load(given)), training=False))
"""


def test_a_functional_model_is_saved_and_loaded_without_this_library(tmp_path):
    flow, images = random_flow("nvp", num_blocks=3), random_images()
    model = flow.functional()
    np.testing.assert_allclose(model(images), flow(images), rtol=1e-6, atol=1e-6)
    assert {id(v) for v in model.variables} == {id(v) for v in flow.variables}
    copy_encoder(model)  # It refuses layers that are not built in.
    model.save(str(tmp_path / "b"), save_format="tf", include_optimizer=False)
    np.save(tmp_path / "in.npy", images)
    paths = (str(tmp_path / name) for name in ("b", "in.npy", "out.npy"))
    subprocess.run([sys.executable, "-I", "-c", ELSEWHERE, *paths], check=True, cwd=tmp_path)
    found = np.load(tmp_path / "out.npy")
    np.testing.assert_allclose(found, flow(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"kind": "glow"}, "kind: expected one of vp, vp_nice, nvp, nvp_swap. Received: 'glow'"),
        ({"num_blocks": 4}, "num_blocks: expected a multiple of 3.*Received: 4"),
        ({"num_blocks": 0}, "num_blocks: expected a multiple of 3.*Received: 0"),
        ({"hidden_dim": 0}, "hidden_dim: expected at least 1. Received: 0"),
        ({"kind": "nvp", "scale": "exp"}, "scale: expected one of bounded, plain. Received: 'exp'"),
        ({"scale": "plain"}, "scale: expected 'bounded' with kind vp.*Remedy: kind nvp"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        CouplingFlow(**options)


def test_other_images_are_refused():
    with pytest.raises(ValueError, match=r"expected \[batch, height, width, 3\]. Received"):
        CouplingFlow()(tf.zeros([2, 4, 4, 1]))
