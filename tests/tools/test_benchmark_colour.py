"""The benchmark of colours at toy sizes: what it compares computes the same."""

import importlib
import pathlib
import sys

import numpy as np
import pytest

from tests.random_inputs import fresh_rng
from tfssl import views

TOOLS = pathlib.Path(__file__).parents[2] / "tools"


@pytest.fixture
def colour(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("benchmark_colour")


@pytest.mark.parametrize("space", ["rgb", "lab", "hed"])
def test_both_convert_the_whole_batch_alike(colour, space):
    batch = fresh_rng().integers(0, 256, (8, 3, 5, 3), dtype=np.uint8)
    expected = colour.scikit_image()[space](batch)
    for axis in (1, -1):
        result = np.concatenate(colour.converter(space, batch, axis)())
        np.testing.assert_allclose(np.moveaxis(result, axis, -1), expected, atol=1e-3)


def test_two_rows_a_space(colour, monkeypatch):
    few = {name: views.COLOR_SPACES[name] for name in ("rgb", "yuv")}
    monkeypatch.setattr(colour.views, "COLOR_SPACES", few)
    monkeypatch.setattr(colour, "_TURN_SECONDS", 0.0)
    rows = colour.rows(images=4, size=6, repeats=2)
    layouts = ("channels first", "channels last")
    assert [row["name"] for row in rows] == [f"{s}, {way}" for s in few for way in layouts]
    for row in rows:
        assert set(row) == {"name", "value", "unit", "ratio", "note"}
        assert row["value"] > 0 and row["ratio"] > 0 and row["unit"] == "Mpixel/s"
        assert "% of what the memory allows" in row["note"]


def test_every_space_has_a_yardstick(colour):
    assert list(colour.scikit_image()) == list(views.COLOR_SPACES)


def test_without_scikit_image_the_extra_is_named(colour, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ImportError, match=r"scikit-image, .* Remedy: pip install -e '.\[test\]'"):
        colour.rows(images=4, size=2)
