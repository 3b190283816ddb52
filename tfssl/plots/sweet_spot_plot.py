"""Accuracy over I_NCE along a swept property of views, with the sweet spot marked."""

import re
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from tfssl.plots.dot_names import name_dots
from tfssl.plots.information_plot import Shared

_SEED = "seed"


class Point(NamedTuple):
    """The runs of one value of what is swept: means over seeds, and deviations.

    Attributes:
        value: as the runs' names have it.
        information: nats.
        accuracy: a fraction.
        information_std, accuracy_std: over the seeds; 0 of a single one.
    """

    value: str
    information: float
    accuracy: float
    information_std: float = 0.0
    accuracy_std: float = 0.0


def sweet_spots(runs: Sequence[Shared]) -> Dict[str, List[Point]]:
    """Sorts the runs of a sweep into curves.

    Args:
        runs: with names of the form `axis=value,axis=value`. The last axis but the seed is what is
            swept; each setting of the others has a curve of its own.

    Returns:
        Curves by name, "" where there is only one: points in the order of their values where these
        are numbers, else from much information to little.

    Raises:
        ValueError: a name of another form, names of different axes, or a number that is not finite.
    """
    parts = [_parts(run.name) for run in runs]
    axes = [axis for axis, _ in parts[0]] if parts else []
    if not axes or any([axis for axis, _ in part] != axes for part in parts):
        raise ValueError(
            "runs: expected those of one sweep, with names such as crop_min_area=0.2,seed=0. "
            f"Received: {', '.join(run.name for run in runs) or 'none'}."
        )
    if not np.isfinite([run[1:3] for run in runs]).all():
        raise ValueError(f"runs: expected finite numbers. Received: {list(runs)}.")
    found: Dict[Tuple[str, str], List[Shared]] = {}
    for run, part in zip(runs, parts):
        *others, (_, value) = part
        name = ", ".join(value for _, value in others)
        found.setdefault((name, value), []).append(run)
    curves: Dict[str, List[Point]] = {}
    for (name, value), same in found.items():
        numbers = np.array([run[1:3] for run in same])
        means, deviations = numbers.mean(axis=0), numbers.std(axis=0)
        curves.setdefault(name, []).append(Point(value, *means, *deviations))
    return {name: _ordered(points) for name, points in curves.items()}


def plot_sweet_spots(runs: Sequence[Shared], *, label: str, measure: str):
    """Draws a curve of accuracy over I_NCE for each kind of run, a star at its highest point.

    InfoMin, Tian et al. 2020, arXiv 2005.10243, Figures 4 to 6 and section C.2: with strong views
    I_NCE is low. The points of a curve are joined in the order of the swept values, which stand
    beside them; crosses are deviations over seeds, rings untrained encoders.

    Args:
        runs: see `sweet_spots`; one at least.
        label: what kind of accuracy.
        measure: what has measured the information.

    Returns:
        A matplotlib `Figure`.

    Raises:
        ValueError: see `sweet_spots`.
        ImportError: matplotlib is missing.
    """
    curves = sweet_spots(runs)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.6), dpi=120, layout="constrained")
    panel = figure.subplots()
    for number, (name, points) in enumerate(curves.items()):
        _draw_curve(panel, points, name or None, f"C{number}")
    rings = [(run.information, 100 * run.untrained) for run in runs if run.untrained is not None]
    if rings:
        panel.scatter(*zip(*rings), facecolors="none", edgecolors="0.5", label="untrained")
    panel.set_xlabel(f"I_NCE (nats), {measure}")
    panel.set_ylabel(f"{label} (%)")
    panel.margins(0.1)
    figure.legend(loc="outside upper right", ncols=3, fontsize=8)
    named = [(p, f"C{i}") for i, points in enumerate(curves.values()) for p in points]
    name_dots(
        *(figure, panel),
        [_dot(point) for point, _ in named],
        [point.value for point, _ in named],
        [colour for _, colour in named],
    )
    return figure


def sweet_spot(points: Sequence[Point]) -> Point:
    """The most accurate point of a curve."""
    return max(points, key=lambda point: point.accuracy)


def _dot(point: Point) -> Tuple[float, float]:
    """Nats and percent."""
    return point.information, 100 * point.accuracy


def _draw_curve(panel, points: Sequence[Point], name: str, colour: str) -> None:
    """The points, joined; the best one is a star."""
    x, y = zip(*map(_dot, points))
    spread = {
        "xerr": [point.information_std for point in points],
        "yerr": [100 * point.accuracy_std for point in points],
    }
    bars = spread if any(map(any, spread.values())) else {}
    panel.errorbar(x, y, fmt="o-", color=colour, label=name, markersize=4, linewidth=1, **bars)
    best = sweet_spot(points)
    words = f"sweet spot: {best.value}, {best.information:.2f} nats"
    panel.plot(
        *_dot(best),
        marker="*",
        markersize=15,
        color=colour,
        linestyle="none",
        label=words,
    )


def _parts(name: str) -> List[Tuple[str, str]]:
    """Axes and values of a run's name, without the seed."""
    pairs = [part.partition("=") for part in re.split(r",(?=\w+=)", name)]
    return [(axis, value) for axis, equals, value in pairs if equals and axis != _SEED]


def _ordered(points: Sequence[Point]) -> List[Point]:
    """By value where all are numbers, else from much information to little."""
    try:
        return sorted(points, key=lambda point: float(point.value))
    except ValueError:
        return sorted(points, key=lambda point: -point.information)
