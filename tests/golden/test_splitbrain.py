"""A step of SplitBrain from its definition (section 7 of the baselines' sheet)."""

import numpy as np
import pytest
import tensorflow as tf
from skimage.color import rgb2lab

from tests.contract import harness
from tests.random_inputs import fresh_rng
from tfssl.methods import _colour_classes
from tfssl.settings import SettingsError

MEAN, STD = np.array([50, 6.025, -6.6895]), np.array([50, 92.208, 101.1675])
SIZE = harness.SIZE


def lab_batch():
    """Random pictures in Lab, and the normalised views of them."""
    rgb = fresh_rng().integers(0, 256, [harness.BATCH, SIZE // 2, SIZE // 2, 3], dtype=np.uint8)
    lab = rgb2lab(rgb.repeat(2, axis=1).repeat(2, axis=2))
    views = np.split((lab - MEAN) / STD, [1], axis=-1)
    index = tf.range(harness.BATCH, dtype=tf.int64)
    return lab, {"views": tuple(tf.constant(v, tf.float32) for v in views), "index": index}


def outputs(method, batch):
    """What both networks say, in training mode, without moving the statistics."""
    before = [network.get_weights() for network in method.networks]
    found = [n(v, training=True).numpy() for n, v in zip(method.networks, batch["views"])]
    for network, weights in zip(method.networks, before):
        network.set_weights(weights)
    return found


def pooled(lab, side):
    cell = SIZE // side
    return lab.reshape(len(lab), side, cell, side, cell, 3).mean(axis=(2, 4))


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def soft_weights(colour, centres):
    squares = np.sum((centres - colour) ** 2, axis=1)
    nearest = np.argsort(squares)[:5]
    weights = np.exp(-squares[nearest] / 50)
    return nearest, weights / weights.sum()


@pytest.mark.parametrize("soft", [False, True])
def test_classification(soft):
    method = harness.build("splitbrain", soft_targets=soft)
    lab, batch = lab_batch()
    to_chroma, to_light = outputs(method, batch)
    small = pooled(lab, to_chroma.shape[1])
    centres = _colour_classes.chroma_centres()
    losses = [[], []]
    for place in np.ndindex(small.shape[:3]):
        light, colour = small[place][0], small[place][1:]
        nearest, weights = soft_weights(colour, centres)
        said = log_softmax(to_chroma[place])
        losses[0].append(-said[nearest[0]] if not soft else -(weights * said[nearest]).sum())
        losses[1].append(-log_softmax(to_light[place])[min(99, int(np.floor(light)))])
    logs = harness.step(method, batch)
    assert logs["loss/1-2"] == pytest.approx(np.mean(losses[0]), rel=1e-4)
    assert logs["loss/2-1"] == pytest.approx(np.mean(losses[1]), rel=1e-4)
    assert logs["loss"] == pytest.approx(np.mean(losses[0]) + np.mean(losses[1]), rel=1e-4)
    assert method.chance_level == pytest.approx(np.log(261) + np.log(100))


def test_regression():
    method = harness.build("splitbrain", loss="regression")
    lab, batch = lab_batch()
    found = outputs(method, batch)
    small = (pooled(lab, found[0].shape[1]) - MEAN) / STD
    targets = (small[..., 1:], small[..., :1])
    expected = [np.mean((f - t) ** 2) / 2 for f, t in zip(found, targets)]
    spread = [np.mean(np.var(target, axis=(0, 1, 2))) for target in targets]
    logs = harness.step(method, batch)
    assert [logs["loss/1-2"], logs["loss/2-1"]] == pytest.approx(expected, rel=1e-4)
    explained = [1 - 2 * loss / value for loss, value in zip(expected, spread)]
    assert [logs["explained/1-2"], logs["explained/2-1"]] == pytest.approx(explained, rel=1e-4)
    assert method.chance_level is None


def test_the_bins_that_hold_colours():
    """Colours of sRGB on a grid fall into the 261 bins, and fill nearly all of them."""
    values = np.r_[0:256:3]
    rgb = np.stack(np.meshgrid(values, values, values), axis=-1).astype(np.uint8)
    found = set(map(tuple, 10 * np.rint(rgb2lab(rgb)[..., 1:].reshape(-1, 2) / 10).astype(int)))
    centres = _colour_classes.chroma_centres()
    listed = list(map(tuple, centres.astype(int)))
    assert len(listed) == 261 and listed == sorted(listed)
    assert found <= set(listed)
    # Bins that a corner of the gamut only touches need a finer grid.
    assert len(set(listed) - found) <= 8


def test_centres_of_a_file(tmp_path):
    path = tmp_path / "points.txt"
    path.write_text("0 0\n10 -20\n30 40\n")
    method = harness.build("splitbrain", centres=str(path))
    assert method.chance_level == pytest.approx(np.log(3) + np.log(100))
    for text, words in (
        ("1 2 3\n4 5 6\n", "two finite numbers each"),
        ("1 2\n1 2\n4 5\n", "2 different"),
        ("1 2\n4 nan\n", "two finite numbers each"),
        ("a b\n", "two numbers a line"),
    ):
        path.write_text(text)
        with pytest.raises(SettingsError, match=f"centres: expected .*{words}"):
            harness.build("splitbrain", centres=str(path))
    path.write_text("0 0\n10 -20\n30 40\n50 40\n")
    with pytest.raises(SettingsError, match="centres: expected 5 or more.*Received: 4"):
        harness.build("splitbrain", centres=str(path), soft_targets=True)
    with pytest.raises(SettingsError, match="centres: expected a text file.*Received: "):
        harness.build("splitbrain", centres=str(tmp_path / "nothing.txt"))


def test_lightness_at_the_ends():
    light = tf.constant([[-1e-4], [0.0], [0.99], [1.0], [99.999], [100.0], [100.001]])
    classes = tf.argmax(_colour_classes.lightness_targets(light), axis=1)
    np.testing.assert_array_equal(classes, [0, 0, 0, 1, 99, 99, 99])
