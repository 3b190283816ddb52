"""A run on clips: trained, judged by what its frames show, and what does not fit it."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests.data import moving
from tests.random_inputs import seed_weights
from tests.training.short_runs import SHORT, start
from tfssl import config, training, views
from tfssl.evaluation import EvaluationConfig
from tfssl.settings import SettingsError
from tfssl.training.checks import check
from tfssl.training.sweeps.data_check import check_data
from tfssl.training.sweeps.grid import Cell

CLIPS = [
    *(flag for flag in SHORT if not flag.startswith(("--backbone", "--batch_size", "--steps"))),
    "--dataset=moving_mnist:tfds:large",
    "--views=clip_frame",
    "--image_size=64",
    "--backbone=convnet",
    "--width=0.25",
    "--method=clip_contrast",
    "--batch_size=4",
    "--steps=4",
]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return moving.write_data(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def run(data_dir, tmp_path_factory):
    """The finished run, restored as tools/evaluate.py restores it."""
    seed_weights(1)
    experiment, run = start(tmp_path_factory.mktemp("clips"), f"--data_dir={data_dir}", flags=CLIPS)
    training.train(experiment, run)
    return training.restore(config.read_run(run), run)[0], run


def judge(experiment, **settings):
    return training.evaluate(experiment, EvaluationConfig(**settings))


@pytest.mark.slow
def test_what_it_leaves(run):
    experiment, directory = run
    result = json.loads(directory.result.read_text())
    assert {"information", "accuracy", "collapse/feature_std"} <= set(
        result["final"] | experiment_metrics(directory)
    )
    picture = tf.io.decode_png(directory.views.read_bytes()).numpy()
    assert picture.shape == (4 * 66 + 2, 11 * 66 + 2, 3)
    batch = next(iter(experiment.own_batches(0, num_steps=1)))
    pixels = batch["views"][0] * experiment.family.std + experiment.family.mean
    shown = moving.read(np.rint(255 * pixels[0, 3].numpy()).astype(np.uint8))
    in_picture = moving.read(picture[2 : 2 + 64, 2 + 3 * 66 : 2 + 3 * 66 + 64])
    assert shown == in_picture and shown.digit == int(batch["index"][0])


def experiment_metrics(directory):
    rows = map(json.loads, directory.metrics.read_text().splitlines())
    return {name: value for row in rows for name, value in row.items()}


@pytest.mark.slow
def test_classes_of_frames_are_judged(run):
    experiment, _ = run
    found = judge(experiment, k=3, readout="background")["trained"]
    counts = {"num_train": 10, "num_test": 6, "num_classes": 3, "dim": 16}
    assert {name: found[name] for name in counts} == counts
    one, two = (judge(experiment, k=3, readout="background", view=v)["trained"] for v in (1, 2))
    assert two == found and one["dim"] == 16


@pytest.mark.parametrize("readout", ["digit", "background"])
def test_judged_data_are_frames_with_their_labels(run, readout):
    experiment, _ = run
    settings = EvaluationConfig("linear", readout=readout)
    judged = training.on_judged_data(experiment, settings)
    again = training.on_judged_data(judged, settings)
    for split in ("train", "test"):
        labels = getattr(experiment, split).read_out(readout).labels
        np.testing.assert_array_equal(getattr(judged, split).labels, labels)
        np.testing.assert_array_equal(getattr(again, split).labels, labels)
    plain = training.on_judged_data(experiment, EvaluationConfig())
    np.testing.assert_array_equal(plain.test.labels, experiment.test.labels)


@pytest.mark.slow
def test_positions_of_frames_are_judged(run):
    experiment, _ = run
    found = judge(experiment, protocol="linear", readout="position", baselines=True)
    assert set(found) == {"trained", "untrained", "raw pixels", "mean position"}
    train, test = (s.read_out("position").targets for s in (experiment.train, experiment.test))
    errors = test - train.mean(axis=0)
    distance = found["mean position"]["mean_distance"]
    assert distance == pytest.approx(np.hypot(*errors.T).mean(), rel=1e-5)
    assert all(np.isfinite(result["mean_distance"]) for result in found.values())
    few = judge(experiment, protocol="linear", readout="position", max_train_records=4)
    assert few["trained"]["num_train"] == 4


@pytest.mark.slow
def test_a_network_is_trained_on_what_is_read_out(run):
    experiment, _ = run
    settings = {"protocol": "supervised", "supervised_epochs": 3}
    before = experiment.method.get_weights()
    found = judge(experiment, readout="position", max_train_records=9, **settings)["trained"]
    assert (found["steps"], found["num_train"], found["num_test"]) == (6, 9, 6)
    assert 0 < found["mean_distance"] < 40
    found = judge(experiment, readout="digit", **settings)["trained"]
    assert 0 <= found["top1"] <= found["top5"] <= 1
    for one, other in zip(before, experiment.method.get_weights()):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_augmented_classifiers_see_frames(run):
    found = judge(run[0], protocol="linear", augment=True, linear_epochs=2, readout="background")
    assert 0 <= found["trained"]["top1"] <= 1


@pytest.mark.slow
def test_information_of_clips_is_that_of_training(run):
    with pytest.raises(SettingsError, match="views that are images.*Received: clips"):
        judge(run[0], protocol="information", information_steps=10)


def parsed(*flags):
    return config.parse([*CLIPS, "--data_dir=somewhere", *flags])[0]


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--views=simclr"], "--views: expected clip_frame with --dataset=moving_mnist:tfds:large"),
        (["--method=simclr"], "SimCLR: expected views that are images. Received: a clip"),
        (
            ["--method=cmc", "--cmc_share_encoders", "--cmc_loss=in_batch"],
            "CMC: expected views that are images.*Remedy: --method=clip_contrast",
        ),
        (["--dataset=tfds:large"], "--dataset: expected moving_mnist:<backgrounds> with --views="),
        (
            ["--dataset=tfds:large", "--views=simclr"],
            "ClipContrast: expected views that are a clip and a frame. Received: images",
        ),
        (["--accumulation=2"], "--accumulation: expected 1 for method ClipContrast"),
    ],
)
def test_clips_and_images_do_not_mix(flags, words):
    wanted = parsed(*flags)
    with pytest.raises(SettingsError, match=words):
        check(wanted, views.build_from(wanted.views))


def test_another_size_than_that_of_the_clips(data_dir):
    wanted = parsed(f"--data_dir={data_dir}", "--image_size=32")
    with pytest.raises(SettingsError, match="--image_size: expected 64, the side of the clips"):
        training.prepare(wanted)


def test_a_sweep_asks_for_its_readout_before_it_starts(data_dir):
    wanted = parsed(f"--data_dir={data_dir}")
    cells = [Cell("one", ("1",), 0, "", wanted)]
    for readout in ("digit", "position", "background"):
        check_data(cells, EvaluationConfig("linear", readout=readout))
    images = config.parse([*SHORT, "--method=simclr"])[0]
    with pytest.raises(
        SettingsError, match="cell one: readout: expected none.*nothing but their label"
    ):
        check_data([Cell("one", ("1",), 0, "", images)], EvaluationConfig(readout="digit"))
