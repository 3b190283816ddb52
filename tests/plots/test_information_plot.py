"""The scatter of accuracy over information."""

import numpy as np
import pytest

from tests.random_inputs import fresh_rng
from tfssl import plots

pytest.importorskip("matplotlib")


def runs(count=6):
    x = np.linspace(1, 4, count)
    return [plots.Shared(f"run {i}", v, 0.5 - 0.05 * (v - 2) ** 2) for i, v in enumerate(x)]


def test_every_run_is_a_dot_with_its_name():
    figure = plots.plot_information(runs(), label="linear accuracy", baseline=0.2)
    (panel,) = figure.axes
    dots = panel.collections[0].get_offsets()
    expected = [(run.information, 100 * run.accuracy) for run in runs()]
    np.testing.assert_allclose(dots, expected)
    assert [text.get_text() for text in panel.texts] == [run.name for run in runs()]
    assert panel.get_ylabel() == "linear accuracy (%)" and "nats" in panel.get_xlabel()
    labels = panel.get_legend_handles_labels()[1]
    assert labels == ["least-squares parabola, top at 2.00 nats", "untrained"]


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
