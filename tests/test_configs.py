"""Every config of the repository parses, fits its views, builds, and makes a tiny step."""

import pathlib

import numpy as np
import pytest

from tests.contract import harness
from tfssl import config, methods, views

ROOT = pathlib.Path(__file__).parents[1]
CONFIGS = sorted(p for p in (ROOT / "configs").rglob("*.cfg") if p.parent.name != "base")
BASES = sorted((ROOT / "configs" / "base").glob("*.cfg"))


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    """Nested flagfiles are named from the root of the repository."""
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_config_is_valid_and_fits_its_views(path):
    wanted = config.read_flagfile(str(path))
    family = views.build_from(wanted.views)
    methods.get(wanted.training.method).check_views(wanted.method, family.sizes)


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
    assert any(line in user.read_text() for user in [*CONFIGS, *BASES])
