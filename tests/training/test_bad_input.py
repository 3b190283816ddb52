"""Bad input gets one clear sentence before any work starts."""

import numpy as np
import pytest
from PIL import Image

from tests.training.short_runs import TINY
from tfssl import config, training
from tfssl.settings import SettingsError

SMALL = [flag for flag in TINY if not flag.startswith("--dataset")]


def prepare(*flags):
    return training.prepare(config.parse([*SMALL, *flags])[0])


def write_images(folder, count, size=(20, 14)):
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = random.integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg")


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--dataset=tfds:cifar10", "--data_dir=missing/folder"], ["cifar10", "missing/folder"]),
        (["--dataset=folder:missing/folder"], ["missing/folder"]),
        (["--dataset=magic"], ["digits", "tfds:<name>", "folder:<path>", "magic"]),
        (["--dataset=digits", "--batch_size=9000"], ["8192", "9000"]),
        (["--dataset=digits", "--views=eval"], ["at least 2 views", "1"]),
        (["--dataset=digits", "--jigsaw"], ["MIRA", "without patches", "drop"]),
        (["--dataset=digits", "--jigsaw_patch=16"], ["jigsaw_patch", "--jigsaw beside it"]),
        (["--dataset=digits", "--warmup_epochs=50"], ["warm-up", "50"]),
        (["--dataset=digits", "--strategy=multiworker"], ["TF_CONFIG"]),
        (["--dataset=digits", "--accumulation=32", "--strategy=tpu"], ["TPU"]),
        (["--dataset=digits", "--backbone=resnet18", "--image_size=8"], ["image_size", "8"]),
    ],
)
def test_sentence_names_what_was_expected_and_received(flags, words, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError) as error:
        prepare(*flags)
    for word in words:
        assert word in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    "flags, words",
    [
        ([], ["PIRL", "the patches of a jigsaw", "Remedy: --jigsaw"]),
        (["--jigsaw", "--backbone=resnet18", "--stem=cifar_stride2"], ["at least 16", "=9"]),
    ],
)
def test_patches_must_be_there_and_large_enough(flags, words):
    of_others = [flag for flag in SMALL if not flag.startswith("--mira")]
    with pytest.raises(ValueError) as error:
        flags = ["--dataset=digits", "--method=pirl", "--num_views=1", *flags]
        training.prepare(config.parse([*of_others, *flags])[0])
    for word in words:
        assert word in str(error.value)


def test_empty_folder(tmp_path):
    with pytest.raises(SettingsError, match=str(tmp_path)):
        prepare(f"--dataset=folder:{tmp_path}")


def test_three_corrupt_files_of_ten(tmp_path):
    write_images(tmp_path, 10)
    for number in (2, 5, 7):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(path.read_bytes()[:100])
    flags = [f"--dataset=folder:{tmp_path}", "--batch_size=4"]
    with pytest.raises(SettingsError, match="3 of 10"):
        prepare(*flags)
    experiment = prepare(*flags, "--max_bad_fraction=0.5")
    assert experiment.train.num_records == 10
    assert sorted(set(range(10)) - set(experiment.train.drawable)) == [2, 5, 7]


def test_images_smaller_than_the_crop_are_enlarged(tmp_path):
    write_images(tmp_path, 8, size=(3, 1))
    experiment = prepare(f"--dataset=folder:{tmp_path}", "--batch_size=4")
    batch = next(iter(experiment.batches(0)))
    assert batch["views"][0].shape == (4, 32, 32, 3)
    assert np.isfinite(batch["views"][0]).all()


def test_online_knn_needs_labels(tmp_path):
    write_images(tmp_path, 8)
    flags = [f"--dataset=folder:{tmp_path}", "--batch_size=4"]
    with pytest.raises(SettingsError, match="--online_knn=1.*labels"):
        prepare(*flags, "--online_knn=1")
    assert prepare(*flags).test is None


@pytest.mark.slow
def test_a_folder_without_labels_trains_to_the_end(tmp_path):
    write_images(tmp_path / "images", 8)
    flags = [f"--dataset=folder:{tmp_path / 'images'}", "--batch_size=4"]
    wanted = config.parse([*SMALL, *flags])[0]
    run = training.RunDirectory(tmp_path / "run")
    run.claim(config.to_flagfile(wanted))
    result = training.train(training.prepare(wanted), run)
    assert result["knn"] == {}
    assert np.isfinite(result["final"]["loss"])
