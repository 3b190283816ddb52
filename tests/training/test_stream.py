"""Where the loop's batches come from when a method orders the records of its epochs."""

import types

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tests.training.short_runs import TINY
from tfssl import config, data, training
from tfssl.settings import SettingsError
from tfssl.training.stream import Stream

BATCH, EPOCH, STEPS = 4, 5, 23
ORDERED = (0, 1, 3)  # Epochs.


class Experiment:
    """As much of an experiment as a stream asks for; 21 of 23 images can be read."""

    def __init__(self, secret, ordered=ORDERED):
        self.secret, self.ordered, self.made = secret, ordered, []
        self.method = self
        self.plan = types.SimpleNamespace(steps_per_epoch=EPOCH)
        pixels = np.zeros([23, 8, 8, 3], np.uint8)
        self.train = data.PixelSource("held", pixels, drawable=np.setdiff1d(np.arange(23), [4, 11]))

    def record_order(self, epoch, records):
        """Some records of the epoch, twice each."""
        np.testing.assert_array_equal(records, self.train.drawable)
        if epoch not in self.ordered:
            return None
        half = np.random.default_rng([self.secret, epoch]).permutation(records)[:11]
        return np.concatenate([half, half[:10]])

    def batches(self, step, order=None):
        """Views that show the keys of their rows."""
        self.made.append(step)

        def family(images, keys):
            shown = tf.cast(keys % 1009, tf.float32)
            return (tf.cast(images, tf.float32) + shown[:, tf.newaxis, tf.newaxis, tf.newaxis],)

        family.num_views = 1
        return data.training_batches(
            self.train,
            family,
            batch_size=BATCH,
            seed=3,
            epochs=-(-STEPS // EPOCH),
            start_step=step,
            order=order,
        )


def run(experiment, first, last):
    """What the loop reads from one step to another."""
    stream = Stream(experiment)
    return [next(stream.at(step)) for step in range(first, last)]


def test_epochs_follow_the_methods_order_and_go_on_anywhere():
    secret = int(fresh_rng().integers(2**31))
    experiment = Experiment(secret)
    whole = run(experiment, 0, STEPS)
    # The epochs after an ordered one need a new iterator, the last ones share theirs.
    assert experiment.made == [0, 5, 10, 15, 20]
    for epoch in range(4):
        rows = np.concatenate([b["index"] for b in whole[epoch * EPOCH : (epoch + 1) * EPOCH]])
        order = experiment.record_order(epoch, experiment.train.drawable)
        if order is not None:
            np.testing.assert_array_equal(rows, order[:20])
        else:
            assert len(set(rows)) == 20 and set(rows) <= set(experiment.train.drawable)
    for first in (3, 10, 12, 17):
        for one, other in zip(run(Experiment(secret), first, STEPS), whole[first:]):
            np.testing.assert_array_equal(one["index"], other["index"])
            np.testing.assert_array_equal(one["views"][0], other["views"][0])


def test_a_record_that_comes_twice_is_seen_in_two_ways():
    batches = run(Experiment(7), 0, EPOCH)
    rows = np.concatenate([b["index"] for b in batches])
    shown = np.concatenate([b["views"][0][:, 0, 0, 0] for b in batches])
    assert len(set(rows)) == 11 and len(set(shown)) > 17


def test_without_an_order_there_is_one_stream():
    experiment = Experiment(0, ordered=())
    run(experiment, 3, STEPS)
    assert experiment.made == [3]


def test_an_optimizer_that_always_has_momentum_is_refused():
    flags = [flag for flag in TINY if not flag.startswith(("--mira", "--optimizer"))]
    flags += ["--method=deepcluster", "--deepcluster_num_clusters=9"]
    flags += ["--num_views=1", "--optimizer=adamw"]
    with pytest.raises(SettingsError, match="DeepCluster.*Received: AdamW.*--optimizer=sgd"):
        training.prepare(config.parse(flags)[0])
