"""CMC learns by heart which two halves of an image belong together."""

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness
from tfssl import backbones
from tfssl.methods import cmc
from tfssl.training import SGD

IMAGES, BATCH, EPOCHS, SIZE = 256, 64, 100, harness.SIZE


def toy_views():
    """Views of one and two channels with a coarse pattern in common, which tells the image."""
    random = np.random.default_rng(0)
    patterns = random.normal(size=[IMAGES, 4, 4, 1]).repeat(4, axis=1).repeat(4, axis=2)
    images = patterns + 0.1 * random.normal(size=[IMAGES, SIZE, SIZE, 3])
    return np.split(images.astype(np.float32), [1], axis=-1)


def build(steps):
    """The harness' encoder, eight times as wide, at the paper's learning rate."""
    plan = harness.make_plan(
        view_channels=(1, 2),
        batch_size=BATCH,
        steps_per_epoch=steps,
        total_steps=EPOCHS * steps,
        num_records=IMAGES,
    )
    method = cmc.CMC(
        cmc.Config(num_negatives=64),
        plan,
        lambda **options: backbones.build("tiny", image_size=SIZE, width=8, **options),
    )
    optimizer = SGD(0.03, 0.9)
    method.compile(optimizer=optimizer)
    optimizer.build(method.trainable_variables)
    return method


@pytest.mark.slow
def test_pairs_are_learned_by_heart():
    """Property 21: 256 images, softmax, m = 64: a loss below 1 within 100 epochs, and own pairs."""
    steps, views, random = IMAGES // BATCH, toy_views(), np.random.default_rng(1)
    method = build(steps)

    def batches():
        while True:
            for rows in np.split(random.permutation(IMAGES), steps):
                parts = tuple(tf.constant(view[rows]) for view in views)
                yield {"views": parts, "index": tf.constant(rows, tf.int64)}

    advance, stream, losses = method.make_train_function(force=True), batches(), [np.inf]
    # A little below 1, the sum of both directions, so that the last epoch is no lucky one.
    while losses[-1] > 0.9 and len(losses) <= EPOCHS:
        method.reset_metrics()
        for _ in range(steps):
            logs = advance(stream)
        losses.append(float(logs["loss"]))
    assert losses[1] > 2 * np.log(65) and losses[-1] < 1
    rows = method.views.embed(views).numpy()
    scores = rows[:, 0] @ rows[:, 1].T
    for found in (scores.argmax(axis=1), scores.argmax(axis=0)):
        assert np.mean(found == np.arange(IMAGES)) >= 0.95
