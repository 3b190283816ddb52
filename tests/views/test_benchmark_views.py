"""The benchmark of views runs, and its yardstick knows all recipes."""

import importlib
import pathlib

import numpy as np
import pytest
from PIL import Image

from tests.views import pictures
from tfssl import views

TOOLS = pathlib.Path(__file__).parents[2] / "tools"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("benchmark_views")


@pytest.mark.parametrize("name", ["mira", "simclr", "mocov2", "byol", "cifar", "infomin"])
def test_yardstick_knows_every_step(benchmark, name):
    """Each recipe of the library runs in Pillow, step by step."""
    family = views.build(name, image_size=16)
    recipe = benchmark._plain(name, family)
    assert [size for size, *_ in recipe] == list(family.sizes)
    image = Image.fromarray(pictures.picture(40, 40))
    for view in recipe:
        made = np.stack([benchmark.pillow_views.make(image, *view) for _ in range(5)])
        assert made.shape == (5, 16, 16, 3) and np.ptp(made) > 0.1


@pytest.mark.slow
def test_rows_from_arrays_and_files(benchmark, monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark, "_SMALL", (("cifar", 32, {}, 64),))
    monkeypatch.setattr(benchmark, "_LARGE", (("crop", 80, {}, 64),))
    for i in range(3):
        picture = pictures.encoded(pictures.picture(90, 120), "JPEG")
        (tmp_path / f"{i}.jpg").write_bytes(picture)
    small, large = benchmark.rows(str(tmp_path))
    assert small["name"] == "views cifar 2x32" and large["name"] == "views crop 1x80"
    for row in (small, large):
        assert row["value"] > 0 and row["ratio"] > 0 and row["unit"] == "images/s"
        assert "Pillow" in row["note"]


def test_rows_of_groups_of_channels(benchmark, monkeypatch):
    monkeypatch.setattr(benchmark, "_CHANNELS", benchmark._CHANNELS[:2])
    monkeypatch.setattr(benchmark, "_REPEATS", 1)
    plain, jigsaw = benchmark.channel_rows()
    assert plain["ratio"] == 1 and plain["value"] > 0 and plain["unit"] == "images/s"
    assert jigsaw["name"] == "views lab, jigsaw" and jigsaw["ratio"] > 0


@pytest.mark.slow
def test_the_layers_of_a_view(benchmark, monkeypatch, tmp_path):
    layers = importlib.import_module("benchmark_view_layers")
    monkeypatch.setattr(layers, "_REPEATS", 1)
    assert layers.rows(None) == []
    for i in range(2):
        picture = pictures.encoded(pictures.picture(50, 60), "JPEG")
        (tmp_path / f"{i}.jpg").write_bytes(picture)
    found = {row["name"]: row for row in layers.rows(str(tmp_path), size=32)}
    assert found["infomin view"]["ratio"] == 1 and "views/s" in found["infomin view"]["note"]
    assert 0 < found["infomin decoding and crop"]["ratio"] <= 1
    operations = [name for name in found if name.startswith("infomin   ")]
    assert len(operations) == 15 and "where it fires" in found["infomin   Rotate"]["note"]


def test_a_folder_without_jpegs_is_refused(benchmark, tmp_path):
    with pytest.raises(ValueError, match="expected a folder with JPEG files. Received: "):
        benchmark.jpeg_files(str(tmp_path))
