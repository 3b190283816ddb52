"""A run in one process: what it leaves behind, how it stops, how it goes on."""

import copy
import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from tests.training.short_runs import QUICK, TINY, start
from tfssl import config, methods, training
from tfssl.evaluation import EvaluationConfig
from tfssl.settings import SettingsError
from tfssl.training import probes
from tfssl.training.reports import TensorBoardLog, read_rows


def test_a_run_leaves_what_it_promises(tmp_path):
    flags = ["--final_export", "--final_knn", "--knn_records=5", "--views_xla"]
    experiment, run = start(tmp_path, *flags)
    result = training.train(experiment, run)

    rows = read_rows(run.metrics)
    assert [row["step"] for row in rows if "loss" in row] == [2, 4, 6]
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    assert rows[0]["chance"] == pytest.approx(np.log(16))
    assert any("collapse/effective_rank" in row for row in rows)
    assert json.loads(run.result.read_text()) == result
    assert set(result["knn"]) == {"trained", "untrained", "raw pixels"}
    assert result["knn"]["trained"]["k"] == 5  # There are no more neighbours.
    assert result["final"] == [row for row in rows if "loss" in row][-1]
    assert result["best"]["loss"]["value"] <= result["final"]["loss"]
    assert run.views.stat().st_size > 1000
    assert "loss" in training.summary(result)

    reloaded = tf.keras.models.load_model(run.backbone)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    assert np.isfinite(reloaded.signatures["uint8"](tf.constant(images))["features"]).all()


@pytest.mark.slow
def test_patches_reach_the_method_and_the_picture_of_the_views(tmp_path):
    flags = [flag for flag in TINY if not flag.startswith("--mira")]
    flags += ["--method=pirl", "--pirl_num_negatives=8", "--jigsaw", "--jigsaw_patch=10"]
    wanted = config.parse([*flags, "--num_views=1"])[0]
    run = training.RunDirectory(tmp_path / "run")
    run.claim(config.to_flagfile(wanted))
    experiment = training.prepare(wanted)
    assert training.describe(experiment)["views"] == "32 and patches of 10"
    result = training.train(experiment, run)
    assert np.isfinite([result["final"][name] for name in ("loss", "image", "jigsaw")]).all()
    # A view of 32, and three patches of 10; gaps of 2 around and between all of them.
    assert tf.io.decode_png(run.views.read_bytes()).shape == (8 * 36 + 2, 34 + 36 + 2, 3)


def test_tensorboard_reads_the_events(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    experiment, run = start(tmp_path, "--online_knn=1")
    training.train(experiment, run)
    events = EventAccumulator(str(run.events), size_guidance={"tensors": 0})
    events.Reload()
    tags = set(events.Tags()["tensors"])
    assert {"train/loss", "train/lr", "train/chance", "views", "speed/images_per_second"} <= tags
    assert {"collapse/feature_std", "collapse/effective_rank", "eval/knn_top1"} <= tags
    assert [event.step for event in events.Tensors("train/loss")] == [2, 4, 6]


def test_tensorboard_forgets_the_steps_that_are_done_again(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for first, value in ((0, 1.0), (2, 2.0), (4, 3.0)):
        board = TensorBoardLog(tmp_path, first)
        for step in range(first + 2, 10, 2):
            board.write(step, {"loss": value})
        # What a kill in the middle of a write leaves.
        newest = max(tmp_path.glob("events*"), key=lambda path: path.name)
        newest.write_bytes(newest.read_bytes() + (50).to_bytes(8, "little") + b"cut")
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    events.Reload()
    shown = events.Tensors("train/loss")
    assert [event.step for event in shown] == [2, 4, 6, 8]
    assert [float(tf.make_ndarray(event.tensor_proto)) for event in shown] == [1, 2, 3, 3]


def test_a_collapsed_encoder_is_told_once(tmp_path, caplog):
    experiment, _ = start(tmp_path)
    gauge = probes.CollapseGauge(experiment)
    assert gauge(1)["collapse/feature_std"] > 0
    assert "collapsed" not in caplog.text
    for variable in experiment.method.evaluated_encoder.trainable_variables:
        variable.assign(tf.zeros_like(variable))
    for epoch in (2, 3):
        assert gauge(epoch)["collapse/feature_std"] == 0
    assert caplog.text.count("collapsed") == 1


def test_other_data_than_the_run_was_started_with_are_refused(tmp_path):
    experiment, run = start(tmp_path)
    run.claim_data(experiment.train.fingerprint())
    experiment.train.drawable = experiment.train.drawable[1:]
    with pytest.raises(SettingsError, match="8192 of 8192 readable.*8191 of 8192"):
        training.train(experiment, run)


def test_a_run_of_other_flags_is_refused(tmp_path):
    start(tmp_path)
    with pytest.raises(SettingsError, match="--lr: 0.1 -> 0.2"):
        start(tmp_path, "--lr=0.2")


def test_accumulation_is_refused_where_the_loss_needs_the_whole_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(methods.get("mira"), "splits_batch", "its loss sees in-batch negatives")
    with pytest.raises(SettingsError, match="its loss sees in-batch negatives"):
        start(tmp_path, "--accumulation=2")


@pytest.mark.slow
def test_accumulation_trains(tmp_path):
    experiment, run = start(tmp_path, "--accumulation=2", flags=QUICK)
    result = training.train(experiment, run)
    assert int(experiment.method.global_step) == 6
    assert np.isfinite(result["final"]["loss"])


@pytest.mark.slow
def test_a_run_is_read_on_one_device_wherever_it_was_trained(tmp_path, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    experiment, run = start(tmp_path, flags=QUICK)
    training.train(experiment, run)
    wanted = config.read_run(run)
    elsewhere = dataclasses.replace(wanted.training, strategy="multiworker", xla_step=True)
    read, step = training.restore(dataclasses.replace(wanted, training=elsewhere), run)
    assert step == 6 and read.strategy.num_replicas_in_sync == 1
    assert not read.method.jit_compile
    for mine, theirs in zip(read.method.get_weights(), experiment.method.get_weights()):
        np.testing.assert_array_equal(mine, theirs)


def test_what_a_result_file_says(tmp_path):
    experiment, _ = start(tmp_path)
    facts = json.loads(json.dumps(training.circumstances(experiment, EvaluationConfig())))
    assert facts["view"]["size"] == 32 and facts["settings"]["evaluate"] == "teacher"
    assert facts["train"] == "digits/train" and facts["test"] == "digits/test"


def test_one_program_for_several_replicas_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="--xla_step: expected one replica.*2 replicas"):
        start(tmp_path, "--strategy=mirrored", "--xla_step")


@pytest.mark.parametrize("name", ["lamb", "novograd"])
def test_addons_train_a_step_or_say_what_is_missing(tmp_path, name):
    other = [flag for flag in TINY if not flag.startswith("--optimizer")]
    wanted = config.parse([*other, f"--optimizer={name}", "--steps=2"])[0]
    if tf.__version__ >= "2.16":
        with pytest.raises(ImportError, match="expects tensorflow-addons.*Remedy"):
            training.prepare(wanted)
        return
    run = training.RunDirectory(tmp_path / "run")
    run.claim(config.to_flagfile(wanted))
    experiment = training.prepare(wanted)
    before = [v.numpy() for v in experiment.method.trainable_variables]
    training.train(experiment, run)
    after = [v.numpy() for v in experiment.method.trainable_variables]
    assert all(np.isfinite(w).all() for w in after)
    assert any((w != b).any() for w, b in zip(after, before))


@pytest.mark.slow
def test_frozen_head_moves_only_after_its_epochs(tmp_path):
    flags = ["--mira_freeze_head_epochs=1", "--batch_size=400", "--steps=3"]
    classes = tmp_path / "classes.txt"
    classes.write_text("7\n")
    experiment, _ = start(tmp_path, *flags, f"--class_list={classes}")
    method = experiment.method
    assert experiment.plan.steps_per_epoch == 2
    head = [method.prototypes.trainable_variables[0].numpy()]
    iterator = iter(experiment.batches(0))
    method.run_eagerly = True  # Three steps are faster than two graphs.
    advance = method.make_train_function()
    for _ in range(3):
        advance(iterator)
        head.append(method.prototypes.trainable_variables[0].numpy())
    np.testing.assert_array_equal(head[0], head[2])
    assert np.abs(head[3] - head[2]).max() > 0


def test_embeddings_of_all_records_are_in_their_order(tmp_path):
    """An unreadable record has the row of the next readable one."""
    experiment, _ = start(tmp_path)
    source = copy.copy(experiment.train)
    source.drawable = np.delete(source.drawable, [0, 3])
    experiment = dataclasses.replace(experiment, train=source)
    encoder = experiment.method.evaluated_encoder
    rows = probes.record_embeddings(experiment)(encoder).numpy()
    images = source.load_batch(tf.constant([1, 1, 2, 4, 4, 5], tf.int64))
    family = probes.views.build_from(experiment.config.views, family="eval")
    expected = encoder(family(images, tf.zeros([6], tf.int64))[0], training=False)
    assert len(rows) == experiment.plan.num_records
    np.testing.assert_allclose(rows[:6], expected, atol=1e-5)


def test_purity_is_the_share_of_the_commonest_label(tmp_path):
    experiment, _ = start(tmp_path)
    labels = np.asarray(experiment.train.labels)
    clusters = np.arange(len(labels)) % 7
    expected = sum(np.bincount(labels[clusters == c]).max() for c in range(7)) / len(labels)

    class Clustered:
        pseudo_labels = tf.constant(clusters)

    probe = probes.ClusterPurity(dataclasses.replace(experiment, method=Clustered()))
    assert probe(1) == {"clusters/purity": pytest.approx(expected)}
    Clustered.pseudo_labels = tf.constant(labels)
    assert probe(1) == {"clusters/purity": 1.0}
