"""One layer or one view of an encoder, as features."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import backbones, evaluation


@pytest.fixture(scope="module")
def joint():
    encoders = [backbones.build("tiny", image_size=16, channels=c) for c in (1, 2)]
    return backbones.concatenate(encoders, (1, 2))


@pytest.fixture
def images():
    return tf.constant(fresh_rng().normal(size=[3, 16, 16, 3]), tf.float32)


def test_the_whole_encoder_is_itself(joint):
    assert evaluation.probe_encoder(joint) is joint


def test_views_see_their_own_channels(joint, images):
    whole = joint(images, training=False).numpy()
    first, second = (evaluation.probe_encoder(joint, view=v)(images).numpy() for v in (1, 2))
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, atol=1e-6)
    changed = tf.concat([images[..., :1], tf.zeros_like(images[..., 1:])], axis=-1)
    found = evaluation.probe_encoder(joint, view=1)(changed)
    np.testing.assert_allclose(found, first, atol=1e-6)


def test_a_layer_is_pooled_and_flattened(joint, images):
    stages = tf.keras.Model(joint.inputs, joint.stage_outputs)(images, training=False)
    for view, part in ((None, slice(None)), (1, slice(0, 16)), (2, slice(16, None))):
        features = evaluation.probe_encoder(joint, layer="stage1", view=view, stem="cifar")
        expected = evaluation.probe_features({"stage1": stages["stage1"][..., part]})
        np.testing.assert_allclose(features(images), expected["stage1"], atol=1e-6)


def test_extraction_leaves_the_encoder_alone(joint, images):
    before = joint.get_weights()
    batch = {"views": (images,), "index": np.arange(3)}
    features = evaluation.probe_encoder(joint, layer="stem", stem="cifar")
    rows = evaluation.extract(features, [batch]).features
    assert rows.shape == (3, 8 * 8 * 16)
    for one, other in zip(before, joint.get_weights()):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"view": 3}, "view: expected the number of one of 2 views.*Received: 3"),
        ({"layer": "conv5"}, "layer: expected one of stem, stage1. Received: 'conv5'"),
    ],
)
def test_what_is_not_there(joint, options, message):
    with pytest.raises(ValueError, match=message):
        evaluation.probe_encoder(joint, **options)
    plain = joint.parts[0]
    with pytest.raises(ValueError, match="view: expected .* 0 views"):
        evaluation.probe_encoder(plain, view=1)
