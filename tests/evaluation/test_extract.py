"""Extraction: order, padding, one trace, and an encoder that stays as it was."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import evaluation


def _batches(images, size, labels=None, pad=False):
    """Evaluation batches of a fixed size; the last one is padded with rows that must vanish."""
    for begin in range(0, len(images), size):
        index = np.arange(begin, min(begin + size, len(images)))
        missing = size - len(index) if pad else 0
        mask = np.append(np.ones(len(index), bool), np.zeros(missing, bool))
        rows = np.append(index, np.zeros(missing, int))
        batch = {"views": (tf.constant(images[rows]),), "index": tf.constant(rows + 100)}
        if labels is not None:
            batch["label"] = tf.constant(np.where(mask, labels[rows], -1))
        if pad:
            batch["mask"] = tf.constant(mask)
        yield batch


def _images(rows=11):
    return fresh_rng().uniform(size=(rows, 4, 4, 3)).astype(np.float32)


def _encoder():
    return tf.keras.Sequential(
        [
            tf.keras.layers.Input([4, 4, 3]),
            tf.keras.layers.Conv2D(5, 3),
            tf.keras.layers.BatchNormalization(),
            tf.keras.layers.Dropout(0.5),
            tf.keras.layers.Flatten(),
        ]
    )


@pytest.mark.parametrize("pad", [False, True])
@pytest.mark.parametrize("labelled", [False, True])
def test_rows_come_in_the_order_of_the_stream_without_padding(pad, labelled):
    images = _images()
    labels = np.arange(11) % 3 if labelled else None
    features, found, index = evaluation.extract(
        lambda x: tf.reduce_mean(x, axis=[1, 2]), _batches(images, 4, labels, pad)
    )
    assert features.dtype == np.float32 and index.dtype == np.int64
    np.testing.assert_allclose(features, images.mean(axis=(1, 2)), rtol=1e-6)
    np.testing.assert_array_equal(index, np.arange(11) + 100)
    if labelled:
        np.testing.assert_array_equal(found, labels)
    else:
        assert found is None


def test_a_dataset_is_as_good_as_a_list():
    images = _images(6)
    dataset = tf.data.Dataset.from_tensor_slices(
        {"views": (images,), "index": np.arange(6), "label": np.arange(6)}
    ).batch(4)
    found = evaluation.extract(evaluation.raw_pixels, dataset)
    np.testing.assert_array_equal(found.features, images.reshape(6, -1))
    np.testing.assert_array_equal(found.labels, np.arange(6))


def test_the_encoder_is_traced_once_whatever_the_last_batch():
    traces = []

    def features(images):
        traces.append(images.shape)
        return tf.reduce_mean(images, axis=[1, 2])

    evaluation.extract(features, _batches(_images(), 4))
    assert len(traces) == 1


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_model_is_used_in_inference_mode_and_stays_as_it_was(policy):
    tf.keras.mixed_precision.set_global_policy(policy)
    encoder, images = _encoder(), _images()
    before = encoder.get_weights()
    features = evaluation.extract(encoder, _batches(images, 4)).features
    assert features.dtype == np.float32
    expected = tf.cast(encoder(images, training=False), tf.float32)
    np.testing.assert_allclose(features, expected, rtol=1e-2, atol=1e-2 if "16" in policy else 1e-5)
    for old, new in zip(before, encoder.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_a_model_on_two_replicas_is_used_too(two_replicas):
    with two_replicas.scope():
        encoder = _encoder()
    images = _images()
    features = evaluation.extract(encoder, _batches(images, 4)).features
    np.testing.assert_allclose(features, encoder(images, training=False), atol=1e-5)


def test_raw_pixels_are_flat_and_of_unit_range():
    pixels = fresh_rng().integers(0, 256, (3, 4, 5, 2)).astype(np.uint8)
    found = evaluation.raw_pixels(tf.constant(pixels))
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, pixels.reshape(3, -1) / 255.0, rtol=1e-6)
    floats = (pixels / 255.0).astype(np.float32)
    np.testing.assert_array_equal(evaluation.raw_pixels(tf.constant(floats)), floats.reshape(3, -1))


@pytest.mark.parametrize(
    "features, batches, words",
    [
        (evaluation.raw_pixels, [], "no rows"),
        (lambda x: x, _batches(_images(), 4), r"shape=\(4, 4, 4, 3\)"),
        (
            evaluation.raw_pixels,
            [{"views": (tf.zeros([1, 2, 2, 3]),) * 2, "index": tf.zeros([1], tf.int64)}],
            "2 views",
        ),
    ],
)
def test_what_cannot_be_extracted_is_refused(features, batches, words):
    with pytest.raises(ValueError, match=words):
        evaluation.extract(features, batches)
