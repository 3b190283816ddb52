"""The pictures of a sweep: which figures of its runs are drawn, and what is written beside them."""

import io
import pathlib
from typing import Any, Callable, Dict, List, Sequence

from tfssl import plots
from tfssl.settings import SettingsError
from tfssl.training.reports import read_rows
from tfssl.training.run_directory import RunDirectory, write_whole
from tfssl.training.sweeps import tables
from tfssl.training.sweeps.cells import SweepDirectory
from tfssl.training.sweeps.grid import Grid
from tfssl.training.sweeps.settings import SweepConfig

_TITLES = {
    "knn_top1": "kNN accuracy on the test split",
    "eval/knn_top1": "kNN accuracy on the test split",
    "linear_top1": "linear accuracy on the test split",
    "clusters/purity": "purity of the pseudo-labels",
}
# Whose baselines are drawn where a figure has none of its own: those of a run's last kNN, which has
# the settings of the others.
_SHARED_BASELINES = {"eval/knn_top1": "knn_top1"}
# Baselines of one seed may differ by so much and be one line: sums in another order change votes.
_ALIKE = 0.005


def draw(
    grid: Grid,
    rows: Sequence[tables.Row],
    directory: SweepDirectory,
    settings: SweepConfig,
    protocol: str = "",
) -> None:
    """Writes the pictures that are wanted, and removes the others: old ones would look current.

    Args:
        grid: the points, in the order in which they are drawn.
        rows: the runs; those without the figure are left out.
        directory: where the pictures go.
        settings: what is drawn.
        protocol: the one that judged the runs; empty for none.

    Raises:
        SettingsError: no run has the figure; the other picture is there.
        ImportError: matplotlib is missing.
    """
    drawings: Dict[pathlib.Path, Callable[[], Any]] = {}
    if settings.plot and any(row.figures for row in rows):
        metric = settings.plot_metric or default_metric(rows)
        drawings[directory.picture] = lambda: _over_grid(grid, rows, directory, metric, protocol)
        name = settings.plot_over_steps
        if name is not None:
            drawings[directory.curves] = lambda: _over_steps(grid, rows, directory, name, protocol)
    problems: List[Exception] = []
    for path in (directory.picture, directory.curves):
        try:
            if path in drawings:
                png = io.BytesIO()
                drawings[path]().savefig(png, format="png")
                write_whole(path, png.getvalue())
                continue
        except (ValueError, ImportError) as error:
            problems.append(error)
        path.unlink(missing_ok=True)
    if problems:
        raise problems[0]


def _over_grid(
    grid: Grid,
    rows: Sequence[tables.Row],
    directory: SweepDirectory,
    metric: str,
    protocol: str,
) -> Any:
    """The figure of `sweep.png`."""
    measured = [
        plots.Measured(row.cell.point, _scale(metric) * row.figures[metric])
        for row in tables.in_order(grid, rows)
        if metric in row.figures
    ]
    if not measured:
        there = dict.fromkeys([*tables.columns(rows), *scalars(rows, directory)])
        raise _nowhere("plot_metric", metric, list(there))
    lines = _baselines(rows, metric, protocol)
    return plots.plot_points(grid.axes, measured, label=_title(metric), lines=lines)


def _over_steps(
    grid: Grid,
    rows: Sequence[tables.Row],
    directory: SweepDirectory,
    name: str,
    protocol: str,
) -> Any:
    """The figure of `over_steps.png`."""
    curves = []
    for row in tables.in_order(grid, rows):
        points = _scalar(directory.run(row.cell), name) if row.figures else {}
        if points:
            values = [_scale(name) * value for value in points.values()]
            curves.append(plots.Curve(row.cell.point, list(points), values))
    if not curves:
        raise _nowhere("plot_over_steps", name, scalars(rows, directory))
    lines = _baselines(rows, name, protocol)
    return plots.plot_curves(grid.axes, curves, label=_title(name), lines=lines)


def check_metrics(
    rows: Sequence[tables.Row], directory: SweepDirectory, wanted: Sequence[str]
) -> None:
    """Raises SettingsError where no finished run has a scalar that is wanted as a column."""
    there = scalars(rows, directory)
    for name in wanted:
        if there and name not in there:
            raise _nowhere("metrics", name, there)


def scalars(rows: Sequence[tables.Row], directory: SweepDirectory) -> Sequence[str]:
    """The names of all scalars in the `metrics.jsonl` of finished runs."""
    finished = [directory.run(row.cell) for row in rows if row.figures]
    return sorted({name for run in finished for name in tables.last_values(run)})


def default_metric(rows: Sequence[tables.Row]) -> str:
    """kNN accuracy where a run has measured it, else the loss."""
    return "knn_top1" if any("knn_top1" in row.figures for row in rows) else "loss"


def _scalar(run: RunDirectory, name: str) -> Dict[int, float]:
    """Step -> value of one scalar."""
    return {row["step"]: row[name] for row in read_rows(run.metrics) if name in row}


def _scale(name: str) -> float:
    return 100.0 if tables.is_fraction(name) else 1.0


def _title(name: str) -> str:
    return _TITLES.get(name, name) + (" (%)" if tables.is_fraction(name) else "")


def _baselines(rows: Sequence[tables.Row], name: str, protocol: str) -> Dict[str, float]:
    """What a figure is of the untrained encoder and of raw pixels, where all runs have one.

    Other encoders or data have baselines of their own: then no line is right, and the tables tell
    them. Runs are compared with those of their seed, because it makes untrained encoders differ.
    """
    own = name if protocol == "knn" else _SHARED_BASELINES.get(name, name)
    lines = {}
    for words in ("untrained", "raw pixels"):
        column = f"{own}_{words.replace(' ', '_')}"
        by_seed: Dict[int, List[float]] = {}
        for row in rows:
            if column in row.figures:
                by_seed.setdefault(row.cell.seed, []).append(row.figures[column])
        if by_seed and all(max(found) - min(found) <= _ALIKE for found in by_seed.values()):
            lines[words] = _scale(name) * tables.spread(sum(by_seed.values(), [])).mean
    return lines


def _nowhere(flag: str, name: str, there: Sequence[str]) -> SettingsError:
    return SettingsError(
        f"--{flag}: expected what a finished run has measured, one of {', '.join(there)}. "
        f"Received: {name}. The runs and tables are kept; the same command with another name adds "
        "what is missing."
    )
