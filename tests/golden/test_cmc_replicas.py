"""CMC's losses and memories on two replicas, and after a restart."""

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness
from tests.golden.test_cmc import make_batch
from tests.golden.test_cmc_combinations import patches

CASES = {
    "nce, moving": ((1, 2), {"loss": "nce", "partition_momentum": 0.9}),
    "in batch, three views": ((1, 1, 1), {"loss": "in_batch", "paradigm": "core"}),
    "patch": ((1, 2), {"loss": "patch", "patch_layer": "stem"}),
    "queue and jigsaws": ((1, 2, 1, 2), {"memory": "queue", "jigsaw_weight": 0.5}),
}
EVERY = pytest.mark.parametrize("case", CASES)


def build(case, **more):
    channels, options = CASES[case]
    plan = harness.make_plan(view_channels=channels)
    return harness.build("cmc", plan=plan, **options, **more)


def batch_of(case, seed=0, masked=False):
    channels, options = CASES[case]
    batch = make_batch(channels, seed=seed)
    if options.get("jigsaw_weight"):
        batch["patches"] = tf.cast(patches(), tf.keras.backend.floatx())
    elif masked:
        present = np.random.default_rng(1).random([harness.BATCH, len(channels)]) < 0.7
        batch["present"] = tf.constant(present)
    return batch


@pytest.mark.slow
@EVERY
def test_two_replicas_equal_one_device(case, float64, two_replicas):
    """Also where views are missing, unevenly over the replicas."""
    batch = batch_of(case, masked=True)
    single = build(case)
    expected = harness.step(single, batch, times=2)
    with two_replicas.scope():
        double = build(case, kind="graph")
    received = harness.step(double, harness.spread(two_replicas, batch), times=2)
    for key, value in expected.items():
        assert received[key] == pytest.approx(value, rel=1e-6, abs=1e-7), key
    harness.assert_same_state(harness.state(single), harness.state(double), 1e-8)


@EVERY
def test_a_restored_method_goes_on_to_the_bit(case, tmp_path):
    """Property 3: Z, bank, queue, pointer and slow copies are in the checkpoint."""
    method = build(case, seed=1)
    harness.step(method, batch_of(case, seed=1), times=2)
    path = tf.train.Checkpoint(method=method).write(str(tmp_path / "state"))
    expected = harness.step(method, batch_of(case, seed=2))
    other = build(case, seed=9)
    tf.train.Checkpoint(method=other).read(path).assert_existing_objects_matched()
    assert harness.step(other, batch_of(case, seed=2)) == expected
    harness.assert_same_state(harness.state(method), harness.state(other), 0.0)
