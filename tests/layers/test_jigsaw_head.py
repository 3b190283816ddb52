"""The jigsaw's head against the InfoMin sheet, sections 2.5, 2.6 and 7, and NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl.layers import JigsawHead
from tfssl.ops import fold_key, keyed_permutations

BATCH, PATCHES, DIM = 5, 9, 6
IDENTITY = np.tile(np.arange(PATCHES), [BATCH, 1])


@pytest.fixture
def features():
    return fresh_rng().normal(size=[BATCH, PATCHES, DIM]).astype(np.float32)


def random_orders():
    rng = fresh_rng()
    return np.stack([rng.permutation(PATCHES) for _ in range(BATCH)])


def small(**options):
    return JigsawHead(DIM, patch_dim=4, output_dim=3, **options)


@pytest.mark.parametrize(
    "hidden_dim, parameters",
    [(2048, 4_606_208), (0, (2048 * 128 + 128) + (1152 * 128 + 128))],
)
def test_parameter_counts(hidden_dim, parameters):
    """Section 2.6, ResNet-50."""
    head = JigsawHead(2048, hidden_dim=hidden_dim)
    assert sum(int(tf.size(v)) for v in head.trainable_variables) == parameters


@pytest.mark.parametrize("hidden_dim", [0, 7])
def test_forward_against_numpy(features, hidden_dim):
    """Section 2.5: each patch through the first map, shuffled, joined, through the second."""
    head, orders = small(hidden_dim=hidden_dim), random_orders()
    weights = [w.astype(np.float64) for w in head.get_weights()]
    expected = []
    for image, order in zip(features.astype(np.float64), orders):
        patches = []
        for number in order:
            x = image[number]
            if hidden_dim:
                x = np.maximum(x @ weights[0] + weights[1], 0)
            patches.append(x @ weights[-4] + weights[-3])
        expected.append(np.concatenate(patches) @ weights[-2] + weights[-1])
    np.testing.assert_allclose(head(features, tf.constant(orders)), expected, atol=1e-5)


def test_permutation_is_an_order_of_the_images_own_patches(features):
    """Property 16: reordered patches with the identity are the patches with that order."""
    head, orders = small(), random_orders()
    shuffled = head(features, tf.constant(orders))
    reordered = np.take_along_axis(features, orders[:, :, np.newaxis], axis=1)
    np.testing.assert_allclose(shuffled, head(reordered, tf.constant(IDENTITY)), atol=1e-6)
    assert np.abs(shuffled - head(features, tf.constant(IDENTITY))).max(axis=1).min() > 1e-4


def test_joined_patches_are_those_of_the_image(features):
    """Property 16: what the second map sees is each image's patches, none lost, none of another."""
    head, seen = small(), []
    joint = head.joint_projector
    head.joint_projector = lambda x: seen.append(x) or joint(x)
    head(features, tf.constant(random_orders()))
    own = head.patch_projector(features.reshape(-1, DIM)).numpy().reshape(BATCH, PATCHES, 4)
    for received, patches in zip(seen[0].numpy().reshape(BATCH, PATCHES, 4), own):
        np.testing.assert_array_equal(
            received[np.lexsort(received.T)], patches[np.lexsort(patches.T)]
        )


def test_keyed_orders_are_permutations_that_differ():
    """Property 16: one for each image, drawn anew for each key."""
    orders = keyed_permutations(fold_key(3, tf.range(200)), PATCHES).numpy()
    assert (np.sort(orders, axis=1) == np.arange(PATCHES)).all()
    assert len(set(map(tuple, orders))) > 195


def test_no_image_sees_another(features):
    """Property 17: the Jacobian between images is zero, and each patch of its own counts."""
    # So many hidden units that no patch has only dead ones.
    head, tensor = small(hidden_dim=64), tf.constant(features)
    orders = tf.constant(random_orders())
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        rows = head(tensor, orders)
    jacobian = tape.jacobian(rows, tensor).numpy()
    assert jacobian.shape == (BATCH, 3, BATCH, PATCHES, DIM)
    for one in range(BATCH):
        for other in range(BATCH):
            part = np.abs(jacobian[one, :, other])
            assert (part.sum(axis=(0, 2)) > 0).all() if one == other else not part.any()


def test_shape_and_norm(features):
    """Property 17: nine rows of 2048 an image to one of 128, which methods bring to norm 1."""
    wide = fresh_rng().normal(size=[9 * BATCH, 2048]).astype(np.float32)
    head = JigsawHead(2048)
    rows = head(wide.reshape(BATCH, 9, 2048), tf.constant(random_orders()))
    assert rows.shape == (BATCH, 128) and rows.dtype == tf.float32
    norms = np.linalg.norm(tf.math.l2_normalize(rows, axis=1), axis=1)
    np.testing.assert_allclose(norms, np.ones(BATCH), atol=1e-5)


def test_initial_weights_are_uniform_of_the_fan_in():
    head = JigsawHead(2048, hidden_dim=512)
    for variable, fan_in in zip(head.trainable_variables, [2048] * 2 + [512] * 2 + [1152] * 2):
        values = variable.numpy()
        assert 0.95 * fan_in**-0.5 < np.abs(values).max() <= fan_in**-0.5


@pytest.mark.parametrize("policy", ["mixed_float16", "float64"])
def test_precision(policy, features):
    tf.keras.mixed_precision.set_global_policy(policy)
    head = small(hidden_dim=7)
    rows = head(features.astype(np.float64), tf.constant(random_orders()))
    assert rows.dtype == (tf.float64 if policy == "float64" else tf.float32)
    assert np.isfinite(rows).all()


def test_xla_equals_eager(features):
    head, orders = small(hidden_dim=7), tf.constant(random_orders())
    compiled = tf.function(head, jit_compile=True, autograph=False)
    np.testing.assert_allclose(compiled(features, orders), head(features, orders), atol=1e-5)


@pytest.mark.parametrize("change", [{"patch_dim": 0}, {"hidden_dim": -1}, {"output_dim": 0}])
def test_refusals(change):
    with pytest.raises(ValueError, match="whole numbers >= 1. Received: "):
        JigsawHead(DIM, **change)
