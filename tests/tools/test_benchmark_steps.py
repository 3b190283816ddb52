"""The benchmark of steps: it charges a method with the passes that its step makes."""

import importlib
import pathlib

import pytest
import tensorflow as tf

from tests.contract import harness
from tfssl import backbones, methods

ROOT = pathlib.Path(__file__).parents[2]
CASES = [(name, {}) for name in methods.names() if name != "interclr"]
CASES += [("interclr", {"base": base}) for base in ("npid", "moco", "byol")]
CASES += [("mira", {"teacher": False}), ("moco", {"bn_groups": 2})]


@pytest.fixture
def steps(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("benchmark_steps")


@pytest.mark.parametrize("name, settings", CASES)
def test_passes_are_those_of_a_step(steps, monkeypatch, name, settings):
    """By counting what the encoders of an eager step see: the first one learns."""
    build, encoders = backbones.build, []

    def kept(*arguments, **options):
        encoders.append(build(*arguments, **options))
        return encoders[-1]

    monkeypatch.setattr(backbones, "build", kept)
    method = harness.build(name, **settings)
    views = 1 if settings.get("base") == "npid" else methods.get(name).min_views
    batch = harness.make_batch(name, sizes=[harness.SIZE] * views)

    kind, values = type(encoders[0]), {}
    call = kind.call

    def counted(encoder, images, *arguments, **options):
        values[id(encoder)] = values.get(id(encoder), 0) + tf.size(images).numpy()
        return call(encoder, images, *arguments, **options)

    monkeypatch.setattr(kind, "call", counted)
    harness.step(method, batch)
    seen = [values.get(id(encoder), 0) for encoder in encoders]

    images = [*batch["views"], *([batch["patches"]] if "patches" in batch else [])]
    learned, taught = steps.branches(method, images)
    expected = [sum(tf.size(images).numpy() for images in part) for part in (learned, taught)]
    assert expected == (seen + [0])[:2]


@pytest.mark.slow
def test_rows(steps, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(steps, "_REPEATS", 1)
    whole, passes = steps.rows("configs/digits/npid.cfg")
    assert whole["ratio"] == 1 and whole["note"] == "npid, batch 64, views (32,)"
    assert passes["ratio"] == passes["value"] / whole["value"]
    assert f"{100 * (1 - passes['ratio']):.0f} % of the step is outside" == passes["note"]
