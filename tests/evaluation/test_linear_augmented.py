"""The augmented linear protocol: it learns, and the encoder stays bit for bit as it was."""

import inspect
import json

import numpy as np
import pytest
import tensorflow as tf

from tfssl import evaluation


def _encoder():
    return tf.keras.Sequential(
        [
            tf.keras.layers.Input([6, 6, 3]),
            tf.keras.layers.Conv2D(8, 3, activation="relu"),
            tf.keras.layers.BatchNormalization(momentum=0.5),
            tf.keras.layers.Flatten(),
        ]
    )


def _images(rows, seed):
    """Three classes: which channel is bright."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 3
    images = rng.uniform(0, 0.5, (rows, 6, 6, 3)) + 0.5 * np.eye(3)[labels][:, None, None, :]
    return images.astype(np.float32), labels


def _test_batches():
    images, labels = _images(30, seed=0)
    return [{"views": (tf.constant(images),), "index": tf.range(30), "label": tf.constant(labels)}]


def _train_batches(epoch, pad=False):
    images, labels = _images(60, seed=epoch + 1)
    flipped = images[:, :, ::-1]
    for rows in np.split(np.random.default_rng(epoch).permutation(60), 3):
        batch = {"views": (tf.constant(flipped[rows]),), "label": tf.constant(labels[rows])}
        if pad:
            # Padding must vanish: its label is no class, its pixels are not numbers.
            batch["views"] = (tf.concat([flipped[rows], tf.fill([2, 6, 6, 3], np.nan)], axis=0),)
            batch["label"] = tf.constant(np.append(labels[rows], [-1, -1]))
            batch["mask"] = tf.constant([True] * 20 + [False] * 2)
        yield batch


def test_it_learns_and_leaves_the_encoder_bit_for_bit():
    encoder = _encoder()
    before = encoder.get_weights()
    result = evaluation.linear_augmented(
        encoder, _train_batches, _test_batches(), num_classes=3, epochs=8, learning_rate=0.1
    )
    assert result["top1"] > 0.9
    assert (result["steps"], result["batch_size"], result["num_test"]) == (24, 20, 30)
    assert json.loads(json.dumps(result)) == result
    for old, new in zip(before, encoder.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_without_augmentation_it_equals_steps_on_extracted_features():
    # One batch an epoch, in the order given: the same updates as one pass over arrays.
    images, labels = _images(12, seed=1)
    encoder = _encoder()
    batch = {"views": (tf.constant(images),), "index": tf.range(12), "label": tf.constant(labels)}
    online = evaluation.linear_augmented(
        encoder, lambda epoch: [batch], [batch], num_classes=3, epochs=5, learning_rate=0.01
    )
    rows = encoder(images, training=False).numpy()
    offline = evaluation.linear(
        rows, labels, rows, labels, epochs=5, learning_rates=(0.01,), batch_size=12
    )
    assert online["top1"] == pytest.approx(offline["top1"], abs=1 / 12)


def test_padding_has_no_effect():
    encoder = _encoder()
    results = [
        evaluation.linear_augmented(
            encoder,
            lambda epoch, pad=pad: _train_batches(epoch, pad),
            _test_batches(),
            num_classes=3,
            epochs=2,
        )
        for pad in (False, True)
    ]
    assert results[0] == results[1]


def test_the_encoder_is_traced_once_for_training_and_once_for_testing():
    traces = []

    def features(images):
        traces.append(images.shape)
        return tf.reduce_mean(images, axis=[1, 2])

    evaluation.linear_augmented(
        features, _train_batches, _test_batches(), num_classes=3, epochs=3, milestones=(2,)
    )
    assert len(traces) == 2


def test_defaults_are_frozen():
    defaults = {
        name: p.default
        for name, p in inspect.signature(evaluation.linear_augmented).parameters.items()
        if p.kind is p.KEYWORD_ONLY
    }
    assert defaults == {
        "num_classes": inspect.Parameter.empty,
        "learning_rate": 0.3,
        "epochs": 100,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "milestones": (),
        "decay_factor": 0.1,
        "seed": 0,
    }


def _unlabelled(epoch):
    return [{"views": (tf.zeros([2, 6, 6, 3]),)}]


def _not_finite(epoch):
    return [{"views": (tf.fill([2, 6, 6, 3], np.nan),), "label": tf.zeros([2], tf.int64)}]


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"train_batches": _unlabelled}, "expected label.*Received: None"),
        ({"train_batches": lambda epoch: []}, "none in epoch 0"),
        ({"train_batches": _not_finite}, "train_features.*2 of 2 rows"),
        ({"num_classes": 2}, "a label of 2, num_classes=2"),
        ({"epochs": 0}, "epochs=0"),
        ({"learning_rate": 0.0}, r"learning_rates=\[0.0\]"),
    ],
)
def test_what_does_not_fit_is_refused(changes, words):
    arguments = {
        "features": evaluation.raw_pixels,
        "train_batches": _train_batches,
        "test_batches": _test_batches(),
        "num_classes": 3,
        "epochs": 1,
    }
    with pytest.raises(ValueError, match=words):
        evaluation.linear_augmented(**{**arguments, **changes})
