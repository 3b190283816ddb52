"""Clips of moving digits: InfoMin's section 3.4, properties 21 and 22."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tests.data import moving
from tests.random_inputs import fresh_rng
from tfssl import data, ops
from tfssl.data import moving_digits
from tfssl.data.settings import FACTORS
from tfssl.settings import SettingsError

CASES = [",".join(s) for n in (1, 2, 3) for s in itertools.combinations(FACTORS, n)]


class Plain:
    """A family that leaves records as they are."""

    num_views = 1

    def __call__(self, records, keys):
        return (records,)


def drawn(source, count=24):
    """What the frames of some clips show: `[count][11]`; the draws are the same for all sources."""
    indices = tf.range(count, dtype=tf.int64) % source.num_records
    clips = source.load_batch(indices, ops.fold_key(5, tf.range(count))).numpy()
    assert clips.shape == (count, 11, 64, 64, 3) and clips.dtype == np.uint8
    return indices.numpy(), [[moving.read(frame) for frame in clip] for clip in clips]


@pytest.mark.parametrize("shared", CASES)
def test_the_single_frame_has_what_is_shared_and_nothing_else(shared):
    """Property 22: of frame 20, which is what it shows where everything is shared."""
    _, whole = drawn(moving.source())
    indices, found = drawn(moving.source(shared))
    for index, clip, reference in zip(indices, found, whole):
        assert clip[:10] == reference[:10]
        other, key_frame = clip[10], reference[10]
        assert key_frame.digit == index == clip[0].digit
        assert (other.digit == index) == ("digit" in shared)
        assert (other.image == clip[0].image) == ("background" in shared)
        if "background" in shared:
            assert other.corner == clip[0].corner
        if "position" in shared:
            assert other.place == key_frame.place
    if "position" not in shared:
        equal = [a[10].place == b[10].place for a, b in zip(found, whole)]
        assert np.mean(equal) < 0.2
    if "background" not in shared:
        assert np.mean([clip[10].corner == clip[0].corner for clip in found]) < 0.2


def test_frames_follow_a_way_to_frame_20():
    """Property 21: from the start of a digit to the frame that the other view is made of."""
    source = moving.source()
    keys = ops.fold_key(int(fresh_rng().integers(2**31)), tf.range(50))
    indices = tf.range(50, dtype=tf.int64) % source.num_records
    ways, clips = source.ways(indices, keys), source.load_batch(indices, keys).numpy()
    start = ways.places.numpy()[:, 0].astype(np.float64)
    angle = 2 * np.pi * ops.keyed_uniform(keys, 1, stream=moving_digits._TURN).numpy()[:, 0]
    p, v = start.copy(), 6.4 * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    clear = np.ones(50, bool)
    for frame in range(20):
        shown = frame if frame < 10 else 10
        if frame < 10 or frame == 19:
            np.testing.assert_allclose(ways.places.numpy()[clear, shown], p[clear], atol=1e-3)
        p += v
        # Whoever just reaches a wall, or just does not, may do the other in single precision.
        clear &= np.minimum(np.abs(p), np.abs(p - 36)).min(axis=1) > 1e-4
        v[(p <= 0) | (p >= 36)] *= -1
        p = np.clip(p, 0, 36)
    for clip, places in zip(clips, ways.places.numpy()):
        assert [moving.read(frame).place for frame in clip] == [
            tuple(p) for p in places.astype(int)
        ]


def test_a_background_stays_for_a_whole_clip():
    _, found = drawn(moving.source("digit"))
    for clip in found:
        assert len({(frame.digit, frame.image, frame.corner) for frame in clip[:10]}) == 1
    assert len({clip[0].image for clip in found}) > 4 and len({c[0].corner for c in found}) > 10


def draws_of(source, count):
    keys = ops.fold_key(int(fresh_rng().integers(2**31)), tf.range(count))
    indices = tf.range(count, dtype=tf.int64) % source.num_records
    return source.ways(indices, keys)


def assert_uniform(values, low, high, bins):
    """A test of chi squares that fails once in a million times."""
    counts = np.histogram(values, bins, (low, high))[0]
    assert counts.sum() == np.size(values)
    assert stats.chisquare(counts).pvalue > 1e-6


def test_starts_and_directions_are_uniform():
    """Property 21; so slow that hardly any way meets a wall."""
    ways = draws_of(moving.source(speed=1e-3), 4000)
    step = np.diff(ways.places.numpy()[:, [0, 9]], axis=1)[:, 0]
    assert_uniform(np.arctan2(*step.T), -np.pi, np.pi, 16)
    for axis in (0, 1):
        assert_uniform(ways.places.numpy()[:, 0, axis], 0, 36, 18)
        assert_uniform(ways.corners.numpy()[:, 0, axis], 0, 33, 33)
    assert_uniform(ways.images.numpy()[:, 0], 0, moving.BACKGROUNDS, moving.BACKGROUNDS)


def test_what_is_drawn_anew_is_uniform_over_the_others():
    ways = draws_of(moving.source("position"), 4000)
    other = (ways.digits.numpy()[:, 1] - ways.digits.numpy()[:, 0]) % moving.DIGITS
    assert_uniform(other, 1, moving.DIGITS, moving.DIGITS - 1)
    other = (ways.images.numpy()[:, 1] - ways.images.numpy()[:, 0]) % moving.BACKGROUNDS
    assert_uniform(other, 1, moving.BACKGROUNDS, moving.BACKGROUNDS - 1)
    places = draws_of(moving.source("digit"), 4000).places.numpy()[:, 10]
    assert_uniform(places[:, 0], 0, 36, 18)
    assert_uniform(places[:, 1], 0, 36, 18)


def test_other_digits_are_drawable_ones():
    source = moving.source("background", drawable=[1, 4, 5])
    indices = tf.constant([1, 4, 5] * 40, tf.int64)
    digits = source.ways(indices, ops.fold_key(3, tf.range(120))).digits.numpy()
    assert set(digits[:, 1]) == {1, 4, 5} and (digits[:, 0] != digits[:, 1]).all()


def collect(source, **options):
    dataset = data.training_batches(source, Plain(), batch_size=4, seed=9, epochs=3, **options)
    return [(b["index"].numpy(), b["views"][0].numpy()) for b in dataset]


def test_a_resumed_stream_and_single_workers_draw_the_same():
    source = moving.source("digit")
    whole = collect(source)
    assert len(whole) == 9
    for (index, clips), (wanted, expected) in zip(collect(source, start_step=4), whole[4:]):
        np.testing.assert_array_equal(index, wanted)
        np.testing.assert_array_equal(clips, expected)
    for worker in (0, 1):
        context = tf.distribute.InputContext(2, worker, 2)
        for (index, clips), (wanted, expected) in zip(
            collect(source, input_context=context), whole
        ):
            rows = slice(2 * worker, 2 * worker + 2)
            np.testing.assert_array_equal(index, wanted[rows])
            np.testing.assert_array_equal(clips, expected[rows])


def test_every_epoch_draws_anew():
    seen = {}
    for index, clips in collect(moving.source()):
        for number, clip in zip(index, clips):
            seen.setdefault(int(number), []).append(moving.read(clip[0]))
    assert all(len(shown) == 3 and len(set(shown)) == 3 for shown in seen.values())


@pytest.mark.parametrize("readout", FACTORS)
def test_single_frames_show_what_they_are_labelled_with(readout):
    source = moving.source().read_out(readout)
    batches = list(data.evaluation_batches(source, Plain(), batch_size=5, with_labels=False))
    frames = np.concatenate([b["views"][0].numpy()[b["mask"].numpy()] for b in batches])
    shown = [moving.read(frame) for frame in frames]
    assert [s.digit for s in shown] == list(range(moving.DIGITS))
    if readout == "position":
        assert source.labels is None
        assert [s.place for s in shown] == [tuple(t) for t in source.targets.astype(int)]
    else:
        known = {"digit": [s.digit % 10 for s in shown], "background": [s.image % 4 for s in shown]}
        np.testing.assert_array_equal(source.labels, known[readout])
        assert source.targets is None
    again = source.read_out("position").load_batch(tf.constant([3, 1], tf.int64))
    np.testing.assert_array_equal(again, frames[[3, 1]])
    assert len({s.image for s in shown}) > 2 and len({s.place for s in shown}) > 8


def test_thinned_clips_have_thinned_frames():
    thinned = data.thin(moving.source(), 5)
    for frames in (thinned.still(), thinned.still().read_out("position")):
        np.testing.assert_array_equal(frames.drawable, thinned.drawable)


def test_impossible_factors_and_readouts_are_one_sentence():
    one = {"shared": ["digit"], "digits": moving.digit_pixels(2)}
    with pytest.raises(SettingsError, match="expected background among them.*one background"):
        moving_digits.MovingDigits("m", backgrounds=moving.background_pixels(1), **one)
    nothing = moving.source(background_labels=None)
    with pytest.raises(SettingsError, match="backgrounds with labels. Received: background"):
        nothing.read_out("background")
    with pytest.raises(SettingsError, match="one of digit, position, background. Received: speed"):
        nothing.read_out("speed")
    plain = data.PixelSource("images", np.zeros([2, 8, 8, 3], np.uint8))
    with pytest.raises(SettingsError, match="images have nothing but their label"):
        plain.read_out("position")
    assert plain.still() is plain and plain.targets is None
