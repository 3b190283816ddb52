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
    classes, shares = _colour_classes.lightness_classes(light)
    np.testing.assert_array_equal(classes[:, 0], [0, 0, 0, 1, 99, 99, 99])
    np.testing.assert_array_equal(shares, np.ones([7, 1]))


def test_losses_of_networks_that_say_nothing(tmp_path):
    """Section 7, test (a)."""
    path = tmp_path / "points.txt"
    np.savetxt(path, [(10 * i, 10 * j) for i in range(-8, 9) for j in range(-9, 10)][:313])
    for centres, level in ((None, 5.5645204073), (str(path), 5.7462031905)):
        method = harness.build("splitbrain", centres=centres)
        for network in method.networks:
            classifier = network.get_layer("classifier")
            classifier.set_weights([np.zeros_like(w) for w in classifier.get_weights()])
        logs = harness.step(method, lab_batch()[1])
        assert logs["loss/1-2"] == pytest.approx(level, rel=1e-6)
        assert logs["loss/2-1"] == pytest.approx(4.6051701860, rel=1e-6)
        assert method.chance_level == pytest.approx(level + 4.6051701860)


def test_networks_have_nothing_to_do_with_each_other(monkeypatch):
    """Section 7, test (b)."""
    method, (_, batch) = harness.build("splitbrain"), lab_batch()

    def losses_and_gradients():
        with tf.GradientTape(persistent=True) as tape:
            logs = method.compute(batch)[1]
        variables = [network.trainable_variables for network in method.networks]
        found = [[tape.gradient(logs[n], v) for v in variables] for n in ("loss/1-2", "loss/2-1")]
        return float(logs["loss/1-2"]), float(logs["loss/2-1"]), found

    to_chroma, to_light, gradients = losses_and_gradients()
    for own, other in (gradients[0], gradients[1][::-1]):
        assert all(np.any(g) for g in own[-2:])
        assert all(g is None or not np.any(g) for g in other)
    of_light = _colour_classes.lightness_classes
    monkeypatch.setattr(_colour_classes, "lightness_classes", lambda light: of_light(100 - light))
    again, other_light, _ = losses_and_gradients()
    assert again == pytest.approx(to_chroma, rel=1e-6)
    assert other_light != pytest.approx(to_light, rel=1e-6)


@pytest.mark.parametrize(
    "rgb, centre, lightness",
    [((255, 0, 0), (80, 70), 53), ((128, 64, 200), (50, -60), 41), ((90, 90, 90), (0, 0), 38)],
)
def test_classes_of_colours(rgb, centre, lightness):
    """Section 7, vectors and test (c): a grey image is in the bin (0, 0)."""
    lab = tf.constant(rgb2lab(np.uint8([[rgb]])), tf.float32)
    centres = _colour_classes.chroma_centres()
    classes, _ = _colour_classes.chroma_classes(lab[..., 1:], centres)
    assert tuple(centres[classes[0, 0, 0]]) == centre
    assert _colour_classes.lightness_classes(lab[..., :1])[0].numpy().item() == lightness


@pytest.mark.parametrize("grid", [True, False])
def test_the_nearest_centre(grid):
    """Test (c): every centre is its own. Colours of no sRGB image have the nearest as well."""
    rng, centres = fresh_rng(), _colour_classes.chroma_centres()
    if not grid:
        centres = rng.uniform(-100, 100, [70, 2]).astype(np.float32)
    places, _ = _colour_classes.chroma_classes(tf.constant(centres), centres)
    np.testing.assert_array_equal(places[:, 0], np.arange(len(centres)))
    colours = rng.uniform(-150, 150, [4, 5, 2])
    expected = np.square(colours[:, :, np.newaxis] - centres).sum(axis=3).argmin(axis=2)

    def find(ab):
        return _colour_classes.chroma_classes(ab, centres)

    for function in (find, tf.function(find, jit_compile=True, autograph=False)):
        np.testing.assert_array_equal(function(tf.constant(colours))[0][..., 0], expected)
        # Inside the table alone.
        places, _ = function(tf.constant(centres[:6].reshape(2, 3, 2)))
        np.testing.assert_array_equal(places[..., 0], np.arange(6).reshape(2, 3))


def test_flips_commute_with_targets():
    """Test (c), on maps that are symmetric."""
    method, (_, batch) = harness.build("splitbrain"), lab_batch()
    maps = [n(v) for n, v in zip(method.networks, batch["views"])]
    targets = method._targets(batch["views"], maps)
    flipped = method._targets([tf.reverse(v, [2]) for v in batch["views"]], maps)
    for (classes, _), (others, _) in zip(targets, flipped):
        np.testing.assert_array_equal(others, tf.reverse(classes, [2]))
