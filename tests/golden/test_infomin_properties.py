"""Properties 1, 2, 4 and 6 to 9 of the InfoMin sheet, section 7; 3 and 5 are among its steps."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness
from tests.random_inputs import fresh_rng
from tfssl import config, layers, losses, ops
from tfssl.training import SGD
from tfssl.training.optimizers import learning_rate_at


def information(joint, first, second, given=()):
    """I(first; second | given) of a joint distribution, in nats; sets of axes."""

    def entropy(axes):
        others = tuple(set(range(joint.ndim)) - set(axes))
        p = joint.sum(axis=others).ravel()
        return -np.sum(p[p > 0] * np.log(p[p > 0]))

    first, second, given = set(first), set(second), set(given)
    return (
        entropy(first | given) + entropy(second | given) - entropy(first | second | given)
    ) - entropy(given)


def joint_of(views):
    """The joint of (y, v1, v2): y of four symbols and two bits, equally likely; views of them."""
    joint = np.zeros((4, 16, 16))
    for y, *bits in itertools.product(range(4), range(2), range(2)):
        joint[(y, *views(y, *bits))] += 1 / 16
    return joint


def test_property_1_the_three_regimes():
    """Section 1.3, and A.1 to A.3 at the sweet spot."""
    bit = math.log(2)
    sweet = joint_of(lambda y, a, b: (2 * y + a, 2 * y + b))
    assert information(sweet, [1], [2]) == pytest.approx(2 * bit, abs=1e-9)
    assert information(sweet, [1], [0]) == pytest.approx(2 * bit, abs=1e-9)
    # A.1: views are independent given the label, and neither adds to the other.
    assert information(sweet, [1], [2], [0]) == pytest.approx(0, abs=1e-9)
    assert information(sweet, [2], [0], [1]) == pytest.approx(0, abs=1e-9)
    # A.2 and A.3, of the minimal sufficient encoder z1 = y of v1 = (y, n1).
    encoded = np.zeros((4, 8, 8, 4))
    for y, a, b in itertools.product(range(4), range(2), range(2)):
        encoded[y, 2 * y + a, 2 * y + b, y] += 1 / 16
    assert information(encoded, [3], [2]) == pytest.approx(information(encoded, [1], [2]), abs=1e-9)
    assert information(encoded, [3], [0]) == pytest.approx(information(encoded, [1], [0]), abs=1e-9)
    assert information(encoded, [3], [1], [0]) == pytest.approx(0, abs=1e-9)

    noisy = joint_of(lambda y, a, b: (4 * y + 2 * a + b,) * 2)
    assert information(noisy, [1], [2]) == pytest.approx(4 * bit, abs=1e-9)
    missing = joint_of(lambda y, a, b: (y // 2,) * 2)
    assert information(missing, [1], [2]) == pytest.approx(bit, abs=1e-9)
    assert information(missing, [1], [0]) < information(sweet, [1], [0])


def test_property_2_the_ends_of_i_nce():
    """Equal scores: 0. A positive far above all others: ln k. Never more."""
    negatives = 63
    positive, others = tf.zeros([8]), tf.zeros([8, negatives])
    equal = losses.info_nce_from_scores(positive, others, temperature=0.15)
    assert math.log(negatives + 1) - float(equal) == pytest.approx(0, abs=1e-6)
    apart = losses.info_nce_from_scores(positive + 1, others, temperature=1e-3)
    assert math.log(negatives + 1) - float(apart) == pytest.approx(math.log(negatives + 1))
    rng = fresh_rng()
    for temperature in (1e-3, 0.07, 1.0):
        scores = [tf.constant(rng.uniform(-1, 1, s), tf.float32) for s in ((8,), (8, negatives))]
        loss = float(losses.info_nce_from_scores(*scores, temperature=temperature))
        assert math.log(negatives + 1) - loss <= math.log(negatives + 1) + 1e-5


def test_property_2_is_what_methods_log():
    method = harness.build("infomin")
    for seed in range(3):
        logs = harness.step(method, harness.make_batch("infomin", seed=seed))
        for name in ("information", "jigsaw-information"):
            assert logs[name] <= math.log(21) + 1e-5


def test_property_4_i_nce_of_gaussians_stays_below_the_truth():
    """The best critic of correlated Gaussians, their log density ratio, on 64 candidates."""
    rng, dim, rho, k = fresh_rng(), 4, 0.8, 64
    truth = -dim / 2 * math.log(1 - rho**2)
    found = []
    for _ in range(40):
        x = rng.normal(size=(k, dim))
        y = rho * x + math.sqrt(1 - rho**2) * rng.normal(size=(k, dim))
        square = (y[None] - rho * x[:, None]) ** 2 / (1 - rho**2) - y[None] ** 2
        scores = -square.sum(-1) / 2
        own = tf.constant(np.diag(scores))
        others = scores[~np.eye(k, dtype=bool)].reshape(k, k - 1)
        loss = losses.info_nce_from_scores(own, tf.constant(others), temperature=1.0)
        found.append(math.log(k) - float(loss))
    # Each mean of 2,560 samples is known to about 0.03.
    assert 0.6 * truth < np.mean(found) < truth + 0.1


@pytest.mark.parametrize("momentum", [0.0, 1.0])
def test_property_6_ends_of_the_average(momentum):
    """alpha = 0 copies weights, alpha = 1 freezes; moving statistics are left alone."""
    method = harness.build("infomin", momentum=momentum)
    batch = harness.make_batch("infomin")
    start = [v.numpy() for v in method.key.network.trainable_weights]
    harness.step(method, batch)
    own = [v.numpy() for v in method.key.network.non_trainable_weights]
    method.key.update(momentum)
    wanted = start if momentum else [v.numpy() for v in method.query.trainable_weights]
    for received, value in zip(method.key.network.trainable_weights, wanted):
        np.testing.assert_array_equal(received, value)
    for received, value in zip(method.key.network.non_trainable_weights, own):
        np.testing.assert_array_equal(received, value)
    query = [v.numpy() for v in method.query.non_trainable_weights]
    assert any(not np.array_equal(a, b) for a, b in zip(own, query))


def paper_schedule():
    """The learning rate of configs/imagenet/infomin_r50_100ep.cfg at a step, 7 steps an epoch."""
    wanted = config.read_flagfile("configs/imagenet/infomin_r50_100ep.cfg")
    run = {"batch_size": wanted.training.batch_size, "steps_per_epoch": 7}
    epochs = wanted.training.epochs
    return lambda step, **changed: learning_rate_at(
        step, config_with(wanted.optimizer, **changed), total_steps=7 * epochs, **run
    )


def config_with(optimizer, **changed):
    import dataclasses

    return dataclasses.replace(optimizer, **changed)


def test_property_7_the_cosine_of_epochs(monkeypatch):
    """lr(e) = min + (lr - min)(1 + cos(pi e / E)) / 2, e = 1..E, min = lr 0.1^3."""
    rate = paper_schedule()
    by_epoch = [rate(7 * e) for e in range(100)]
    expected = [3e-5 + (0.03 - 3e-5) * (1 + math.cos(math.pi * e / 100)) / 2 for e in range(1, 101)]
    assert by_epoch == pytest.approx(expected, rel=1e-6)
    assert [rate(7 * e + 6) for e in range(100)] == pytest.approx(by_epoch, rel=1e-6)
    assert by_epoch[-1] == pytest.approx(3e-5) and by_epoch[0] < 0.03
    assert all(late < early for early, late in zip(by_epoch, by_epoch[1:]))
    # A warm-up from 0.01 ends on the curve.
    warm = {"warmup_epochs": 5.0, "warmup_start_lr": 0.01}
    assert 0.01 < rate(0, **warm) < rate(34, **warm) < rate(35, **warm)
    assert rate(35, **warm) == pytest.approx(by_epoch[5])


def test_property_8_shuffling_is_undone():
    """Keys come back in order, and most of them from other groups than their queries."""
    rows, groups = 64, 8
    images = tf.reshape(tf.range(rows, dtype=tf.float32), [rows, 1])
    seen = []

    def network(group, training):
        seen.append(group.numpy()[:, 0].astype(int))
        return 2 * group + 1

    out = layers.in_shuffled_groups(network, images, groups, key=ops.fold_key(3, 4))
    np.testing.assert_array_equal(out, 2 * images + 1)
    place = {number: g for g, group in enumerate(seen) for number in group}
    assert sorted(place) == list(range(rows))
    moved = [place[number] != number // (rows // groups) for number in range(rows)]
    assert np.mean(moved) > 0.6


def test_property_9_weight_decay_is_coupled_and_on_everything():
    """Without a gradient a step from rest gives w (1 - lr lambda), the scale of BN included."""
    network = tf.keras.Sequential(
        [tf.keras.layers.Dense(3, input_shape=(2,)), tf.keras.layers.BatchNormalization()]
    )
    for variable in network.trainable_variables:
        variable.assign(fresh_rng().normal(size=variable.shape))
    wanted = config.read_flagfile("configs/imagenet/infomin_r50_100ep.cfg").optimizer
    assert (wanted.optimizer, wanted.decay, wanted.exclude_rank_below) == ("sgd", 1e-4, 0)
    optimizer = SGD(0.03, 0.9, weight_decay=wanted.decay, exclude_rank_below=0)
    before = [v.numpy() for v in network.trainable_variables]
    optimizer.apply_gradients([(tf.zeros_like(v), v) for v in network.trainable_variables])
    for value, variable in zip(before, network.trainable_variables):
        np.testing.assert_allclose(variable, value * (1 - 0.03 * 1e-4), rtol=1e-6)
