"""Every config of the repository parses, fits its views, builds, and makes a tiny step.

Those of `studies/` are flagfiles of sweeps: all their cells are checked as the sweep checks them.
"""

import functools
import pathlib
import re

import numpy as np
import pytest
from absl import flags

from tests.contract import harness
from tfssl import config, methods, views
from tfssl.evaluation import EvaluationConfig
from tfssl.training import sweeps

ROOT = pathlib.Path(__file__).parents[1]
BASES = sorted((ROOT / "configs" / "base").glob("*.cfg"))
STUDIES = sorted((ROOT / "configs" / "studies").glob("*.cfg"))
EVALUATIONS = sorted((ROOT / "configs" / "evaluation").glob("*.cfg"))
CONFIGS = sorted({*(ROOT / "configs").rglob("*.cfg")} - {*BASES, *STUDIES, *EVALUATIONS})
# Why a config may have no figure.
REASONS = (
    "the settings are this library's choice",
    "the paper has no",
    "no published figure",
    "it depends on the images",
    "(paper",
    "as on the digits",
)


def check_header(text, tool, path):
    """A config opens with what to expect, on what machine, and the command."""
    assert text.startswith("# ") and "# Hardware: " in text
    assert f"# Run: python tools/{tool}.py --flagfile={path.relative_to(ROOT)}" in text
    expected = text.partition("# Expected: ")[2].partition("# Hardware: ")[0]
    figures = re.search(r"\d(\.\d+)?( ?%| nats)|\d\.\d", expected)
    assert figures or any(reason in expected for reason in REASONS), expected


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    """Nested flagfiles are named from the root of the repository."""
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_config_is_valid_and_fits_its_views(path):
    wanted = config.read_flagfile(str(path))
    family = views.build_from(wanted.views)
    method = methods.get(wanted.training.method)
    method.check_views(wanted.method, family)
    method.check_patches(wanted.method, family.patch_size)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_config_opens_with_what_to_expect_and_how_to_run_it(path):
    check_header(path.read_text(), "train", path)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_config_makes_a_tiny_step(path):
    """The config's own method settings, on small widths and a tiny encoder."""
    wanted = config.read_flagfile(str(path))
    small = harness.small_settings(wanted.training.method)
    overrides = {
        name: getattr(wanted.method, name)
        for name in vars(wanted.method)
        if name not in harness.SMALL and getattr(wanted.method, name) != getattr(small, name)
    }
    if overrides.get("loss") == "patch":
        overrides["patch_layer"] = "stem"  # The tiny encoder has no third convolution.
    if overrides.get("bn_groups", 1) > harness.BATCH:
        overrides["bn_groups"] = harness.BATCH
    family = views.build_from(wanted.views)
    full = family.sizes[0]
    sizes = tuple(harness.SIZE if size == full else harness.SIZE - 4 for size in family.sizes)
    shape = sizes, family.channels, wanted.views.jigsaw
    logs = tiny_step(wanted.training.method, tuple(overrides.items()), *shape)
    assert np.isfinite(list(logs.values())).all()


@functools.lru_cache(maxsize=None)
def tiny_step(name, overrides, sizes, channels, patches):
    """The logs of a step; configs that differ in nothing a tiny step sees share it."""
    plan = harness.make_plan(view_channels=channels)
    method = harness.build(name, plan=plan, **dict(overrides))
    options = {"patches": patches, "labelled": method.needs_labelled(method.settings)}
    return harness.step(method, harness.make_batch(name, sizes=sizes, channels=channels, **options))


def test_every_config_names_a_run_directory_of_its_own():
    named = [path.read_text().partition("--run_dir=")[2].split()[0] for path in CONFIGS]
    assert len(set(named)) == len(named)


@pytest.mark.parametrize("path", BASES, ids=lambda p: p.stem)
def test_every_base_is_used(path):
    line = f"configs/base/{path.name}"
    assert any(line in user.read_text() for user in [*CONFIGS, *BASES, *STUDIES])


@pytest.mark.parametrize("path", EVALUATIONS, ids=lambda p: p.stem)
def test_evaluation_is_valid_and_says_how_to_run_it(path):
    known = flags.FlagValues()
    config.define_settings(EvaluationConfig, known)
    known(["evaluate", *config.expand([f"--flagfile={path}"])])
    settings = config.settings_from_flags(EvaluationConfig, known)
    assert settings != EvaluationConfig(protocol=settings.protocol)
    text = path.read_text()
    assert text.startswith("# ")
    assert f"# Run: python tools/evaluate.py --flagfile={path.relative_to(ROOT)}" in text


def grid_of(path):
    """The seeds and the grid of a study."""
    arguments = config.expand([f"--flagfile={path}"])
    known = flags.FlagValues()
    config.define(known)
    config.define_settings(sweeps.SweepConfig, known)
    flags.DEFINE_multi_string("grid", [], "Axes.", flag_values=known)
    known(["sweep", *arguments])
    seeds = config.settings_from_flags(sweeps.SweepConfig, known).seed_numbers()
    return seeds, sweeps.make_grid(arguments, seeds, config.reader(known), config.expand)


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_study_is_a_valid_sweep(path):
    seeds, grid = grid_of(path)
    assert len(seeds) >= 3 and len(grid.points) >= 2
    assert len(grid.cells) == len(seeds) * len(grid.points)


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_study_opens_with_what_to_expect_and_how_to_run_it(path):
    text = path.read_text()
    check_header(text, "sweep", path)
    assert f"--sweep_dir=sweeps/{path.stem}\n" in text
