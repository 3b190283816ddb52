"""Every config of the repository parses, fits its views, builds, and makes a tiny step.

Those of `studies/` are flagfiles of sweeps: all their cells are checked as the sweep checks them.
"""

import pathlib

import numpy as np
import pytest
from absl import flags

from tests.contract import harness
from tfssl import config, methods, views
from tfssl.training import sweeps

ROOT = pathlib.Path(__file__).parents[1]
BASES = sorted((ROOT / "configs" / "base").glob("*.cfg"))
STUDIES = sorted((ROOT / "configs" / "studies").glob("*.cfg"))
CONFIGS = sorted({*(ROOT / "configs").rglob("*.cfg")} - {*BASES, *STUDIES})


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    """Nested flagfiles are named from the root of the repository."""
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_config_is_valid_and_fits_its_views(path):
    wanted = config.read_flagfile(str(path))
    family = views.build_from(wanted.views)
    method = methods.get(wanted.training.method)
    method.check_views(wanted.method, family.sizes)
    method.check_patches(wanted.method, family.patch_size)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_config_opens_with_what_to_expect_and_how_to_run_it(path):
    text = path.read_text()
    relative = path.relative_to(ROOT)
    assert text.startswith("# ")
    assert "# Expected: " in text and "# Hardware: " in text
    assert f"# Run: python tools/train.py --flagfile={relative}" in text


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
    method = harness.build(wanted.training.method, **overrides)
    count = views.build_from(wanted.views).num_views
    sizes = [harness.SIZE] * 2 + [harness.SIZE - 4] * (count - 2)
    logs = harness.step(method, harness.make_batch(wanted.training.method, sizes=sizes))
    assert np.isfinite(list(logs.values())).all()


def test_every_config_names_a_run_directory_of_its_own():
    named = [path.read_text().partition("--run_dir=")[2].split()[0] for path in CONFIGS]
    assert len(set(named)) == len(named)


@pytest.mark.parametrize("path", BASES, ids=lambda p: p.stem)
def test_every_base_is_used(path):
    line = f"--flagfile=configs/base/{path.name}"
    assert any(line in user.read_text() for user in [*CONFIGS, *BASES, *STUDIES])


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_study_is_a_valid_sweep(path):
    arguments = config.expand([f"--flagfile={path}"])
    known = flags.FlagValues()
    config.define(known)
    config.define_settings(sweeps.SweepConfig, known)
    flags.DEFINE_multi_string("grid", [], "Axes.", flag_values=known)
    known(["sweep", *arguments])
    seeds = config.settings_from_flags(sweeps.SweepConfig, known).seed_numbers()
    grid = sweeps.make_grid(arguments, seeds, config.reader(known))
    assert len(seeds) >= 3 and len(grid.points) >= 2
    assert len(grid.cells) == len(seeds) * len(grid.points)


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_study_opens_with_what_to_expect_and_how_to_run_it(path):
    text = path.read_text()
    assert text.startswith("# ") and "# Expected: " in text and "# Hardware: " in text
    assert f"# Run: python tools/sweep.py --flagfile={path.relative_to(ROOT)}" in text
    assert f"--sweep_dir=sweeps/{path.stem}\n" in text
