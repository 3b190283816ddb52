"""The pictures of a sweep: which lines and figures are drawn."""

import pytest

from tfssl.settings import SettingsError
from tfssl.training.sweeps import SweepConfig, SweepDirectory, pictures, tables
from tfssl.training.sweeps.grid import Cell, Grid

pytest.importorskip("matplotlib")
from tfssl import plots  # noqa: E402

SEEDS = (0, 1)


def sweep(*points, figures):
    """Points with two seeds and the figures that a function of point and seed gives."""
    cells = tuple(Cell(f"{p}-{s}", (p,), s, "", None) for s in SEEDS for p in points)
    rows = [tables.Row(c, "finished", "npid", figures(c.point[0], c.seed)) for c in cells]
    return Grid(("flag",), cells), rows


@pytest.fixture
def draw(tmp_path, monkeypatch):
    """Draws a sweep; returns what the figure over the grid was made of."""
    drawn = {}
    real = plots.plot_points

    def note(axes, measured, **more):
        drawn.update(more, measured=measured)
        return real(axes, measured, **more)

    monkeypatch.setattr(plots, "plot_points", note)

    def draw(grid, rows, metric, protocol=""):
        directory = SweepDirectory(tmp_path)
        pictures.draw(grid, rows, directory, SweepConfig(plot_metric=metric), protocol)
        assert directory.picture.read_bytes().startswith(b"\x89PNG")
        return drawn

    return draw


def knn(trained, untrained):
    return {"knn_top1": trained, "knn_top1_untrained": untrained, "knn_top1_raw_pixels": 0.25}


def test_a_baseline_is_a_line_where_runs_of_a_seed_share_it(draw):
    grid, rows = sweep("hard", "random", figures=lambda point, seed: knn(0.5, 0.125 + seed / 4))
    lines = draw(grid, rows, "knn_top1")["lines"]
    assert lines == {"untrained": pytest.approx(25.0), "raw pixels": 25.0}


def test_encoders_that_differ_have_no_common_line(draw):
    encoders = {"tiny": 0.125, "resnet18": 0.375}
    grid, rows = sweep(*encoders, figures=lambda point, seed: knn(0.5, encoders[point]))
    assert draw(grid, rows, "knn_top1")["lines"] == {"raw pixels": 25.0}


def test_online_knn_has_the_baselines_of_the_run_alone(draw):
    grid, rows = sweep("a", figures=lambda *_: {"eval/knn_top1": 0.5, **knn(0.5, 0.125)})
    assert draw(grid, rows, "eval/knn_top1")["lines"] == {"untrained": 12.5, "raw pixels": 25.0}
    # Judged with another k, they are no baselines of it.
    assert draw(grid, rows, "eval/knn_top1", "knn")["lines"] == {}
    assert draw(grid, rows, "knn_top1", "knn")["lines"] == {"untrained": 12.5, "raw pixels": 25.0}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_figures_that_are_no_numbers_do_not_end_the_drawing(draw, value):
    losses = {("a", 0): value, ("a", 1): 1.0, ("b", 0): 2.0, ("b", 1): 3.0}
    grid, rows = sweep("a", "b", figures=lambda *which: {"loss": losses[which]})
    draw(grid, rows, "loss")
    assert str(value) in tables.markdown(grid, rows, "")
    grid, rows = sweep("a", figures=lambda *_: {"loss": value})
    draw(grid, rows, "loss")


def test_pictures_that_are_not_drawn_anew_are_removed(stage):
    both = (stage.directory.picture, stage.directory.curves)
    stage.sweep("lr=1,2", plot=True, plot_over_steps="loss").run()
    assert [path.exists() for path in both] == [True, True]
    stage.sweep("lr=1,2", plot=True).run()
    assert [path.exists() for path in both] == [True, False]
    # One that cannot be drawn does not keep the other away.
    with pytest.raises(SettingsError, match="--plot_metric: .*steps, .*loss, inter. Rec.*: intra"):
        stage.sweep("lr=1,2", plot=True, plot_metric="intra", plot_over_steps="loss").run()
    assert [path.exists() for path in both] == [False, True]
    stage.sweep("lr=1,2").run()  # --noplot
    assert [path.exists() for path in both] == [False, False]
    assert not list(stage.path.glob("*.tmp"))


def test_pictures_show_what_the_runs_have(stage, monkeypatch):
    drawn = {}
    for name in ("plot_points", "plot_curves"):
        real = getattr(plots, name)

        def note(*arguments, name=name, real=real, **more):
            drawn[name] = (*arguments, more["label"])
            return real(*arguments, **more)

        monkeypatch.setattr(plots, name, note)
    stage.sweep("lr=1,2", plot=True, plot_metric="inter", plot_over_steps="loss").run()
    axes, measured, label = drawn["plot_points"]
    assert axes == ("lr",) and label == "inter"
    assert measured == [(("1",), 1.0), (("1",), 2.0), (("2",), 2.0), (("2",), 3.0)]
    axes, curves, label = drawn["plot_curves"]
    assert curves[1] == (("1",), [2, 4], [4.0, 2.0])
    for picture in (stage.directory.picture, stage.directory.curves):
        assert picture.read_bytes().startswith(b"\x89PNG")

    with pytest.raises(SettingsError, match="--plot_metric: .*loss.*Received: knn_top1"):
        stage.sweep("lr=1,2", plot=True, plot_metric="knn_top1").run()
    with pytest.raises(
        SettingsError, match="--plot_over_steps: .*one of inter, loss. Received: intra"
    ):
        stage.sweep("lr=1,2", plot=True, plot_over_steps="intra").run()
