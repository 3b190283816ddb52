"""Labelled records beside a batch: which they are, and the stream of them."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import views
from tfssl.data import (
    PixelSource,
    labelled,
    thin,
    training_batches,
    with_labelled_batches,
)
from tfssl.settings import SettingsError

N, SEED = 60, 7


def source_of(labels, drawable=None):
    pixels = fresh_rng().integers(0, 256, (N, 8, 8, 3), dtype=np.uint8)
    return PixelSource("held", pixels, labels=labels, drawable=drawable)


@pytest.fixture
def partly():
    """Every second record is labelled, 20 with 0, 7 with 1 and 3 with 2; some are bad."""
    labels = np.full(N, -1)
    labels[::2] = fresh_rng().permutation([0] * 20 + [1] * 7 + [2] * 3)
    return source_of(labels, np.setdiff1d(np.arange(N), [11]))


def test_labels_of_some_records_judge_nothing(partly):
    assert partly.labels is None and not partly.may_have_labels
    assert (partly.known_labels >= 0).sum() == 30
    whole = source_of(np.arange(N) % 3)
    np.testing.assert_array_equal(whole.labels, whole.known_labels)
    assert whole.may_have_labels
    none = source_of(np.full(N, -1))
    assert none.labels is None and none.known_labels is None and not none.may_have_labels
    # Of a record that cannot be read nobody asks for the label.
    labels = np.arange(N) % 3
    labels[11] = -1
    assert source_of(labels, np.setdiff1d(np.arange(N), [11])).labels is not None


def test_all_labelled_records(partly):
    found = labelled(partly, None, seed=SEED)
    np.testing.assert_array_equal(found.drawable, np.flatnonzero(partly.known_labels >= 0))
    assert found.labels is not None and found.num_records == N
    assert len(partly.drawable) == N - 1


@pytest.mark.parametrize(
    "limit, counts", [(3, [1, 1, 1]), (9, [3, 3, 3]), (14, None), (30, [20, 7, 3])]
)
def test_some_of_them_are_of_all_classes(partly, limit, counts):
    found = labelled(partly, limit, seed=SEED)
    assert len(found.drawable) == limit and (np.diff(found.drawable) > 0).all()
    sizes = np.bincount(found.labels[found.drawable], minlength=3).tolist()
    # Of the last class there are three; the others have one more or one less.
    assert sizes == counts if counts else sizes[2] == 3 and sorted(sizes) == [3, 5, 6]


def test_the_seed_chooses_them():
    source = source_of(np.arange(N) % 3)
    one, again, other = (labelled(source, 12, seed=s).drawable for s in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    # A larger set holds the smaller one, as studies of their number want it.
    assert set(one) < set(labelled(source, 20, seed=1).drawable)


def test_too_few_are_refused(partly):
    with pytest.raises(SettingsError, match="expected training records with a label.*: none"):
        labelled(source_of(None), None, seed=SEED)
    with pytest.raises(SettingsError, match="expected at most 30.*Received: 31"):
        labelled(partly, 31, seed=SEED)


@pytest.fixture(scope="module")
def family():
    return views.build("crop", image_size=8, xla=False)


def stream(source, family, *, rows=4, start=0, steps=12, context=None, parts=1):
    common = {"seed": SEED, "start_step": start, "micro_batches": parts, "input_context": context}
    batches = training_batches(source, family, batch_size=8, epochs=3, num_steps=steps, **common)
    own = labelled(source, None, seed=SEED)
    return with_labelled_batches(batches, own, family, batch_size=rows, **common)


def collect(dataset):
    return [tf.nest.map_structure(np.asarray, batch) for batch in dataset]


def assert_same(left, right):
    assert len(left) == len(right) > 0
    for one, other in zip(left, right):
        tf.nest.map_structure(np.testing.assert_array_equal, one, other)


def test_rows_are_labelled_records_in_views_of_their_own(partly, family):
    found = collect(stream(partly, family))
    alone = collect(training_batches(partly, family, batch_size=8, seed=SEED, epochs=3))
    assert_same([{k: v for k, v in b.items() if k != "labelled"} for b in found], alone[:12])
    assert all("label" not in batch for batch in found)
    labels = [batch["labelled"]["label"] for batch in found]
    # Seven batches of four are an epoch of the 30 records: of each one or none is left out.
    counts = np.bincount(np.concatenate(labels[:7]), minlength=3)
    assert (np.array([20, 7, 3]) - counts).min() >= 0 and counts.sum() == 28
    assert all(b["labelled"]["views"][0].shape == (4, 8, 8, 3) for b in found)
    rows = np.concatenate([b["labelled"]["views"][0] for b in found[:7]])
    assert len(np.unique(rows.reshape(len(rows), -1), axis=0)) == len(rows)


def test_the_label_is_that_of_the_image(family):
    """Images whose brightness is their label."""
    labels = np.arange(N) % 3
    pixels = np.broadcast_to((labels * 80)[:, None, None, None], (N, 8, 8, 3)).astype(np.uint8)
    source = PixelSource("held", pixels, labels=np.where(np.arange(N) < 40, labels, -1))
    plain = views.build("eval", image_size=8, xla=False)
    for batch in stream(source, plain, steps=4):
        shades = {
            int(label): float(tf.reduce_mean(view))
            for label, view in zip(batch["labelled"]["label"], batch["labelled"]["views"][0])
        }
        assert sorted(shades) == sorted(shades, key=shades.get)


@pytest.mark.parametrize("start", [1, 5, 9])
def test_it_starts_at_any_step(partly, family, start):
    whole = collect(stream(partly, family))
    assert_same(collect(stream(partly, family, start=start, steps=12 - start)), whole[start:])


@pytest.mark.parametrize("parts", [1, 2])
def test_replicas_and_parts_divide_the_rows(partly, family, parts):
    whole = collect(stream(partly, family, parts=1))
    contexts = [tf.distribute.InputContext(2, i, 2) for i in range(2)]
    pieces = [collect(stream(partly, family, context=c, parts=parts)) for c in contexts]
    for step, batch in enumerate(whole):
        own = [p[step * parts + part] for part in range(parts) for p in pieces]
        joined = tf.nest.map_structure(lambda *rows: np.concatenate(rows), *own)
        tf.nest.map_structure(np.testing.assert_array_equal, joined, batch)


def test_rows_that_cannot_be_had_are_refused(partly, family):
    few = thin(labelled(partly, None, seed=SEED), 5)
    for options, received in (({"rows": 31}, 31), ({"rows": 3, "parts": 2}, 3)):
        with pytest.raises(SettingsError, match=f"labelled_batch_size.*Received: {received}"):
            stream(partly, family, **options)
    with pytest.raises(SettingsError, match="at most the number of labelled records, 5"):
        with_labelled_batches(tf.data.Dataset.range(3), few, family, batch_size=6, seed=SEED)
