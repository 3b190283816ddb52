"""The numbers of the CMC sheet, sections 5, 7 and 8, against the configs as they resolve."""

import dataclasses
import pathlib
from typing import Dict, NamedTuple, Tuple

import pytest
from absl import flags

from tfssl import config, views
from tfssl.evaluation import EvaluationConfig, softmax_regression
from tfssl.training.optimizers import build_optimizer, learning_rate_at
from tfssl.training.sweeps import SweepConfig

ROOT = pathlib.Path(__file__).parents[1]
# Images of ImageNet, of its 100 classes, and of STL-10 without the test images.
IMAGES = {"imagenet": 1_281_167, "imagenet100": 126_689, "stl10": 105_000}


class Row(NamedTuple):
    """What one config must resolve to.

    Attributes:
        epochs, batch: of the run.
        optimizer: its name, and beta_1 where it is Adam.
        rates: the learning rate of epochs, counted from 1.
        backbone: its name, its width and its stem's channels.
        views: the family, the size of a view, its smallest area, and further settings.
        method: settings of the method.
    """

    epochs: int
    batch: int
    optimizer: Tuple
    rates: Dict[int, float]
    backbone: Tuple
    views: Tuple
    method: Dict[str, object]


def steps(peak, factor, *milestones):
    """Rates before and after each milestone: of 120, epoch 121 is the first that has changed."""
    rates, value = {1: peak}, peak
    for milestone in milestones:
        rates[milestone], value = value, value * factor
        rates[milestone + 1] = value
    return rates


def cosine(epochs, peak=0.03):
    """0.03 to a thousandth, held through epoch e = 1, 2, ..."""
    low = peak * 0.1**3
    return {epochs // 2: (peak + low) / 2, epochs: low}


SGD = ("sgd", None)
ADAM = ("adam", 0.5)
COMMON = dict(paradigm="full", share_encoders=False, hidden_dim=0)
BANK = dict(COMMON, memory="bank", bank_weight=0.5, negatives="own", bank_start="uniform")
SOFTMAX = dict(BANK, loss="softmax", num_negatives=16384, temperature=0.07, projection_dim=128)
NCE = dict(SOFTMAX, loss="nce", num_negatives=4096, partition_momentum=0.0)
PATCH = dict(COMMON, loss="patch", patch_layer="conv3", patch_heads="linear")
PATCH.update(patch_mask="leave_out", projection_dim=64)
QUEUE = dict(COMMON, loss="softmax", memory="queue", num_negatives=16384, momentum=0.999)
QUEUE.update(temperature=0.07, projection_dim=128)
JIGSAW = dict(jigsaw_weight=0.5, jigsaw_cross_view=False)
ALEXNET, SMALL = ("alexnet", 0.5, None), ("alexnet_small", 0.5, None)
TWO, PLAIN, RAND = {"num_views": 2}, {"rand_augment": False}, {"rand_augment": True}
CUT = {"jigsaw": True}
TABLE_1 = {
    f"imagenet/cmc_{name}_{size}": Row(
        *(240, 128, SGD, cosine(240), ("resnet50", width, 64)),
        *((family, 224, 0.08, changes), SOFTMAX),
    )
    for name, family, changes in (
        ("lab", "lab", PLAIN),
        ("ydbdr", "ydbdr", PLAIN),
        ("ydbdr_ra", "ydbdr", RAND),
    )
    for size, width in (("x05", 0.5), ("x1", 1.0), ("x2", 2.0))
}
TABLE_9 = {
    f"imagenet100/{name}": Row(
        *(240, 128, SGD, cosine(240), ("resnet50", 0.5, 64)),
        *(("ydbdr", 224, 0.2, changes), method),
    )
    for name, changes, method in (
        ("cmc", PLAIN, {**SOFTMAX, "jigsaw_weight": 0.0}),
        ("cmc_moco", {**TWO, **PLAIN}, QUEUE),
        ("cmc_pirl", {**CUT, **PLAIN}, {**SOFTMAX, **JIGSAW}),
        ("cmc_moco_pirl", {**TWO, **CUT, **PLAIN}, {**QUEUE, **JIGSAW}),
        ("cmc_moco_pirl_ra", {**TWO, **CUT, **RAND}, {**QUEUE, **JIGSAW}),
    )
}
STEPS = steps(0.03, 0.1, 120, 160)
ROWS = {
    **TABLE_1,
    **TABLE_9,
    "imagenet/cmc_alexnet": Row(200, 256, SGD, STEPS, ALEXNET, ("ydbdr", 224, 0.2, PLAIN), NCE),
    "imagenet100/cmc_alexnet": Row(200, 256, SGD, STEPS, ALEXNET, ("ydbdr", 224, 0.2, PLAIN), NCE),
    "imagenet/splitbrain": Row(
        *(200, 256, SGD, STEPS, ALEXNET, ("lab", 224, 0.2, PLAIN)), {"loss": "classification"}
    ),
    "imagenet/cmc_alexnet_patch": Row(
        *(200, 64, ADAM, steps(0.01, 0.2, 120, 160), ALEXNET, ("lab", 224, 0.2, PLAIN), PATCH),
    ),
    # PyContrast: 65,536 negatives, unit rows at first, colours jittered and crops of 0.08.
    "imagenet/cmc_pycontrast": Row(
        *(200, 256, SGD, cosine(200), ("resnet50", 0.5, 64), ("ydbdr_jitter", 224, 0.08, PLAIN)),
        {**SOFTMAX, "num_negatives": 65536, "bank_start": "directions"},
    ),
    "stl10/cmc_nce": Row(
        *(320, 128, SGD, steps(0.03, 0.1, 200, 240, 280), SMALL, ("lab_pixels", 64, None, PLAIN)),
        {**NCE, "temperature": 0.1, "projection_dim": 64},
    ),
    "stl10/cmc_patch": Row(
        *(200, 64, ADAM, steps(1e-3, 0.2, 120, 160), SMALL, ("lab_pixels", 64, None, PLAIN)),
        PATCH,
    ),
    "stl10/cmc_crops": Row(
        *(200, 64, ADAM, steps(1e-3, 0.2, 120, 160), ("alexnet_crops", 0.5, None)),
        *(("lab_pixels", 64, None, PLAIN), {**PATCH, "patch_layer": "fold"}),
    ),
    "stl10/splitbrain": Row(
        *(200, 64, ADAM, steps(1e-3, 0.2, 120, 160), SMALL, ("lab_pixels", 64, None, PLAIN)),
        {"loss": "classification"},
    ),
}


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    """Nested flagfiles are named from the root of the repository."""
    monkeypatch.chdir(ROOT)


def test_no_config_of_the_sheet_is_left_out():
    found = [
        *ROOT.glob("configs/imagenet/cmc*.cfg"),
        *ROOT.glob("configs/imagenet100/cmc*.cfg"),
        # Frequencies are InfoMin's.
        *{*ROOT.glob("configs/stl10/cmc*.cfg")} - {ROOT / "configs/stl10/cmc_frequency.cfg"},
        *ROOT.glob("configs/stl10/splitbrain.cfg"),
        *ROOT.glob("configs/imagenet/splitbrain.cfg"),
    ]
    assert {f"{path.parent.name}/{path.stem}" for path in found} == set(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_a_config_has_the_sheets_numbers(name):
    """Property 16 of the CMC sheet: rates by epochs, from the schedules that training follows."""
    row, wanted = ROWS[name], config.read_flagfile(f"configs/{name}.cfg")
    run, optimizer, backbone = wanted.training, wanted.optimizer, wanted.backbone
    assert (run.epochs, run.batch_size, run.accumulation) == (row.epochs, row.batch, 1)
    assert run.steps is None and optimizer.warmup_epochs == 0
    beta = optimizer.adam_beta_1 if optimizer.optimizer == "adam" else None
    assert (optimizer.optimizer, beta) == row.optimizer
    if beta is None:
        # Weight decay covers biases and normalisation, and SGD has momentum 0.9.
        assert (optimizer.decay, optimizer.exclude_rank_below) == (1e-4, 0)
        assert (optimizer.momentum, optimizer.nesterov) == (0.9, False)
    else:
        assert (optimizer.decay, optimizer.adam_beta_2, optimizer.adam_epsilon) == (0, 0.999, 1e-8)
    length = IMAGES[name.partition("/")[0]] // row.batch
    sizes = dict(batch_size=row.batch, steps_per_epoch=length, total_steps=row.epochs * length)
    for epoch, rate in row.rates.items():
        for step in ((epoch - 1) * length, epoch * length - 1):
            assert learning_rate_at(step, optimizer, **sizes) == pytest.approx(rate, rel=1e-6)
    assert (backbone.backbone, backbone.width, backbone.stem_channels) == row.backbone
    # CMC's ResNets start no gamma at 0; AlexNets have no choice.
    assert backbone.zero_init_residual == (row.backbone[0] != "resnet50")
    family, size, area, changes = row.views
    assert (wanted.views.views, wanted.views.image_size) == (family, size)
    chosen = {"num_views": None, "jigsaw": False, **changes}
    assert {key: getattr(wanted.views, key) for key in chosen} == chosen
    built = views.build_from(dataclasses.replace(wanted.views, views_xla=False))
    crop = built._views[0].crop
    assert getattr(crop, "area", None) == (area and (area, 1.0)) and built.groups == (1, 2)
    assert {key: getattr(wanted.method, key) for key in row.method} == row.method


def test_weight_decay_covers_every_variable():
    """Section 5: biases and normalisation too, coupled, as the optimizer itself says."""
    wanted = config.read_flagfile("configs/imagenet/cmc_lab_x05.cfg").optimizer
    found = build_optimizer(wanted, 0.03).get_config()
    names = ("weight_decay", "exclude_rank_below", "momentum", "nesterov")
    assert [found[n] for n in names] == [1e-4, 0, 0.9, False]


def evaluation_of(name):
    known = flags.FlagValues()
    config.define_settings(EvaluationConfig, known)
    known(["evaluate", *config.expand([f"--flagfile=configs/evaluation/{name}.cfg"])])
    return config.settings_from_flags(EvaluationConfig, known)


PROBES = {
    "cmc_alexnet": (0.1, 0.2),
    "cmc_resnet": (30.0, None),
    "cmc_resnet_x2": (50.0, None),
    "cmc_imagenet100": (30.0, 0.2),
}


@pytest.mark.parametrize("name", PROBES)
def test_a_linear_probe_has_the_sheets_numbers(name):
    """Property 16 of the CMC sheet: 30, then 6, 1.2 and 0.24 from epochs 61, 76 and 91 on."""
    (peak, area), found = PROBES[name], evaluation_of(name)
    assert (found.protocol, found.augment) == ("linear", True)
    assert (found.linear_epochs, found.linear_batch_size) == (100, 256)
    assert (found.linear_weight_decay, found.augment_min_area) == (0, area)
    assert found.rates() == (peak,) and found.milestones() == (60, 75, 90)
    rates = softmax_regression.rates(peak, 100, found.milestones(), found.linear_decay_factor)
    expected = steps(peak, 0.2, 60, 75, 90)
    assert {epoch: rates[epoch - 1] for epoch in expected} == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name, hidden", [("stl10_linear", 0), ("stl10_mlp", 200)])
def test_a_probe_of_stl10_has_the_sheets_numbers(name, hidden):
    """Section 7: 100 epochs of Adam, times 0.2 at 60 and 80, on the 5,000 labelled images."""
    found = evaluation_of(name)
    assert (found.protocol, found.mlp_hidden_dim, found.mlp_epochs) == ("mlp", hidden, 100)
    assert found.mlp_lr == 1e-3 and found.milestones() == (60, 80)
    assert found.labelled_split == "train"


def test_figure_6_has_the_sheets_numbers_of_negatives():
    """Section 9: m = 64, 128, ... 8192."""
    known = flags.FlagValues()
    config.define(known)
    config.define_settings(SweepConfig, known)
    flags.DEFINE_multi_string("grid", [], "Axes.", flag_values=known)
    known(["sweep", *config.expand(["--flagfile=configs/studies/figure6_cmc.cfg"])])
    (axis,) = known["grid"].value
    name, _, values = axis.partition("=")
    assert name == "cmc_num_negatives"
    assert list(map(int, values.split(","))) == [64 * 2**i for i in range(8)]
