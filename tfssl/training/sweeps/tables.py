"""The tables of a sweep: a row a run, and a row a point of the grid with mean and deviation."""

import csv
import io
import math
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from tfssl.training.reports import read_rows
from tfssl.training.run_directory import RunDirectory
from tfssl.training.sweeps.grid import Cell, Grid

# Scalars of metrics.jsonl with these groups are columns unasked.
_PROBES = ("eval/", "clusters/", "collapse/")
# Fractions, which people read as per cent.
# The figure of a protocol, whichever it has.
HEADLINES = ("top1", "estimate", "mean_distance")
_FRACTIONS = ("accuracy", "top1", "top5", "purity")
# A smaller deviation, relative to the mean, is what equal values get by rounding.
_ROUNDING = 1e-9
# More decimals, or more digits before the point, are written as powers of ten.
_MOST_DECIMALS, _LARGEST = 6, 1e12


class Row(NamedTuple):
    """A run of a sweep: which it is, how far it is, and its figures by name."""

    cell: Cell
    state: str
    method: str
    figures: Dict[str, float]


class Spread(NamedTuple):
    """A figure over the seeds of a point.

    Attributes:
        mean: over the runs that have the figure.
        deviation: that of a sample (n - 1 in the denominator); None for one run.
        count: how many runs have it.
    """

    mean: float
    deviation: Optional[float]
    count: int


def is_fraction(name: str) -> bool:
    """Whether a figure is a fraction that is shown in per cent."""
    return any(word in name for word in _FRACTIONS)


def figures_of(
    run: RunDirectory,
    judgement: Optional[Mapping[str, Mapping]] = None,
    protocol: str = "",
    metrics: Sequence[str] = (),
) -> Tuple[str, Dict[str, float]]:
    """The method of a finished run, and its figures.

    Accuracies are fractions. `knn_top1` is that of the trained encoder after the last step, with
    `_untrained` and `_raw_pixels` behind it that of the baselines; a protocol's figures are named
    likewise. Where the protocol is kNN too, the run's own figures are left out: theirs are other
    settings. Scalars of `metrics.jsonl` keep their names.

    Args:
        run: a finished run.
        judgement: contender -> result of an evaluation protocol; None where there is none yet.
        protocol: its name; empty for none.
        metrics: scalars of `metrics.jsonl` to take beside the probes, where the run has them.
    """
    result = run.finished()
    figures = {
        "steps": result["steps"],
        "train_seconds": result["train_seconds"],
        "loss": result["final"]["loss"],
    }
    own = {} if protocol == "knn" else result["knn"]
    for name, contenders in (("knn", own), (protocol, judgement or {})):
        for contender, measured in contenders.items():
            suffix = "" if contender == "trained" else f"_{contender.replace(' ', '_')}"
            figure = next(name for name in HEADLINES if name in measured)
            figures[f"{name}_{figure}{suffix}"] = measured[figure]
    for name, value in last_values(run).items():
        if name.startswith(_PROBES) or name in metrics:
            figures.setdefault(name, value)
    return result["method"], figures


def last_values(run: RunDirectory) -> Dict[str, float]:
    """The last value of every scalar in a run's `metrics.jsonl`."""
    rows = read_rows(run.metrics)
    return {name: value for row in rows for name, value in row.items() if name != "step"}


def in_order(grid: Grid, rows: Sequence[Row]) -> List[Row]:
    """The rows by point, in the order of the grid; those of a point keep theirs."""
    return sorted(rows, key=lambda row: grid.points.index(row.cell.point))


def columns(rows: Sequence[Row]) -> List[str]:
    """The names of all figures, probes last."""
    names = dict.fromkeys(name for row in rows for name in row.figures)
    return sorted(names, key=lambda name: "/" in name)


def spread(values: Sequence[float]) -> Optional[Spread]:
    """Mean and sample deviation; None of no values. Of values with a NaN both are NaN."""
    if not values:
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        mean = float(np.mean(values))
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    if deviation is not None and deviation <= _ROUNDING * abs(mean):
        deviation = 0.0
    return Spread(mean, deviation, len(values))


def spreads(rows: Sequence[Row], point: Tuple[str, ...]) -> Dict[str, Spread]:
    """Every figure of a point, over its seeds."""
    own = [row.figures for row in rows if row.cell.point == point]
    return {
        name: spread([figures[name] for figures in own if name in figures])
        for name in columns(rows)
        if any(name in figures for figures in own)
    }


def cells_csv(grid: Grid, rows: Sequence[Row]) -> str:
    """A row a run: the axes, seed, state, method and every figure; fractions stay fractions."""
    names = columns(rows)
    lines = [["run", *_flags(grid), "seed", "state", "method", *names]]
    for row in in_order(grid, rows):
        known = [row.figures.get(name, "") for name in names]
        lines.append([row.cell.name, *row.cell.point, row.cell.seed, row.state, row.method, *known])
    return _csv(lines)


def points_csv(grid: Grid, rows: Sequence[Row]) -> str:
    """A row a point: the axes, how many seeds have finished, and mean and deviation."""
    names = columns(rows)
    pairs = [f"{name} {what}" for name in names for what in ("mean", "deviation")]
    lines = [[*_flags(grid), "finished", "failed", "seeds", *pairs]]
    for point in grid.points:
        found = spreads(rows, point)
        values: List[Any] = []
        for name in names:
            mean, deviation, _ = found.get(name, ("", None, 0))
            values += [mean, "" if deviation is None else deviation]
        lines.append([*point, *_counts(rows, point), *values])
    return _csv(lines)


def markdown(grid: Grid, rows: Sequence[Row], command: str) -> str:
    """The table of the points for a reader, fractions in per cent, and where it comes from."""
    names = columns(rows)
    titles = [f"{name} (%)" if is_fraction(name) else name for name in names]
    lines = [[*_flags(grid), "seeds", *titles]]
    for point in grid.points:
        found = spreads(rows, point)
        figures = [shown(found[name], is_fraction(name)) if name in found else "" for name in names]
        lines.append([*point, _seeds(*_counts(rows, point)), *figures])
    texts = [[str(entry).replace("|", "\\|") for entry in line] for line in lines]
    texts.insert(1, ["---"] * len(grid.axes) + ["---:"] * (1 + len(names)))
    table = "\n".join(f"| {' | '.join(line)} |" for line in texts)
    return (
        f"{table}\n\nMean ± sample standard deviation over the seeds; of one seed its value.\n"
        f"Made by `{command}`.\n"
    )


def _flags(grid: Grid) -> List[str]:
    """The axes as columns, written as flags: `--steps` is what was asked for, `steps` a figure."""
    return [f"--{axis}" for axis in grid.axes]


def _counts(rows: Sequence[Row], point: Tuple[str, ...]) -> Tuple[int, int, int]:
    """How many seeds of a point have finished, have failed, and there are."""
    states = [row.state for row in rows if row.cell.point == point]
    return states.count("finished"), states.count("failed"), len(states)


def _seeds(finished: int, failed: int, total: int) -> str:
    """The counts in words, as few as possible."""
    words = f"{finished}" if finished == total else f"{finished} of {total}"
    return f"{words}, {failed} failed" if failed else words


def shown(figure: Spread, fraction: bool) -> str:
    """A figure as `52.3 ± 0.4`, a fraction in per cent; the deviation decides the decimals."""
    numbers = [figure.mean] if figure.deviation is None else [figure.mean, figure.deviation]
    if fraction:
        return " ± ".join(f"{100 * number:.1f}" for number in numbers)
    form = _form(figure) if all(map(math.isfinite, numbers)) else "g"
    return " ± ".join(f"{number:{form}}" for number in numbers)


def _form(figure: Spread) -> str:
    """How a finite figure is written: to two digits of its deviation, else to four of its own."""
    if figure.deviation:
        decimals = 1 - math.floor(math.log10(figure.deviation))
    elif figure.mean == round(figure.mean):
        decimals = 0
    else:
        decimals = 3 - math.floor(math.log10(abs(figure.mean)))
    if decimals > _MOST_DECIMALS or abs(figure.mean) >= _LARGEST:
        return ".4g"
    return f".{max(0, decimals)}f"


def _csv(lines: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
