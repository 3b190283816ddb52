"""The tables of a sweep agree with NumPy and say how many runs are behind a figure."""

import csv
import io
import json

import numpy as np
import pytest

from tests.random_inputs import fresh_rng
from tfssl.training.run_directory import RunDirectory
from tfssl.training.sweeps import tables
from tfssl.training.sweeps.grid import Cell, Grid

AXES = ("lr", "sampler")
POINTS = [("0.5", "hard"), ("0.5", "random"), ("0.25", "hard"), ("0.25", "random")]


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def sweep():
    """Four points with three seeds, of which one has failed and one is to come; random figures."""
    random = fresh_rng()
    cells = [Cell(f"{p}-{s}", p, s, f"{p}{s}", None) for s in (0, 1, 2) for p in POINTS]
    rows = []
    for number, cell in enumerate(cells):
        figures = {"loss": random.normal(), "knn_top1": random.uniform()}
        if cell.point[1] == "hard":
            figures["clusters/purity"] = random.uniform()
        state = {3: "failed", 8: "open"}.get(number, "finished")
        rows.append(tables.Row(cell, state, "npid", figures if state == "finished" else {}))
    return Grid(AXES, tuple(cells)), rows


@pytest.mark.parametrize("name", ["accuracy", "eval/knn_top1", "linear_top5", "clusters/purity"])
def test_fractions_are_shown_in_per_cent(name):
    cell = Cell("run", (), 0, "", None)
    row = tables.Row(cell, "finished", "odc", {name: 0.125, "loss": 0.25})
    text = tables.markdown(Grid((), (cell,)), [row], "")
    assert f"{name} (%)" in text and "| 12.5 |" in text and "loss (%)" not in text


def test_a_row_a_run(sweep):
    grid, rows = sweep
    found = read(tables.cells_csv(grid, rows))
    assert [row["run"] for row in found] == [f"{p}-{s}" for p in POINTS for s in (0, 1, 2)]
    for row, line in zip(sorted(rows, key=lambda r: POINTS.index(r.cell.point)), found):
        assert (line["--lr"], line["--sampler"]) == row.cell.point
        assert int(line["seed"]) == row.cell.seed and line["state"] == row.state
        for name in ("loss", "knn_top1", "clusters/purity"):
            expected = row.figures.get(name)
            assert line[name] == ("" if expected is None else repr(expected))


def test_a_row_a_point_with_numpys_mean_and_sample_deviation(sweep):
    grid, rows = sweep
    found = read(tables.points_csv(grid, rows))
    assert [(line["--lr"], line["--sampler"]) for line in found] == POINTS
    for point, line in zip(POINTS, found):
        own = [row for row in rows if row.cell.point == point]
        assert int(line["seeds"]) == 3
        assert int(line["finished"]) == sum(row.state == "finished" for row in own)
        assert int(line["failed"]) == sum(row.state == "failed" for row in own)
        for name in ("loss", "knn_top1", "clusters/purity"):
            values = np.array([r.figures[name] for r in own if name in r.figures])
            if not len(values):
                assert line[f"{name} mean"] == line[f"{name} deviation"] == ""
                continue
            mean, deviation = float(line[f"{name} mean"]), float(line[f"{name} deviation"])
            np.testing.assert_allclose(mean, values.sum() / len(values), rtol=1e-12)
            expected = np.sqrt(((values - values.mean()) ** 2).sum() / (len(values) - 1))
            np.testing.assert_allclose(deviation, expected, rtol=1e-9)


def test_a_point_of_one_run_has_no_deviation(sweep):
    grid, rows = sweep
    rows = [r if r.cell.seed == 0 else r._replace(state="open", figures={}) for r in rows]
    line = read(tables.points_csv(grid, rows))[0]
    assert float(line["loss mean"]) == rows[0].figures["loss"]
    assert line["loss deviation"] == ""
    text = tables.markdown(grid, rows, "the command")
    assert f"| {100 * rows[0].figures['knn_top1']:.1f} |" in text
    assert "±" not in text.partition("\n\n")[0]


def test_the_table_for_a_reader(sweep):
    grid, rows = sweep
    header, rule, *lines = tables.markdown(grid, rows, "a command").split("\n\n")[0].splitlines()
    assert header == "| --lr | --sampler | seeds | loss | knn_top1 (%) | clusters/purity (%) |"
    assert rule.count("---") == 6
    cells = [[entry.strip() for entry in line.strip("|").split("|")] for line in lines]
    assert [line[2] for line in cells] == ["2 of 3", "3", "3", "2 of 3, 1 failed"]
    own = [100 * r.figures["knn_top1"] for r in rows if r.cell.point == POINTS[1]]
    assert cells[1][4] == f"{np.mean(own):.1f} ± {np.std(own, ddof=1):.1f}"
    assert cells[1][5] == ""


def test_an_axis_may_have_the_name_of_a_figure_or_a_column():
    axes = ("steps", "seed", "loss")
    cell = Cell("run", ("40", "5", "nce"), 0, "", None)
    row = tables.Row(cell, "finished", "npid", {"steps": 2, "loss": 0.5})
    grid = Grid(axes, (cell,))
    (line,) = read(tables.cells_csv(grid, [row]))
    assert [line[f"--{axis}"] for axis in axes] == ["40", "5", "nce"]
    assert (line["steps"], line["seed"], line["loss"]) == ("2", "0", "0.5")
    texts = [tables.points_csv(grid, [row]), tables.markdown(grid, [row], "").replace(" | ", ",")]
    for header in (text.splitlines()[0].split(",") for text in texts):
        assert len(set(header)) == len(header)


@pytest.mark.parametrize(
    "values, fraction, expected",
    [
        ([0.5], True, "50.0"),
        ([0.5, 0.52], True, "51.0 ± 1.4"),
        ([640, 640], False, "640 ± 0"),
        ([2.3456789], False, "2.346"),
        ([0.00123456], False, "0.001235"),
        ([11.8228, 11.2588], False, "11.54 ± 0.40"),
        ([123456.0, 123460.0], False, "123458.0 ± 2.8"),
        ([123456.0, 123956.0], False, "123706 ± 354"),
        ([0.0], False, "0"),
        ([0.1, 0.1, 0.1], False, "0.1000 ± 0.0000"),
        ([1e-12, -1e-12], False, "0 ± 1.414e-12"),
        ([1.23456e-9], False, "1.235e-09"),
        ([1.5e300], False, "1.5e+300"),
        ([float("nan")], False, "nan"),
        ([float("nan"), 1.0], False, "nan ± nan"),
        ([float("inf"), 1.0], False, "inf ± nan"),
        ([float("-inf")], False, "-inf"),
        ([float("nan"), 0.5], True, "nan ± nan"),
        ([1e200, 3e200], False, "2e+200 ± inf"),
    ],
)
def test_figures_are_shown_to_the_digits_that_mean_something(values, fraction, expected):
    assert tables.shown(tables.spread(values), fraction) == expected


@pytest.mark.parametrize("scale", [0.1, 1e-9, 3e7])
def test_equal_values_have_no_deviation_and_others_have(scale):
    value = scale * fresh_rng().uniform(0.3, 0.4)
    assert tables.spread([value] * 3).deviation == 0
    assert tables.spread([value, value, value * (1 + 1e-7)]).deviation > 0


def test_the_figures_of_a_run(tmp_path):
    run = RunDirectory(tmp_path)
    contenders = {"trained": {"top1": 0.5}, "untrained": {"top1": 0.25}}
    result = {"method": "npid", "steps": 4, "train_seconds": 1.5, "final": {"loss": 2.0}}
    run.result.write_text(json.dumps({**result, "knn": contenders}))
    rows = [
        {"step": 2, "loss": 3.0, "lr": 0.1, "accuracy": 0.125},
        {"step": 2, "clusters/purity": 0.25, "eval/knn_top1": 0.375},
        {"step": 4, "loss": 2.0, "lr": 0.2, "intra": 7.0},
        {"step": 4, "clusters/purity": 0.5},
    ]
    run.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    judged = {"trained": {"top1": 0.625}, "raw pixels": {"top1": 0.125}}
    method, figures = tables.figures_of(run, judged, "linear", ["lr", "inter", "step"])
    other_k = tables.figures_of(run, {"trained": {"top1": 0.75}}, "knn")[1]
    assert [name for name in other_k if name.startswith("knn")] == ["knn_top1"]
    assert other_k["knn_top1"] == 0.75
    assert "knn_top1" not in tables.figures_of(run, None, "knn")[1]
    assert method == "npid"
    assert figures == {
        "steps": 4,
        "train_seconds": 1.5,
        "loss": 2.0,
        "knn_top1": 0.5,
        "knn_top1_untrained": 0.25,
        "linear_top1": 0.625,
        "linear_top1_raw_pixels": 0.125,
        "clusters/purity": 0.5,
        "eval/knn_top1": 0.375,
        "lr": 0.2,
    }
