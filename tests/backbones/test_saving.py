"""Checkpoints, copies, and SavedModels that need nothing of this library."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng, normal
from tfssl import backbones
from tfssl.backbones.convolution import convolution

RELOAD = """
import sys
import numpy as np
import tensorflow as tf
images, features = np.load("io.npz").values()
loaded = tf.saved_model.load("model")
np.testing.assert_allclose(loaded(images, training=False), features, rtol=1e-5, atol=1e-5)
with tf.GradientTape() as tape:
    loss = tf.reduce_sum(loaded(images, training=True) ** 2)
gradients = tape.gradient(loss, loaded.trainable_variables)
assert len(gradients) >= 2 and all(np.any(g.numpy()) for g in gradients[:2])
model = tf.keras.models.load_model("model", compile=False)
np.testing.assert_allclose(model(images, training=False), features, rtol=1e-5, atol=1e-5)
assert {layer.__module__.split(".")[0] for layer in model.layers} <= {"keras", "tf_keras"}
assert "tfssl" not in sys.modules
print("reloaded")
"""


def _grouped():
    inputs = tf.keras.Input((None, None, 3))
    x = convolution(inputs, 8, 3, name="first")
    x = convolution(x, 8, 3, groups=4, stride=2, name="grouped")
    return tf.keras.Model(inputs, tf.keras.layers.GlobalAveragePooling2D()(x))


def _joint():
    encoders = [backbones.build("tiny", image_size=32, channels=channels) for channels in (1, 2)]
    return backbones.concatenate(encoders, [1, 2])


@pytest.mark.parametrize(
    "kind", ["tiny", "grouped", "joint", pytest.param("resnet18", marks=pytest.mark.slow)]
)
def test_saved_model_reloads_without_this_library(kind, tmp_path):
    if kind == "grouped":
        model = _grouped()
    elif kind == "joint":
        model = _joint()
    else:
        options = dict(stem="cifar", width=0.125, zero_init_residual=False)
        model = backbones.build(kind, image_size=32, **options)
    images = fresh_rng().normal(size=(2, 32, 32, 3)).astype(np.float32)
    np.savez(tmp_path / "io.npz", images=images, features=model(images, training=False))
    model.save(tmp_path / "model", save_format="tf")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, "-c", RELOAD],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.stdout.strip() == "reloaded", result.stderr[-2000:]


def test_checkpoint_restores_weights_and_statistics(tmp_path):
    model = backbones.build("tiny", image_size=16)
    model(normal([4, 16, 16, 3]), training=True)
    path = tf.train.Checkpoint(model=model).save(str(tmp_path / "ckpt"))
    other = backbones.build("tiny", image_size=16)
    status = tf.train.Checkpoint(model=other).restore(path)
    status.assert_consumed()
    expected = backbones.torch_state(model)
    for name, value in backbones.torch_state(other).items():
        np.testing.assert_array_equal(value, expected[name])


def test_clone_has_the_same_structure_and_its_own_weights():
    model = backbones.build("tiny", image_size=16)
    clone = tf.keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    images = normal([2, 16, 16, 3])
    np.testing.assert_array_equal(clone(images), model(images))
    clone.get_layer("conv1").kernel.assign_add(tf.ones([7, 7, 3, 8]))
    assert not np.allclose(clone(images), model(images))
