"""A network trained on labels or points: both are learned where images show them."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import backbones, data, evaluation

SIDE = 16


class Plain:
    """Images in [-1, 1], for an encoder."""

    num_views = 1

    def __call__(self, images, keys):
        return (tf.cast(images, tf.float32) / 127.5 - 1.0,)


def squares(count):
    """Images of a bright square, its top-left pixel `[count, 2]`, and its colour `[count]`."""
    rng = fresh_rng()
    images = rng.integers(0, 40, [count, SIDE, SIDE, 3]).astype(np.uint8)
    places, colours = rng.integers(0, SIDE - 5, [count, 2]), rng.integers(0, 3, count)
    for image, (y, x), colour in zip(images, places, colours):
        image[y : y + 5, x : x + 5, colour] = 255
    return data.PixelSource("squares", images), places.astype(np.float32), colours


def judge(answers, **options):
    (train, *of_train), (test, *of_test) = squares(256), squares(60)
    batches = data.training_batches(train, Plain(), batch_size=32, seed=1, epochs=25)
    return evaluation.supervised(
        backbones.build("convnet", image_size=SIDE, width=0.5),
        batches,
        data.evaluation_batches(test, Plain(), batch_size=16, with_labels=False),
        train_answers=of_train[answers],
        test_answers=of_test[answers],
        learning_rate=0.01,
        **options,
    )


def test_colours_are_learned():
    found = judge(1, seed=3)
    assert found["top1"] > 0.9
    assert (found["steps"], found["seed"], found["num_test"]) == (200, 3, 60)


def test_places_are_learned():
    found = judge(0)
    assert found["explained"] > 0.5 and found["mean_distance"] < 4
    assert found["mean_squared_error"] > found["mean_distance"] ** 2 / 2 - 1e-6


def test_a_rate_is_positive():
    with pytest.raises(ValueError, match="learning_rate > 0. Received: learning_rate=0"):
        evaluation.supervised(
            None, None, None, train_answers=None, test_answers=None, learning_rate=0
        )
