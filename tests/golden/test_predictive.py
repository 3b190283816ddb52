"""A step of predictive learning from its definition (section 6 of the CMC sheet)."""

import numpy as np
import pytest
import tensorflow as tf

from tests.contract import harness


def predictions(method, batch):
    """What every decoder says, in training mode, without moving the statistics."""
    networks = [*method.encoders, *method.decoders]
    before = [network.get_weights() for network in networks]
    maps = [e(view, training=True) for e, view in zip(method.encoders, batch["views"])]
    found = [
        decoder(maps[i], training=True).numpy()
        for (i, _), decoder in zip(method.pairs, method.decoders)
    ]
    for network, weights in zip(networks, before):
        network.set_weights(weights)
    return found


def explained(error, target):
    """The share of the channels' variance that is not left."""
    return 1 - np.mean(error**2) / np.mean(np.var(target, axis=(0, 1, 2)))


@pytest.mark.parametrize("distance", ["l2", "l1"])
@pytest.mark.parametrize("paradigm, pairs", [("full", 6), ("core", 4)])
def test_losses_are_means_over_pixels(distance, paradigm, pairs):
    channels = (1, 2, 3)
    plan = harness.make_plan(view_channels=channels)
    method = harness.build("predictive", plan=plan, distance=distance, paradigm=paradigm)
    sizes = [harness.SIZE] * 3
    batch = harness.make_batch("predictive", sizes=sizes, channels=channels)
    assert len(method.pairs) == pairs and all(i != j for i, j in method.pairs)
    expected = {}
    for (i, j), found in zip(method.pairs, predictions(method, batch)):
        error = found - batch["views"][j].numpy()
        value = np.mean(error**2 if distance == "l2" else np.abs(error))
        expected[f"loss/{i + 1}-{j + 1}"] = value
        expected[f"explained/{i + 1}-{j + 1}"] = explained(error, batch["views"][j].numpy())
    logs = harness.step(method, batch)
    total = logs.pop("loss")
    assert logs == pytest.approx(expected, rel=1e-4, abs=1e-5)
    losses = [value for name, value in expected.items() if name.startswith("loss/")]
    assert total == pytest.approx(sum(losses), rel=1e-4)


def test_missing_views():
    """A direction's mean is over the images that have both."""
    method, batch = harness.build("predictive"), harness.make_batch("predictive")
    present = np.ones([harness.BATCH, 2], bool)
    present[:3, 1] = False
    batch["present"] = tf.constant(present)
    first, second = predictions(method, batch)
    views = [view.numpy() for view in batch["views"]]
    logs = harness.step(method, batch)
    for name, error, target in (
        ("1-2", first - views[1], views[1]),
        ("2-1", second - views[0], views[0]),
    ):
        assert logs[f"loss/{name}"] == pytest.approx(np.mean(error[3:] ** 2), rel=1e-4)
        share = explained(error[3:], target[3:])
        assert logs[f"explained/{name}"] == pytest.approx(share, rel=1e-4, abs=1e-5)
