"""The benchmark of steps: it charges a method with the passes that its step makes."""

import importlib
import pathlib

import pytest

from tests.contract import harness
from tfssl import backbones

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
# Images of a batch that learn, and that a teacher sees, in batches of 16 x 16.
CASES = {
    "simclr": ({}, 2, 0),
    "byol": ({}, 2, 2),
    "moco": ({}, 1, 1),
    "moco in groups": ({"bn_groups": 2}, 1, 1),
    "npid": ({}, 1, 0),
    "mira": ({}, 2, 2),
    "mira alone": ({"teacher": False}, 2, 0),
    "interclr on npid": ({"base": "npid"}, 1, 0),
    "interclr on moco": ({"base": "moco"}, 1, 1),
    "interclr on byol": ({"base": "byol"}, 2, 2),
    "pirl": ({}, 1 + 9 * (harness.PATCH / harness.SIZE) ** 2, 0),
    # Of three channels.
    "cmc": ({}, 1, 0),
    "predictive": ({}, 1, 0),
    "splitbrain": ({}, 1, 0),
    "cmc against places": ({"loss": "patch", "patch_layer": "stem"}, 1, 0),
    "clip_contrast": ({}, harness.FRAMES["clip_contrast"] + 1, 0),
    "cmc with a queue": ({"memory": "queue"}, 1, 1),
}


@pytest.fixture
def steps(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("benchmark_steps")


@pytest.mark.parametrize("case", CASES)
def test_passes_are_those_of_a_step(steps, monkeypatch, case):
    """Every method by its definition; numbers of values, because patches are smaller."""
    build, encoders = backbones.build, []

    def kept(*arguments, **options):
        encoders.append(build(*arguments, **options))
        return encoders[-1]

    monkeypatch.setattr(backbones, "build", kept)
    name = case.split()[0]
    settings, *expected = CASES[case]
    channels = harness.channels_of(name) * (2 if settings.get("memory") == "queue" else 1)
    if settings.get("base") == "npid":
        channels = channels[:1]
    method = harness.build(name, plan=harness.make_plan(view_channels=channels), **settings)
    passes = steps.passes_of(method, harness.make_batch(name, channels=channels), encoders)
    image = harness.BATCH * harness.SIZE**2 * 3
    for learned, count in zip((True, False), expected):
        values = sum(one.shape.num_elements() for one in passes if one.learned == learned)
        assert values == count * image


def test_rows(steps, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(steps, "_REPEATS", 1)
    whole, passes = steps.rows("configs/digits/npid.cfg")
    assert whole["ratio"] == 1 and whole["note"] == "npid, batch 64, views (32,)"
    assert passes["ratio"] == passes["value"] / whole["value"]
    assert f"{100 * (1 - passes['ratio']):.0f} % of the step is outside" == passes["note"]
