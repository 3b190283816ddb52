"""The pictures of a sweep: which figures of its runs are drawn, and what is written beside them."""

from typing import Dict, List, Optional, Sequence

from tfssl import plots
from tfssl.settings import SettingsError
from tfssl.training.reports import read_rows
from tfssl.training.run_directory import RunDirectory
from tfssl.training.sweeps import tables
from tfssl.training.sweeps.cells import SweepDirectory
from tfssl.training.sweeps.grid import Grid

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
    *,
    metric: Optional[str],
    over_steps: Optional[str],
    protocol: str = "",
) -> None:
    """Writes `sweep.png`, and `over_steps.png` where a scalar is named.

    Args:
        grid: the points, in the order in which they are drawn.
        rows: the runs; those without the figure are left out.
        directory: where the pictures go.
        metric: a figure of the rows; None for the default.
        over_steps: a scalar of `metrics.jsonl`.
        protocol: the one that judged the runs; empty for none.

    Raises:
        SettingsError: no run has the figure.
        ImportError: matplotlib is missing.
    """
    metric = metric or default_metric(rows)
    measured = [
        plots.Measured(row.cell.point, _scale(metric) * row.figures[metric])
        for row in in_order(grid, rows)
        if metric in row.figures
    ]
    if not measured:
        raise _nowhere("plot_metric", metric, tables.columns(rows))
    figure = plots.plot_points(
        grid.axes, measured, label=_title(metric), lines=_baselines(rows, metric, protocol)
    )
    figure.savefig(directory.picture)
    if over_steps is None:
        return
    curves = []
    for row in in_order(grid, rows):
        points = _scalar(directory.run(row.cell), over_steps) if row.figures else {}
        if points:
            values = [_scale(over_steps) * value for value in points.values()]
            curves.append(plots.Curve(row.cell.point, list(points), values))
    if not curves:
        raise _nowhere("plot_over_steps", over_steps, scalars(rows, directory))
    figure = plots.plot_curves(
        grid.axes, curves, label=_title(over_steps), lines=_baselines(rows, over_steps, protocol)
    )
    figure.savefig(directory.curves)


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


def in_order(grid: Grid, rows: Sequence[tables.Row]) -> Sequence[tables.Row]:
    """The rows by point, and by seed within a point."""
    return sorted(rows, key=lambda row: grid.points.index(row.cell.point))


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
        f"--{flag}: expected a figure of the runs, one of {', '.join(there) or '(none finished)'}. "
        f"Received: {name}. The runs and tables are kept; the same command with another name draws."
    )
