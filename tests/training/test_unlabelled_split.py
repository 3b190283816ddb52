"""STL-10's mixture of splits: trained on all of it, judged on what has labels."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import flags

from tests.data.prepared import write_prepared
from tests.random_inputs import fresh_rng
from tfssl import config, data, training, views
from tfssl.evaluation import EvaluationConfig
from tfssl.settings import SettingsError

ROOT = pathlib.Path(__file__).parents[2]
SIZES = {"unlabelled": 13, "train": 11, "test": 6}
SIDE = 48
SMALL = [
    # Crops of 40 of the 48 pixels: 4 x 4 patches.
    "--image_size=40",
    "--width=0.03125",
    "--batch_size=8",
    "--noviews_xla",
]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A dataset named stl10: the labels of its unlabelled split are -1."""
    root = tmp_path_factory.mktemp("prepared")
    names = [f"class {number}" for number in range(3)]
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(SIDE, SIDE, 3)),
            "label": tfds.features.ClassLabel(names=names),
        }
    )

    def example(split, number):
        label = -1 if split == "unlabelled" else number % 3
        rng = np.random.default_rng([len(split), number])
        return {"image": rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8), "label": label}

    write_prepared(root, "stl10", features, SIZES, example)
    return root


@pytest.fixture(scope="module")
def experiment(data_dir):
    """The parts of configs/stl10/cmc_crops.cfg on these images, before the first step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        arguments = ["--flagfile=configs/stl10/cmc_crops.cfg", f"--data_dir={data_dir}"]
        return training.prepare(config.parse([*arguments, *SMALL])[0])


def judge(experiment, monkeypatch, name, *more):
    """The result of a config of configs/evaluation, with fewer epochs."""
    monkeypatch.chdir(ROOT)
    known = flags.FlagValues()
    config.define_settings(EvaluationConfig, known)
    path = f"configs/evaluation/{name}.cfg"
    arguments = config.expand([f"--flagfile={path}", "--mlp_epochs=2", "--mlp_milestones=1", *more])
    known(["evaluate", *arguments])
    settings = config.settings_from_flags(EvaluationConfig, known)
    return training.evaluate(experiment, settings)["trained"]


def test_training_visits_all_images(experiment):
    assert experiment.train.num_records == SIZES["unlabelled"] + SIZES["train"]
    assert len(experiment.train.drawable) == 24 and experiment.train.labels is None
    assert experiment.plan.steps_per_epoch == 3
    batches = list(experiment.own_batches(0, num_steps=3))
    seen = np.concatenate([batch["index"] for batch in batches])
    assert sorted(seen) == list(range(24))
    shapes = [tuple(view.shape) for view in batches[0]["views"]]
    assert shapes == [(8, 40, 40, 1), (8, 40, 40, 2)]


@pytest.mark.parametrize(
    "name, hidden, layer, dim",
    [
        ("stl10_linear", 0, "fold", 4 * 4 * 12),
        ("stl10_mlp", 200, "global", 2 * 2 * 12),
    ],
)
def test_judged_on_labelled_images_only(experiment, monkeypatch, name, hidden, layer, dim):
    """Section 7, STL-10: both classifiers on every place of a map, two views side by side."""
    found = judge(experiment, monkeypatch, name, f"--layer={layer}")
    assert (found["num_train"], found["num_test"], found["num_classes"]) == (11, 6, 3)
    assert (found["dim"], found["hidden_dim"]) == (dim, hidden)
    assert 0 <= found["top1"] <= 1


@pytest.mark.parametrize("more, name", [(False, "linear"), (True, "linear_rand_augment")])
def test_views_of_a_linear_classifier(experiment, monkeypatch, more, name):
    built, build = [], views.build_from
    monkeypatch.setattr(
        views,
        "build_from",
        lambda *args, **options: built.append(options) or build(*args, **options),
    )
    settings = EvaluationConfig(
        protocol="linear",
        augment=True,
        augment_min_area=0.2,
        augment_rand_augment=more,
        linear_epochs=1,
        labelled_split="train",
    )
    found = training.evaluate(experiment, settings)["trained"]
    assert found["num_test"] == SIZES["test"] and 0 <= found["top1"] <= 1
    assert {"family": name, "crop_min_area": 0.2} in built


def test_the_mixture_itself_has_no_labels(experiment, monkeypatch):
    with pytest.raises(SettingsError, match="a training split with labels.*without labels"):
        judge(experiment, monkeypatch, "stl10_linear", "--labelled_split=unlabelled+train")


def test_labels_of_the_labelled_split_are_those_of_its_images(experiment, data_dir):
    config_of_data = data.DataConfig("tfds:stl10", data_dir=str(data_dir))
    alone = data.open_source(config_of_data, "train")
    np.testing.assert_array_equal(alone.labels, np.arange(11) % 3)
    # The same images as the last of the mixture, in the same order.
    number = int(fresh_rng().integers(11))
    mixed = experiment.train.load(tf.constant(SIZES["unlabelled"] + number, tf.int64))
    np.testing.assert_array_equal(mixed, alone.load(tf.constant(number, tf.int64)))
