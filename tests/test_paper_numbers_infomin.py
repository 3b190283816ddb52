"""The numbers of the InfoMin sheet, section 3.5, against the configs as they resolve."""

import pathlib

import pytest

from tfssl import config, views

ROOT = pathlib.Path(__file__).parents[1]
OBJECTIVES = {"view_learning": "unsupervised", "view_learning_semi": "semi_supervised"}


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    """Nested flagfiles are named from the root of the repository."""
    monkeypatch.chdir(ROOT)


def test_no_config_of_view_learning_is_left_out():
    found = ROOT.glob("configs/stl10/view_learning*.cfg")
    assert {path.stem for path in found} == set(OBJECTIVES)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("more, color", [([], "rgb"), (["--color_split=ydbdr"], "ydbdr")])
def test_view_learning_has_the_sheets_numbers(name, more, color):
    wanted = config.parse([f"--flagfile=configs/stl10/{name}.cfg", *more])[0]
    run, optimizer, method = wanted.training, wanted.optimizer, wanted.method
    # Steps of critics and generator take turns: 100 epochs of either.
    assert (run.epochs, run.batch_size, run.labelled_batch_size) == (200, 128, None)
    assert (optimizer.optimizer, optimizer.decay) == ("adam", 0)
    assert (optimizer.adam_beta_1, optimizer.adam_beta_2) == (0.9, 0.999)
    assert (optimizer.lr, optimizer.lr_schedule) == (6e-4, "constant")
    assert optimizer.lr * method.lr_ratio == pytest.approx(2e-4) and not method.swap_lr
    assert (method.objective, method.flow, method.num_blocks) == (OBJECTIVES[name], "vp", 6)
    assert (method.critic_steps, method.temperature, method.projection_dim) == (1, 0.1, 64)
    assert (wanted.backbone.backbone, wanted.backbone.width) == ("alexnet_small", 0.5)
    assert (wanted.data.train_split, wanted.data.labelled_records) == ("unlabelled+train", None)
    family = views.build_from(wanted.views)
    assert (family.color, family.groups, family.sizes) == (color, (3,), (64,))
    assert wanted.views.eval_resize == 70 and family._views[0].crop.area == (0.2, 1.0)
