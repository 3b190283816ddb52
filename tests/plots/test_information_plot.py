"""The scatter of accuracy over information."""

import numpy as np
import pytest

from tests.random_inputs import fresh_rng
from tfssl import plots
from tfssl.plots import information_plot

pytest.importorskip("matplotlib")


def runs(count=6):
    x = np.linspace(1, 4, count)
    return [plots.Shared(f"run {i}", v, 0.5 - 0.05 * (v - 2) ** 2, 0.2) for i, v in enumerate(x)]


def test_every_run_is_a_dot_with_its_name():
    figure = plots.plot_information(runs(), label="linear accuracy", measure="MINE")
    (panel,) = figure.axes
    dots, rings = (points.get_offsets() for points in panel.collections)
    np.testing.assert_allclose(dots, [(run.information, 100 * run.accuracy) for run in runs()])
    np.testing.assert_allclose(rings, [(run.information, 20) for run in runs()])
    assert [text.get_text() for text in panel.texts] == [run.name for run in runs()]
    assert panel.get_ylabel() == "linear accuracy (%)"
    assert panel.get_xlabel() == "information shared by the views (nats), MINE"
    labels = panel.get_legend_handles_labels()[1]
    assert labels == ["least-squares parabola, top at 2.00 nats", "untrained"]


@pytest.mark.parametrize(
    "names, expected",
    [
        (["split=lab,seed=0", "split=rgb,seed=0"], ["lab", "rgb"]),
        (["split=lab,seed=0", "split=lab,seed=1"], ["0", "1"]),
        (["groups=1,2,seed=0", "groups=1,1,1,seed=1"], ["1,2, 0", "1,1,1, 1"]),
        (["near", "far"], ["near", "far"]),
        (["a=1", "b=1"], ["a=1", "b=1"]),
        (["a=1", "a=1"], ["a=1", "a=1"]),
    ],
)
def test_names_are_what_tells_runs_apart(names, expected):
    assert information_plot.short_names(names) == expected


def test_the_parabola_is_that_of_least_squares():
    rng = fresh_rng()
    x, y = rng.normal(size=[2, 9])
    found = plots.parabola(x, y)
    design = np.stack([x**2, x, np.ones(9)], axis=1)
    np.testing.assert_allclose(found, np.linalg.lstsq(design, y, rcond=None)[0], rtol=1e-6)


def test_few_runs_have_no_curve():
    figure = plots.plot_information(runs(3), label="kNN accuracy")
    assert not figure.axes[0].lines


@pytest.mark.parametrize("count, value", [(1, 1.0), (3, np.nan)])
def test_what_cannot_be_drawn(count, value):
    wrong = [plots.Shared("run", value, 0.5)] * count
    with pytest.raises(ValueError, match="expected two or more with finite.*Received: "):
        plots.plot_information(wrong, label="linear accuracy")
