"""Sobel filters in front of a backbone."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from tests.random_inputs import fresh_rng
from tfssl import backbones, export
from tfssl.backbones.sobel import sobel_gradients


@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_are_scipys(channels):
    images = fresh_rng().normal(size=(2, 7, 9, channels))
    received = sobel_gradients(tf.constant(images), channels).numpy()
    for image, maps in zip(images, received):
        grey = image.mean(axis=2)
        # Its filter is the mirror image of ours.
        np.testing.assert_allclose(maps[..., 0], -ndimage.sobel(grey, 1, mode="constant"))
        np.testing.assert_allclose(maps[..., 1], -ndimage.sobel(grey, 0, mode="constant"))


def test_backbone_sees_nothing_but_gradients():
    """The same features from the two-channel network on gradients made outside."""
    whole = backbones.build("tiny", image_size=16, sobel=True)
    inside = backbones.build("tiny", image_size=16, channels=2)
    inside.set_weights(whole.get_weights())
    images = tf.constant(fresh_rng().normal(size=(3, 16, 16, 3)), tf.float32)
    np.testing.assert_allclose(
        whole(images), inside(sobel_gradients(images, 3)), rtol=1e-5, atol=1e-6
    )
    assert whole.feature_dim == 16 and set(whole.stage_outputs) == {"stem", "stage1"}
    assert backbones.torch_state(whole)["conv1.weight"].shape[1] == 2


@pytest.mark.slow
def test_an_exported_encoder_takes_images(tmp_path):
    backbone = backbones.build("tiny", image_size=16, sobel=True)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    export.export_saved_model(backbone, tmp_path / "model", image_size=16, mean=mean, std=std)
    images = fresh_rng().random((2, 16, 16, 3)).astype(np.float32)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    received = loaded.signatures["float"](tf.constant(images))["features"]
    np.testing.assert_allclose(received, backbone((images - mean) / std), rtol=1e-4, atol=1e-5)
