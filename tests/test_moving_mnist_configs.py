"""The numbers of InfoMin's section 3.4 against configs/moving_mnist as it resolves."""

import itertools
import pathlib

import pytest

from tfssl import config
from tfssl.data.settings import FACTORS
from tfssl.training.optimizers import learning_rate_at

ROOT = pathlib.Path(__file__).parents[1]
PATHS = sorted((ROOT / "configs" / "moving_mnist").glob("*.cfg"))


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_every_case_has_its_config():
    found = [config.read_flagfile(str(path)).data.shared_factors() for path in PATHS]
    cases = [case for n in (1, 2, 3) for case in itertools.combinations(FACTORS, n)]
    assert sorted(found) == sorted(cases)
    assert [path.stem for path in PATHS] == ["_".join(shared) for shared in found]


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_the_recipe(path):
    wanted = config.read_flagfile(str(path))
    run, optimizer = wanted.training, wanted.optimizer
    assert (run.method, run.epochs, run.batch_size) == ("clip_contrast", 200, 128)
    assert (optimizer.optimizer, optimizer.decay, optimizer.momentum) == ("sgd", 1e-4, 0.9)
    assert wanted.data.dataset == "moving_mnist:tfds:stl10"
    assert (wanted.data.moving_speed_ref, wanted.views.image_size) == (64.0, 64)
    assert wanted.method.temperature == 0.1 and not wanted.method.share_cnn
    sizes = {"batch_size": 128, "steps_per_epoch": 10, "total_steps": 2000}
    for step, rate in ((0, 0.03), (1000, 0.015), (2000, 0.0)):
        found = float(learning_rate_at(step, optimizer, **sizes))
        assert found == pytest.approx(rate, abs=1e-8)
    encoder = wanted.backbone.build(image_size=64)
    assert (encoder.name, encoder.feature_dim) == ("convnet", 64)
