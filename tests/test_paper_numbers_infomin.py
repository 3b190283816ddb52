"""The numbers of the InfoMin sheet, section 3, against the configs as they resolve."""

import dataclasses
import pathlib

import numpy as np
import pytest

from tests.test_configs import grid_of
from tests.test_paper_numbers_cmc import evaluation_of
from tfssl import config, methods, views
from tfssl.training.optimizers import learning_rate_at

ROOT = pathlib.Path(__file__).parents[1]
DIV2K = 800  # Its training images.
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


def test_patches_have_the_sheets_numbers():
    """Section 3.1: one encoder for both patches, every other image of DIV2K a negative."""
    wanted = config.read_flagfile("configs/div2k/cmc_patches.cfg")
    run, optimizer, method = wanted.training, wanted.optimizer, wanted.method
    assert (wanted.data.dataset, wanted.data.train_split) == ("tfds:div2k@hr", "train")
    assert (run.method, run.epochs, run.steps, run.batch_size) == ("cmc", 3000, None, 128)
    assert (optimizer.optimizer, optimizer.momentum, optimizer.decay) == ("sgd", 0.9, 1e-4)
    assert (optimizer.exclude_rank_below, optimizer.warmup_epochs) == (0, 0)
    length = DIV2K // 128
    sizes = dict(batch_size=128, steps_per_epoch=length, total_steps=3000 * length)
    # A cosine from 0.03; like the authors' other ones it ends at a thousandth.
    for epoch, rate in ((1, 0.03), (1500, 0.015015), (3000, 3e-5)):
        found = learning_rate_at((epoch - 1) * length, optimizer, **sizes)
        assert found == pytest.approx(rate, rel=1e-5)
    assert (method.loss, method.memory, method.bank_weight) == ("softmax", "bank", 0.5)
    assert (method.num_negatives, method.temperature) == (DIV2K - 1, 0.1)
    family = views.build_from(wanted.views)
    pair = [view.crop for view in family._views]
    assert [(crop.size, crop.distance, crop.patch) for crop in pair] == [(64, 128, 0), (64, 128, 1)]
    # CIFAR-10 is resized to 64 pixels, and nothing is cut off.
    assert wanted.views.eval_resize == wanted.views.image_size == 64


def test_patches_have_one_small_alexnet_of_full_width():
    """The table of section 3.0, full width: what its layers add up to, and a bank of all images."""
    wanted = config.read_flagfile("configs/div2k/cmc_patches.cfg")
    plan = methods.Plan(128, 6, 18_000, num_records=DIV2K, view_channels=(3, 3), view_size=64)
    method = methods.get("cmc")(
        wanted.method, plan, lambda **more: wanted.backbone.build(image_size=64, **more)
    )
    channels = [3, 96, 192, 384, 384, 192]
    convolutions = sum(9 * a * b + 2 * b for a, b in zip(channels, channels[1:]))
    # Kernel, bias, and two numbers of normalisation for each of 4,096 units.
    connected = sum(4096 * (inputs + 3) for inputs in (7 * 7 * 192, 4096))
    (network,) = method.views.networks
    found = sum(int(np.prod(variable.shape)) for variable in network.trainable_variables)
    assert found == convolutions + connected + 128 * (4096 + 1)
    assert method.contrast.bank.features.shape == (DIV2K, 2, 128)


def test_the_study_of_patches_has_the_sheets_distances():
    """Section 3.1: five distances; nothing else differs from the config of the best one."""
    alone = config.read_flagfile("configs/div2k/cmc_patches.cfg")
    cells = grid_of("configs/studies/infomin_patches.cfg")[1].cells
    assert len(cells) == 3 * 5
    distances = [cell.config.views.patch_distance for cell in cells]
    assert sorted(set(distances)) == [64, 128, 256, 320, 384]
    for cell in cells:
        at_best = dataclasses.replace(cell.config.views, patch_distance=128)
        assert (at_best, cell.config.data) == (alone.views, alone.data)
        assert (cell.config.method, cell.config.optimizer) == (alone.method, alone.optimizer)
        assert (cell.config.backbone, cell.config.training.epochs) == (alone.backbone, 3000)


def test_frequencies_of_tiny_imagenet_are_those_of_stl10_on_other_images():
    """Section 3.3: the data, and what of an image is judged, differ and nothing else."""
    tiny = config.read_flagfile("configs/tiny_imagenet/cmc_frequency.cfg")
    stl10 = config.read_flagfile("configs/stl10/cmc_frequency.cfg")
    data = tiny.data
    assert data.dataset.startswith("tiny_imagenet:")
    assert (data.train_split, data.test_split) == ("train", "val")
    assert tiny.views.eval_resize == tiny.views.image_size == 64
    views_of_stl10 = dataclasses.replace(stl10.views, eval_resize=64)
    assert tiny == dataclasses.replace(stl10, data=data, views=views_of_stl10)


def test_the_probe_of_tiny_imagenet_has_the_sheets_epochs():
    """Section 3.3: 40 epochs; the rest is that of STL-10's, its drops in proportion."""
    found, stl10 = (evaluation_of(f"{name}_linear") for name in ("tiny_imagenet", "stl10"))
    assert (found.protocol, found.mlp_hidden_dim, found.mlp_epochs) == ("mlp", 0, 40)
    assert found.milestones() == tuple(m * 40 // 100 for m in stl10.milestones())
    same = {"mlp_epochs": 100, "mlp_milestones": "60,80", "labelled_split": "train"}
    assert dataclasses.replace(found, **same) == stl10
