"""Runs on DIV2K's patches and on TinyImageNet: trained by their configs, and judged."""

import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.data import tiny
from tests.data.conftest import smooth_image
from tests.data.prepared import write_prepared
from tests.test_paper_numbers_cmc import evaluation_of
from tfssl import config, training

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parents[2]
SMALL = [
    "--width=0.03125",
    "--batch_size=4",
    "--steps=4",
    "--log_every=2",
    "--cmc_num_negatives=8",
    "--cmc_projection_dim=8",
    "--gauge_records=8",
    "--nofinal_export",
    "--noviews_xla",
]
IMAGES = {"train": 9, "validation": 3}
HR = (200, 210)  # Width and height.
CLASSES = len(tiny.WNIDS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A small div2k: large images beside others, and no labels."""
    root = tmp_path_factory.mktemp("prepared")
    images = {key: tfds.features.Image() for key in ("hr", "lr")}

    def example(split, number):
        seed = [number, split == "train"]
        sizes = {"hr": HR, "lr": (20, 21)}
        return {key: np.asarray(smooth_image(seed, size)) for key, size in sizes.items()}

    features = tfds.features.FeaturesDict(images)
    write_prepared(root, "div2k", features, IMAGES, example, config="bicubic_x2")
    return root


def run_of(tmp_path, name, *more):
    """A finished run of a config, on small widths."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        wanted = config.parse([f"--flagfile=configs/{name}.cfg", *SMALL, *more])[0]
    run = training.RunDirectory(tmp_path / "run")
    run.claim(config.to_flagfile(wanted))
    experiment = training.prepare(wanted)
    return experiment, training.train(experiment, run)


def judge(experiment, monkeypatch, **changes):
    """The result of TinyImageNet's linear classifier, with fewer epochs."""
    monkeypatch.chdir(ROOT)
    fewer = {"mlp_epochs": 2, "mlp_milestones": "1", "layer": "fc7"}
    settings = dataclasses.replace(evaluation_of("tiny_imagenet_linear"), **fewer, **changes)
    return training.evaluate(experiment, settings)["trained"]


def test_patches_of_div2k(data_dir, folder, tmp_path, monkeypatch):
    """Trained without labels on large images, judged on others."""
    experiment, result = run_of(tmp_path, "div2k/cmc_patches", f"--data_dir={data_dir}")
    assert (experiment.train.num_records, experiment.test) == (IMAGES["train"], None)
    assert result["knn"] == {} and np.isfinite(result["final"]["information/1-2"])
    assert experiment.train.name == "tfds:div2k@hr/train"
    # Pixels as they are, 128 apart: none was enlarged to fit.
    (batch,) = experiment.own_batches(0, num_steps=1)
    pixels = batch["views"][1][0] * experiment.family.std + experiment.family.mean
    shown = np.rint(255 * pixels.numpy()).astype(np.uint8)
    image = np.asarray(smooth_image([int(batch["index"][0]), True], HR))
    windows = np.lib.stride_tricks.sliding_window_view(image[128:, 128:], (64, 64), axis=(0, 1))
    assert (windows == shown.transpose(2, 0, 1)).all(axis=(2, 3, 4)).any()
    found = judge(experiment, monkeypatch, labelled_dataset=f"tiny_imagenet:{folder}")
    all_of_them = CLASSES * tiny.PER_CLASS
    assert (found["num_train"], found["num_test"]) == (all_of_them, all_of_them)
    assert (found["num_classes"], found["dim"]) == (CLASSES, 128)


def test_frequencies_of_tiny_imagenet(folder, tmp_path, monkeypatch):
    """Trained on its training images, judged on those of val."""
    given = f"--dataset=tiny_imagenet:{folder}"
    experiment, result = run_of(tmp_path, "tiny_imagenet/cmc_frequency", given)
    names = [source.name for source in (experiment.train, experiment.test)]
    assert names == [f"tiny_imagenet:{folder}/{split}" for split in ("train", "val")]
    assert np.isfinite(result["final"]["information/1-2"])
    found = judge(experiment, monkeypatch)
    assert (found["num_test"], found["num_classes"]) == (CLASSES * tiny.PER_CLASS, CLASSES)
    # Both views side by side.
    assert found["dim"] == 2 * 128
