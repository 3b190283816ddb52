"""The stream of batches: a pure function of (seed, step), whoever reads it."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import views
from tfssl.data import (
    DataConfig,
    PixelSource,
    Source,
    distribute,
    epoch_order,
    evaluation_batches,
    open_source,
    steps_per_epoch,
    training_batches,
)
from tfssl.ops.keyed_random import fold_key
from tfssl.settings import SettingsError

N = 23


@pytest.fixture
def pixels():
    return fresh_rng().integers(0, 256, (N, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(params=["pixels", "files"])
def source(request, pixels):
    """The same kind of stream from memory in batches, and record by record; two are bad."""
    drawable = np.setdiff1d(np.arange(N), [4, 11])
    labels = np.arange(N) % 5
    held = PixelSource("held", pixels, drawable=drawable, labels=labels)
    if request.param == "pixels":
        return held
    files = Source("files", N, drawable=drawable, labels=labels)
    encoded = tf.stack([tf.io.encode_png(image) for image in pixels])
    files.load = lambda index: tf.gather(encoded, index)
    return files


def collect(dataset):
    return [tf.nest.map_structure(np.asarray, batch) for batch in dataset]


def assert_same(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right):
        tf.nest.map_structure(np.testing.assert_array_equal, a, b)


def joined(batches):
    return tf.nest.map_structure(lambda *parts: np.concatenate(parts), *batches)


def test_an_epoch_draws_every_good_record_once(source, family):
    batches = collect(training_batches(source, family, batch_size=7, seed=1, epochs=4))
    assert steps_per_epoch(source, 7) == 3 and len(batches) == 12
    epochs = [np.concatenate([b["index"] for b in batches[e : e + 3]]) for e in (0, 3, 6, 9)]
    for order in epochs:
        assert sorted(order) == list(source.drawable)
    assert len({tuple(order) for order in epochs}) == 4


def test_an_incomplete_batch_is_dropped(source, family):
    batches = collect(training_batches(source, family, batch_size=8, seed=1, epochs=2))
    assert len(batches) == 4
    for epoch in (batches[:2], batches[2:]):
        assert len(set(joined(epoch)["index"])) == 16


def test_rows_are_records_with_their_label_and_key(source, family, pixels):
    data = training_batches(source, family, batch_size=6, seed=-9, epochs=2, with_labels=True)
    for step, batch in enumerate(collect(data)):
        assert batch["views"][0].dtype == np.float32 and batch["index"].dtype == np.int64
        np.testing.assert_allclose(batch["views"][0], pixels[batch["index"]] / 255.0, atol=1e-6)
        np.testing.assert_array_equal(batch["label"], batch["index"] % 5)
        keys = fold_key(-9, step // 3, tf.constant(batch["index"])).numpy()
        shift = (batch["views"][1] - batch["views"][0])[:, 0, 0, 0]
        np.testing.assert_allclose(shift, np.mod(keys, 1009), atol=1e-3)


def test_a_given_order_is_one_epoch(source, family, pixels):
    """Any part of it, cut by replicas as ever, and every visit of a record is another view."""
    order = fresh_rng().choice(source.drawable[:6], 21)
    settings = {"batch_size": 6, "seed": 3, "epochs": 9, "order": order, "start_step": 3}
    full = collect(training_batches(source, family, **settings))
    np.testing.assert_array_equal(joined(full)["index"], order[:18])
    places = tf.range(18, dtype=tf.int64)
    keys = fold_key(fold_key(3, 1, tf.constant(order[:18])), places).numpy()
    views = joined(full)["views"]
    np.testing.assert_allclose(views[0], pixels[order[:18]] / 255.0, atol=1e-6)
    np.testing.assert_allclose((views[1] - views[0])[:, 0, 0, 0], np.mod(keys, 1009), atol=1e-3)
    tail = collect(training_batches(source, family, **{**settings, "start_step": 4}))
    assert_same(tail, full[1:])
    halves = [
        training_batches(
            source, family, input_context=tf.distribute.InputContext(2, number, 2), **settings
        )
        for number in range(2)
    ]
    assert_same([joined(pair) for pair in zip(*map(collect, halves))], full)


def test_an_order_that_cannot_be_read_is_refused(source, family):
    settings = {"batch_size": 7, "seed": 3, "epochs": 1}
    for order in (np.full(21, 4), source.drawable[:20], np.full(21, N)):
        with pytest.raises(ValueError, match="at least 21 records that can be read. Received: "):
            training_batches(source, family, order=order, **settings)


def test_shapes_are_static(source, family):
    data = training_batches(source, family, batch_size=6, seed=1, epochs=1, with_labels=True)
    spec = data.element_spec
    assert [view.shape.as_list() for view in spec["views"]] == [[6, 8, 8, 3]] * 2
    assert spec["index"].shape == spec["label"].shape == (6,)
    assert set(spec) == {"views", "index", "label"}
    data = evaluation_batches(source, family, batch_size=6, with_labels=False)
    assert set(data.element_spec) == {"views", "index", "mask"}
    assert data.element_spec["views"][1].shape == (6, 8, 8, 3)


@pytest.mark.slow
def test_patches_of_a_family_with_a_jigsaw(source, pixels):
    """They are in the batch, of the record's own image and key; without a jigsaw there are none."""
    options = {"image_size": 8, "xla": False}
    family = views.build("cifar", jigsaw=True, jigsaw_patch=6, **options)
    data = training_batches(source, family, batch_size=6, seed=3, epochs=2)
    assert data.element_spec["patches"].shape == (6, 9, 6, 6, 3)
    assert len(data.element_spec["views"]) == 2
    for step, batch in enumerate(collect(data)[2:4], 2):
        keys = fold_key(3, step // 3, tf.constant(batch["index"]))
        expected = family(pixels[batch["index"]], keys)
        np.testing.assert_allclose(batch["patches"], expected[-1], atol=1e-4)
        np.testing.assert_allclose(batch["views"][1], expected[1], atol=1e-4)
    plain = views.build("cifar", **options)
    data = training_batches(source, plain, batch_size=6, seed=3, epochs=2)
    assert set(data.element_spec) == {"views", "index"}


@pytest.mark.parametrize("start", [1, 4, 11, 40])
def test_a_resumed_stream_is_the_tail_of_the_full_one(source, family, start):
    settings = {"batch_size": 5, "seed": 3, "epochs": 3, "with_labels": True}
    full = collect(training_batches(source, family, **settings))
    assert len(full) == 12
    tail = training_batches(source, family, start_step=start, **settings)
    assert tail.cardinality() == max(12 - start, 0)
    assert_same(collect(tail), full[start:])
    part = training_batches(source, family, start_step=start, num_steps=2, **settings)
    assert part.cardinality() == min(max(12 - start, 0), 2)
    assert_same(collect(part), full[start : start + 2])


def test_seed_and_epoch_change_order_and_views(source, family):
    one, two = (
        joined(collect(training_batches(source, family, batch_size=7, seed=seed, epochs=1)))
        for seed in (1, 2)
    )
    assert list(one["index"]) != list(two["index"])
    shifts = [
        dict(zip(b["index"], (b["views"][1] - b["views"][0])[:, 0, 0, 0])) for b in (one, two)
    ]
    same = [abs(shifts[0][i] - shifts[1][i]) < 0.5 for i in source.drawable]
    assert np.mean(same) < 0.2


@pytest.mark.parametrize("pipelines, replicas, micro_batches", [(1, 2, 2), (2, 2, 1), (2, 4, 2)])
def test_workers_and_replicas_share_the_single_batch(
    source, family, pipelines, replicas, micro_batches
):
    settings = {"batch_size": 8, "seed": 5, "epochs": 2, "start_step": 1, "with_labels": True}
    single = collect(training_batches(source, family, **settings))
    streams = [
        collect(
            training_batches(
                source,
                family,
                micro_batches=micro_batches,
                input_context=tf.distribute.InputContext(pipelines, number, replicas),
                **settings,
            )
        )
        for number in range(pipelines)
    ]
    local = replicas // pipelines
    for step, batch in enumerate(single):
        pieces = []
        for micro in range(micro_batches):
            first = (step * micro_batches + micro) * local
            pieces += [part for stream in streams for part in stream[first : first + local]]
        assert_same([joined(pieces)], [batch])
    assert all(len(stream) == len(single) * micro_batches * local for stream in streams)


def test_replicas_of_a_strategy_get_their_halves(source, family, two_replicas):
    settings = {"batch_size": 8, "seed": 5, "epochs": 2, "with_labels": True}
    single = collect(training_batches(source, family, **settings))
    shared = distribute(
        two_replicas,
        lambda context: training_batches(source, family, input_context=context, **settings),
    )
    found = []
    for batch in shared:
        halves = [
            tf.nest.map_structure(
                lambda x, r=r: two_replicas.experimental_local_results(x)[r].numpy(), batch
            )
            for r in range(2)
        ]
        found.append(joined(halves))
    assert_same(found, single)


def test_fit_takes_the_distributed_stream(source, family, two_replicas):
    """Keras sees as many steps as were promised, and each replica its own rows."""
    seen = []

    class Mean(tf.keras.Model):
        def train_step(self, batch):
            context = tf.distribute.get_replica_context()
            index = context.all_gather(tf.identity(batch["index"]), axis=0)
            tf.py_function(lambda i: seen.append(tuple(i.numpy())), [index], [])
            return {}

    settings = {"batch_size": 8, "seed": 5, "epochs": 1}
    with two_replicas.scope():
        model = Mean()
        model.compile(run_eagerly=False)
    data = distribute(
        two_replicas,
        lambda context: training_batches(source, family, input_context=context, **settings),
    )
    model.fit(data, epochs=1, steps_per_epoch=2, verbose=0)
    single = collect(training_batches(source, family, **settings))
    assert sorted(set(seen)) == sorted(tuple(batch["index"]) for batch in single)


@pytest.mark.parametrize("batch_size", [1, 6, 21, 50])
def test_evaluation_sees_every_record_once_in_order(source, family, batch_size):
    batches = collect(evaluation_batches(source, family, batch_size=batch_size))
    assert all(len(batch["index"]) == batch_size for batch in batches)
    whole = joined(batches)
    assert whole["mask"].sum() == 21 and len(whole["mask"]) - 21 < batch_size
    np.testing.assert_array_equal(whole["index"][whole["mask"]], source.drawable)
    np.testing.assert_array_equal(whole["label"], whole["index"] % 5)
    assert whole["mask"][:21].all()


def test_evaluation_is_shared_by_replicas(source, family):
    single = collect(evaluation_batches(source, family, batch_size=8))
    context = tf.distribute.InputContext(1, 0, 2)
    halves = collect(evaluation_batches(source, family, batch_size=8, input_context=context))
    assert_same([joined(halves[i : i + 2]) for i in range(0, len(halves), 2)], single)


def test_epoch_order_is_a_fair_permutation():
    """Every place is equally likely, and neighbouring epochs and seeds are not alike."""
    source = Source("many", 5000)
    orders = {
        (seed, epoch): epoch_order(source, seed=seed, epoch=tf.constant(epoch, tf.int64)).numpy()
        for seed in (7, 8)
        for epoch in (0, 1)
    }
    for order in orders.values():
        assert sorted(order) == list(range(5000))
        assert abs(np.corrcoef(order, np.arange(5000))[0, 1]) < 0.08
        assert abs(np.corrcoef(order[1:], order[:-1])[0, 1]) < 0.08
    correlations = np.corrcoef(list(orders.values())) - np.eye(4)
    assert np.abs(correlations).max() < 0.08
    few = Source("few", 6)
    counts = np.zeros((6, 6))
    for order in tf.data.Dataset.range(600).map(lambda e: epoch_order(few, seed=1, epoch=e)):
        counts[np.arange(6), order] += 1
    assert ((counts - 100) ** 2 / 100).sum() < 60  # chi-square, 25 degrees of freedom: p < 1e-4.


def test_what_cannot_be_cut_is_refused(source, family):
    def make(**settings):
        training_batches(source, family, **{"seed": 1, "epochs": 1, "batch_size": 8, **settings})

    with pytest.raises(SettingsError, match="1 to 21.*batch_size=22"):
        make(batch_size=22)
    with pytest.raises(SettingsError, match="batch_size=8, micro_batches=3"):
        make(micro_batches=3)
    with pytest.raises(SettingsError, match="replicas=3"):
        make(input_context=tf.distribute.InputContext(1, 0, 3))
    with pytest.raises(ValueError, match="start_step=-1"):
        make(start_step=-1)
    with pytest.raises(ValueError, match="num_steps=0"):
        make(num_steps=0)
    source._labels = None
    with pytest.raises(ValueError, match="has none"):
        make(with_labels=True)


def test_a_folder_streams_end_to_end(image_folder, family):
    source = open_source(DataConfig(dataset=f"folder:{image_folder}"), "train")
    settings = {"batch_size": 4, "seed": 2, "epochs": 2, "with_labels": True}
    full = collect(training_batches(source, family, **settings))
    assert len(full) == 4
    for batch in full:
        np.testing.assert_array_equal(batch["label"], source.labels[batch["index"]])
    assert_same(collect(training_batches(source, family, start_step=3, **settings)), full[3:])


def test_labels_are_read_when_asked_for(pixels):
    calls = []
    source = PixelSource("lazy", pixels, labels=lambda: calls.append(1) or np.arange(N))
    assert not calls
    assert list(source.labels) == list(source.labels) == list(range(N))
    assert len(calls) == 1
    with pytest.raises(ValueError, match="one label a record"):
        _ = PixelSource("short", pixels, labels=np.arange(N - 1)).labels
