"""Precision policies, graph, XLA and replicas."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng, normal
from tfssl import backbones


def _step(model, images):
    """Features, loss and gradients of one training-mode forward; updates moving statistics."""
    with tf.GradientTape() as tape:
        features = model(images, training=True)
        loss = tf.reduce_mean(tf.square(features))
    return [features, loss, *tape.gradient(loss, model.trainable_variables)]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", ["tiny", "resnet18"])
@pytest.mark.parametrize("synchronized", [None, True])
def test_half_precision_policies(policy, name, synchronized):
    images = normal([8, 32, 32, 3])
    options = dict(image_size=32, stem="cifar_stride2", width=0.25)
    reference = backbones.build(name, **options)
    expected = reference(images, training=True)
    tf.keras.mixed_precision.set_global_policy(policy)
    model = backbones.build(name, synchronized=synchronized, **options)
    backbones.load_torch_state(model, backbones.torch_state(reference))
    features, loss, *gradients = _step(model, images)
    assert model.get_layer("conv1").compute_dtype == policy[len("mixed_") :]
    assert features.dtype == tf.float32
    assert all(variable.dtype == tf.float32 for variable in model.variables)
    assert all(np.all(np.isfinite(g)) for g in gradients)
    np.testing.assert_allclose(features, expected, atol=0.06)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_features_of_large_bright_maps_do_not_overflow_or_round_away(policy):
    tf.keras.mixed_precision.set_global_policy(policy)
    model = backbones.build("tiny", image_size=32)
    pool = model.get_layer("avgpool")
    # 4096 values of 40 sum to more than float16 holds; their mean is exact in float32.
    np.testing.assert_array_equal(pool(tf.fill([1, 64, 64, 3], 40.0)), np.full([1, 3], 40.0))


def test_synchronised_statistics_survive_half_precision():
    # In bfloat16 the count of 2 x 32 x 32 ones, and the sums, would be rounded to 8 bits.
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    model = backbones.build("tiny", image_size=32, synchronized=True)
    layer = model.get_layer("bn1")
    values = fresh_rng().normal(3.0, 0.5, [2, 33, 33, 8]).astype(np.float32)
    normalised = layer(values, training=True).numpy()
    np.testing.assert_allclose(normalised.mean((0, 1, 2)), np.zeros(8), atol=1e-3)
    np.testing.assert_allclose(normalised.std((0, 1, 2)), np.ones(8), atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("stem", ["imagenet", "cifar_stride2"])
@pytest.mark.parametrize("synchronized", [None, True])
def test_training_forward_compiles_with_xla_and_agrees_with_eager(stem, synchronized):
    images = normal([8, 16, 16, 3])
    model = backbones.build("tiny", image_size=16, stem=stem, synchronized=synchronized)
    twin = backbones.build("tiny", image_size=16, stem=stem, synchronized=synchronized)
    backbones.load_torch_state(twin, backbones.torch_state(model))
    compiled = tf.function(lambda x: _step(model, x), jit_compile=True, autograph=False)
    for ours, eager in zip(compiled(images), _step(twin, images)):
        np.testing.assert_allclose(ours, eager, rtol=1e-4, atol=1e-5)
    before, after = backbones.torch_state(twin), backbones.torch_state(model)
    assert not np.allclose(after["bn1.running_mean"], 0)
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, rtol=1e-4, atol=1e-5)


def test_synchronised_by_default_under_two_replicas_only(two_replicas):
    alone = backbones.build("tiny", image_size=16)
    with two_replicas.scope():
        together = backbones.build("tiny", image_size=16)
        forced = backbones.build("tiny", image_size=16, synchronized=False)
    assert [m.get_layer("bn1").synchronized for m in (alone, together, forced)] == [
        False,
        True,
        False,
    ]
    assert alone.get_layer("bn1").fused and not together.get_layer("bn1").fused


def test_two_replicas_equal_one_device(two_replicas, float64):
    images = normal([8, 16, 16, 3], dtype=tf.float64)
    alone = backbones.build("tiny", image_size=16, synchronized=True)
    with two_replicas.scope():
        together = backbones.build("tiny", image_size=16)
    backbones.load_torch_state(together, backbones.torch_state(alone))
    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: images[4 * context.replica_id_in_sync_group :][:4]
    )
    features = tf.function(
        lambda x: two_replicas.run(lambda y: together(y, training=True), [x]), autograph=False
    )
    parts = two_replicas.experimental_local_results(features(halves))
    np.testing.assert_allclose(tf.concat(parts, 0), alone(images, training=True), atol=1e-9)
    ours, theirs = backbones.torch_state(together), backbones.torch_state(alone)
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-9)
