"""The figures of a sweep show the right numbers at the right places."""

import io

import numpy as np
import pytest

from tests.random_inputs import fresh_rng
from tfssl import plots
from tfssl.plots import Curve, Measured

PathCollection = pytest.importorskip("matplotlib.collections").PathCollection


def drawn(figure):
    """Label -> (x, means, half lengths of the error bars) of every series; empties the canvas."""
    figure.savefig(io.BytesIO())
    (panel,) = figure.axes
    found = {}
    for container in panel.containers:
        line, _, bars = container.lines
        x, means = line.get_data()
        half = np.zeros(len(x))
        if bars:
            half = np.array([np.ptp(segment[:, 1]) / 2 for segment in bars[0].get_segments()])
        found[container.get_label()] = (np.asarray(x, float), np.asarray(means, float), half)
    return found


def random_runs(points, seeds=3):
    """Point -> the values of its runs, and the same as rows, seed by seed."""
    random = fresh_rng()
    values = {point: random.normal(50, 5, seeds) for point in points}
    rows = [Measured(point, values[point][seed]) for seed in range(seeds) for point in points]
    return values, rows


def test_a_numeric_axis_is_a_line_over_numbers():
    places = ["0.5", "-0.75", "0", "-0.25"]
    values, rows = random_runs([(place,) for place in places])
    figure = plots.plot_points(["margin"], rows, label="accuracy (%)")
    ((x, means, half),) = drawn(figure).values()
    expected = sorted(values, key=lambda point: float(point[0]))
    np.testing.assert_array_equal(x, [-0.75, -0.25, 0, 0.5])
    np.testing.assert_allclose(means, [values[point].mean() for point in expected])
    np.testing.assert_allclose(half, [values[point].std(ddof=1) for point in expected])
    (panel,) = figure.axes
    assert "sample standard deviation" in panel.get_title("left")
    assert panel.get_xlabel() == "margin" and panel.get_ylabel() == "accuracy (%)"
    clouds = [c.get_offsets()[:, 1] for c in panel.collections if type(c) is PathCollection]
    everything = np.sort(np.concatenate(list(values.values())))
    np.testing.assert_allclose(np.sort(np.concatenate(clouds)), everything)
    low, high = panel.get_ylim()
    assert low < everything.min() and everything.max() < high


def test_names_have_places_and_series_stand_side_by_side():
    points = [(name, sampler) for name in ("b", "a", "c") for sampler in ("hard", "random")]
    values, rows = random_runs(points, seeds=2)
    figure = plots.plot_points(["flagfile", "sampler"], rows, label="loss")
    found = drawn(figure)
    assert list(found) == ["hard", "random"]
    for turn, (sampler, (x, means, half)) in enumerate(found.items()):
        own = [values[(name, sampler)] for name in ("b", "a", "c")]
        np.testing.assert_allclose(means, [np.mean(v) for v in own])
        np.testing.assert_allclose(half, [np.std(v, ddof=1) for v in own])
        np.testing.assert_array_equal(np.round(x), [0, 1, 2])
        assert ((x < [0, 1, 2]) if turn == 0 else (x > [0, 1, 2])).all()
    (panel,) = figure.axes
    assert [label.get_text() for label in panel.get_xticklabels()] == ["b", "a", "c"]
    assert panel.get_legend().get_title().get_text() == "sampler"


def test_further_axes_share_a_label_and_one_run_has_no_bar():
    points = [(x, s, e) for s in ("hard", "random") for e in ("true", "false") for x in "12"]
    figure = plots.plot_points(["lr", "sampler", "self"], random_runs(points, 1)[1], label="loss")
    found = drawn(figure)
    assert list(found) == ["hard, true", "hard, false", "random, true", "random, false"]
    assert all((half == 0).all() for _, _, half in found.values())
    assert figure.axes[0].get_title("left") == ""
    assert len({c.lines[0].get_color() for c in figure.axes[0].containers}) == 4


def test_names_below_do_not_overlap():
    names = ["cifar10/npid_v2", "cifar10/interclr_npid", "offline+interclr_offline_epochs=5"] * 3
    points = [(f"{name}{number}",) for number, name in enumerate(names)]
    figure = plots.plot_points(["flagfile"], random_runs(points)[1], label="loss")
    figure.savefig(io.BytesIO())
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert len(boxes) == 9
    assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:]))


def test_wide_positive_ranges_are_logarithmic_and_a_sweep_without_axes_has_one_place():
    _, rows = random_runs([(place,) for place in ("0.001", "0.01", "1")])
    panel = plots.plot_points(["lr"], rows, label="loss").axes[0]
    assert panel.get_xscale() == "log"
    assert [label.get_text() for label in panel.get_xticklabels()] == ["0.001", "0.01", "1"]
    values, rows = random_runs([()])
    ((x, means, half),) = drawn(plots.plot_points([], rows, label="loss")).values()
    assert x == [0] and means == pytest.approx(values[()].mean())
    assert half == pytest.approx(values[()].std(ddof=1))


def test_baselines_are_lines_where_they_leave_the_runs_room():
    rows = [Measured(("a",), 50.0), Measured(("a",), 52.0), Measured(("b",), 54.0)]
    lines = {"raw pixels": 48.0, "untrained": 10.0}
    figure = plots.plot_points(["sampler"], rows, label="accuracy (%)", lines=lines)
    figure.savefig(io.BytesIO())
    (panel,) = figure.axes
    flat = [line for line in panel.lines if list(line.get_ydata()) == [48.0, 48.0]]
    assert len(flat) == 1 and flat[0].get_linestyle() == "--"
    low, high = panel.get_ylim()
    assert 40 < low < 48 < high < 60
    names = [text.get_text() for text in panel.get_legend().get_texts()]
    assert names == ["mean", "raw pixels, 48.0", "untrained, 10.0: out of sight"]


def test_curves_are_means_with_a_band_over_the_steps_all_runs_have():
    random = fresh_rng()
    steps = np.arange(1, 7) * 128
    values = random.normal(50, 5, (3, 6))
    curves = [Curve(("online",), steps, row) for row in values[:2]]
    # A run that was logged at fewer steps, and a point of one run.
    curves.append(Curve(("online",), steps[1:], values[2][1:]))
    curves.append(Curve(("offline",), steps, values[0]))
    figure = plots.plot_curves(["labels"], curves, label="accuracy (%)", lines={"untrained": 49})
    figure.savefig(io.BytesIO())
    (panel,) = figure.axes
    online, offline = panel.lines[:2]
    np.testing.assert_array_equal(online.get_xdata(), steps[1:])
    np.testing.assert_allclose(online.get_ydata(), values.mean(axis=0)[1:])
    np.testing.assert_allclose(offline.get_ydata(), values[0])
    (band,) = panel.collections
    corners = band.get_paths()[0].vertices
    mean, deviation = values.mean(axis=0)[1:], values.std(axis=0, ddof=1)[1:]
    for step, m, d in zip(steps[1:], mean, deviation):
        edges = np.unique(corners[corners[:, 0] == step][:, 1])
        np.testing.assert_allclose([edges.min(), edges.max()], [m - d, m + d])
    names = [text.get_text() for text in panel.get_legend().get_texts()]
    assert names == ["online", "offline", "untrained, 49.0"]


@pytest.mark.parametrize("draw", ["curves", "points"])
def test_numbers_have_the_colours_of_a_scale_and_their_names_in_the_legend(draw):
    """Of three numbers and more; baselines stay last and grey."""
    places, lines = ["0.5", "-0.75", "0"], {"untrained": 49.0}
    if draw == "curves":
        curves = [Curve((place,), [1, 2], [50.0, 51.0 + float(place)]) for place in places]
        panel = plots.plot_curves(["margin"], curves, label="accuracy (%)", lines=lines).axes[0]
        series = panel.lines[:3]
    else:
        rows = [Measured(("a", place), 50.0 + float(place)) for place in places]
        panel = plots.plot_points(["x", "margin"], rows, label="loss", lines=lines).axes[0]
        series = [container.lines[0] for container in panel.containers]
    names = [text.get_text() for text in panel.get_legend().get_texts()]
    assert names == [*places, "untrained, 49.0"]
    colours = dict(zip(places, (tuple(line.get_color()) for line in series)))
    # The scale goes from dark to light, by the number and not by the turn.
    light = {place: sum(colour[:3]) for place, colour in colours.items()}
    assert light["-0.75"] < light["0"] < light["0.5"]
