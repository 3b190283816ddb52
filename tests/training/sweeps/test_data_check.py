"""What cells train on is opened before the first one starts, once, and refused by name."""

import pytest

from tests.training.sweeps.test_grid import grid_of
from tests.training.test_bad_input import write_images
from tfssl import data
from tfssl.evaluation import EvaluationConfig
from tfssl.settings import SettingsError
from tfssl.training.sweeps.data_check import check_data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Splits of 6 and 4 labelled images, and one of 3 without labels."""
    path = tmp_path_factory.mktemp("images")
    for name, count in (("train/a", 3), ("train/b", 3), ("test/a", 4), ("loose", 3)):
        write_images(path / name, count)
    return path


def cells_of(folder, *given):
    given = [f"--dataset=folder:{folder}", "--batch_size=2", "--epochs=2", *given]
    return grid_of("--steps=2", *given).cells


def test_each_data_settings_are_opened_once(folder, monkeypatch):
    opened = []
    real = data.open_splits

    def count(settings):
        opened.append(settings.train_split)
        return real(settings)

    monkeypatch.setattr(data, "open_splits", count)
    check_data(
        cells_of(folder, "--grid=lr=1,2", "--grid=train_split=train,test"), EvaluationConfig()
    )
    assert opened == ["train", "test"]


def test_the_data_that_judge_are_opened_too(folder):
    """Those that train need no labels then; and a mistake is told before any training."""
    cells = cells_of(folder, "--train_split=loose", "--grid=lr=1,2")
    check_data(cells, EvaluationConfig(labelled_split="train"))
    check_data(cells, EvaluationConfig(labelled_dataset=f"folder:{folder}"))
    with pytest.raises(SettingsError, match="cell lr=1.*nowhere"):
        check_data(cells, EvaluationConfig(labelled_split="nowhere"))
    with pytest.raises(SettingsError, match="cell lr=1.*folder:missing"):
        check_data(cells, EvaluationConfig(labelled_dataset="folder:missing"))
    check_data(cells, EvaluationConfig("information"))


@pytest.mark.parametrize(
    "given, protocol, words",
    [
        (["--grid=train_split=train,nowhere"], "", "cell train_split=nowhere.*nowhere"),
        (["--grid=batch_size=6,7"], "", "cell batch_size=7.*expected 1 to 6.*batch_size=7"),
        (["--grid=warmup_epochs=0,9"], "", "cell warmup_epochs=9.*warm-up"),
        (["--grid=train_split=train,loose"], "knn", "loose,.*--protocol: .*no labels in.*loose"),
        (['--grid=test_split=test,""'], "linear", "cell test_split=.*--protocol: .*no test split"),
        (['--grid=test_split=test,""', "--online_knn=1"], "", "--online_knn: .*no test split"),
    ],
)
def test_what_does_not_fit_the_data_is_refused(folder, given, protocol, words):
    with pytest.raises(SettingsError, match=words):
        check_data(cells_of(folder, *given), EvaluationConfig(protocol) if protocol else None)


def test_labels_are_wanted_only_by_what_needs_them(folder):
    check_data(cells_of(folder, "--grid=train_split=train,loose"))


def test_what_may_be_downloaded_is_left_to_the_run():
    given = ["--dataset=tfds:missing", "--data_dir=missing", "--grid=lr=1,2"]
    with pytest.raises(SettingsError, match="missing"):
        check_data(grid_of(*given).cells)
    check_data(grid_of(*given, "--download").cells)
