"""Figures of a sweep: a figure of merit over the grid, and over the steps of training.

Both take plain numbers, whichever runs they come from. They need matplotlib, the extra `plots`.
"""

import itertools
import textwrap
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

# Inches: a panel, what a legend beside it takes, and the least room of a name below it.
_WIDTH, _HEIGHT, _LEGEND, _NAME = 6.4, 4.2, 2.6, 1.15
_NAME_LENGTH = 14  # Letters of a name before it is broken.
# Points: from a mean to the dots of its runs, and from one series to the next.
_ASIDE, _APART = 6.0, 3.0
# Positive values that span more than this factor have a logarithmic axis.
_LOGARITHMIC = 50
_GREY = "0.35"
_ABOUT = "mean ± sample standard deviation over the seeds"


class Measured(NamedTuple):
    """A run's figure: the point of the grid, a value an axis, and what was measured there."""

    point: Tuple[str, ...]
    value: float


class Curve(NamedTuple):
    """A run's figure over the steps, both `[n]`."""

    point: Tuple[str, ...]
    steps: Sequence[float]
    values: Sequence[float]


def check_matplotlib() -> None:
    """Raises ImportError, with the remedy, where matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "Pictures: expected matplotlib. Received: not installed. Remedy: "
            "pip install -e '.[plots]', or --noplot."
        ) from error


def plot_points(
    axes: Sequence[str],
    measured: Sequence[Measured],
    *,
    label: str,
    lines: Optional[Mapping[str, float]] = None,
):
    """Draws the mean over the seeds with the deviation as error bars, and single runs as dots.

    The first axis of the grid lies along x: as numbers where all its values are, else at places of
    their own. Every combination of values of the other axes is a series.

    Args:
        axes: the names of the grid's axes.
        measured: one entry a run; points and series keep the order in which they come.
        label: what was measured, with its unit.
        lines: baselines, name -> value, drawn from side to side. One that is so far away that the
            runs could not be told apart stands in the legend alone.

    Returns:
        A matplotlib `Figure`. An error bar is the sample standard deviation (n - 1) up and down;
        one run has none.
    """
    figure, panel = _panel(measured, "; dots are single runs")
    series: Dict[Tuple[str, ...], Dict[str, List[float]]] = {}
    for point, value in measured:
        first = point[0] if point else "all runs"
        series.setdefault(point[1:], {}).setdefault(first, []).append(value)
    firsts = list(dict.fromkeys(first for groups in series.values() for first in groups))
    numbers = _numbers(firsts)
    places = dict(zip(firsts, numbers or range(len(firsts))))
    for turn, (colour, groups) in enumerate(zip(_colours(series), series.values())):
        side = turn - (len(series) - 1) / 2
        # Series stand side by side: at names by a part of their distance, at numbers by a hair.
        shift, points = (0.0, _APART * side) if numbers else (0.5 * side / len(series), 0.0)
        names = sorted(groups, key=places.get)
        _draw_series(
            *(figure, panel, [places[name] + shift for name in names]),
            [groups[name] for name in names],
            move=points,
            style="o-" if numbers else "o",
            color=colour,
            label=_series_name(list(series)[turn]),
        )
    _draw_lines(panel, lines or {})
    if numbers:
        _numeric_axis(panel, numbers)
    else:
        panel.set_xticks(range(len(firsts)), [_wrapped(name) for name in firsts])
        panel.set_xlim(-0.5, len(firsts) - 0.5)
        figure.set_figwidth(max(_WIDTH, _NAME * len(firsts)))
    panel.set_xlabel(axes[0] if axes else "")
    panel.set_ylabel(label)
    _legend(figure, panel, axes[1:])
    return figure


def plot_curves(
    axes: Sequence[str],
    curves: Sequence[Curve],
    *,
    label: str,
    lines: Optional[Mapping[str, float]] = None,
):
    """Draws the mean over the seeds at every step, with a band of one deviation up and down.

    Args:
        axes: the names of the grid's axes.
        curves: one entry a run. Of one point, the steps that all its runs have are drawn.
        label: what was measured, with its unit.
        lines: baselines; see `plot_points`.

    Returns:
        A matplotlib `Figure`. The band is the sample standard deviation (n - 1); one run has none.
    """
    figure, panel = _panel(curves)
    points: Dict[Tuple[str, ...], List[Dict[float, float]]] = {}
    for point, steps, values in curves:
        points.setdefault(point, []).append(dict(zip(steps, values)))
    for colour, (point, runs) in zip(_colours(points), points.items()):
        steps = sorted(set.intersection(*(set(run) for run in runs)))
        table = np.array([[run[step] for step in steps] for run in runs])
        mean = table.mean(axis=0)
        marker = "o" if len(steps) <= 30 else ""
        name = _series_name(point)
        panel.plot(steps, mean, color=colour, marker=marker, ms=3, label=name)
        if len(runs) > 1:
            spread = table.std(axis=0, ddof=1)
            panel.fill_between(steps, mean - spread, mean + spread, color=colour, alpha=0.18, lw=0)
    _draw_lines(panel, lines or {})
    panel.xaxis.get_major_locator().set_params(integer=True)
    panel.set_xlabel("optimizer step")
    panel.set_ylabel(label)
    _legend(figure, panel, axes)
    return figure


def _panel(rows: Sequence, more: str = "") -> Tuple[Any, Any]:
    """An empty figure with one panel, made without a window or pyplot's state.

    Where points have several runs, a line says what is drawn of them.
    """
    check_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=150, layout="constrained")
    panel = figure.add_subplot()
    panel.grid(axis="y", color="0.9")
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    if len({row.point for row in rows}) < len(rows):
        panel.set_title(_ABOUT + more, loc="left", fontsize="small", color=_GREY)
    return figure, panel


def _draw_series(figure, panel, x, groups, *, move: float, style: str, **look) -> None:
    """Means at `x` with error bars, moved by some points, and the single runs to their left."""
    from matplotlib.transforms import ScaledTranslation

    def moved(points: float):
        return panel.transData + ScaledTranslation(points / 72, 0, figure.dpi_scale_trans)

    deviations = [np.std(group, ddof=1) if len(group) > 1 else 0.0 for group in groups]
    panel.errorbar(
        *(x, [np.mean(group) for group in groups]),
        yerr=deviations if any(deviations) else None,
        fmt=style,
        capsize=3,
        ms=5,
        transform=moved(move),
        **look,
    )
    for place, deviation, group in zip(x, deviations, groups):
        ends = np.mean(group) + np.array([-deviation, deviation])
        # Artists with a transform of their own do not count by themselves.
        panel.update_datalim([(place, value) for value in [*ends, *group]])
        if len(group) > 1:
            panel.scatter(
                *([place] * len(group), group),
                s=9,
                lw=0,
                alpha=0.6,
                color=look["color"],
                transform=moved(move - _ASIDE),
            )
    panel.autoscale_view()


def _draw_lines(panel, lines: Mapping[str, float]) -> None:
    """Thin lines from side to side, told apart by their dashes."""
    low, high = panel.get_ylim()
    for (name, value), dashes in zip(lines.items(), itertools.cycle(["--", ":", "-."])):
        look = {"ls": dashes, "lw": 1, "color": _GREY, "zorder": 1}
        # The runs keep a third of the height.
        if low - (high - low) <= value <= high + (high - low):
            panel.axhline(value, label=f"{name}, {value:.1f}", **look)
        else:
            panel.plot([], [], label=f"{name}, {value:.1f}: out of sight", **look)


def _numbers(labels: Sequence[str]) -> List[float]:
    """Labels as numbers; empty where one is none."""
    try:
        return [float(label) for label in labels]
    except ValueError:
        return []


def _numeric_axis(panel, numbers: Sequence[float]) -> None:
    """Ticks at the values of the grid, on a logarithmic axis where they span a wide range."""
    if min(numbers) > 0 and max(numbers) > _LOGARITHMIC * min(numbers):
        panel.set_xscale("log")
        panel.minorticks_off()
    if len(numbers) <= 10:
        panel.set_xticks(numbers, [f"{number:g}" for number in numbers])


def _colours(points: Sequence[Tuple[str, ...]]) -> List[Any]:
    """A colour for each point: of a scale for numbers, of a set for names."""
    import matplotlib

    points = list(points)
    numbers = _numbers(["".join(point) for point in points if len(point) == 1])
    if len(points) > 2 and len(numbers) == len(points):
        ranks = np.argsort(np.argsort(numbers))
        return matplotlib.colormaps["viridis"](0.9 * ranks / (len(points) - 1)).tolist()
    names = matplotlib.colormaps["tab10" if len(points) <= 10 else "tab20"].colors
    return [names[i % len(names)] for i in range(len(points))]


def _series_name(point: Sequence[str]) -> str:
    """What a legend calls a series."""
    return ", ".join(point).replace("+", "\n+ ") or "mean"


def _wrapped(label: str) -> str:
    """A label on several lines where it is long or stands for several flags."""
    lines = []
    for part in label.split("+"):
        # Flags and paths have no spaces to break at.
        spaced = part.replace("_", "_\0 ").replace("/", "/\0 ").replace("=", "=\0 ")
        wrapped = textwrap.wrap(spaced, _NAME_LENGTH, break_long_words=False)
        lines += [line.replace("\0 ", "").replace("\0", "") for line in wrapped]
    return "\n".join(lines)


def _legend(figure, panel, axes: Sequence[str]) -> None:
    """A legend beside the panel, where it hides nothing: the series, then the baselines."""
    handles, labels = panel.get_legend_handles_labels()
    if len(handles) < 2:
        return
    # Means with error bars are containers, which matplotlib lists behind all lines.
    baseline = [getattr(handle, "get_color", str)() == _GREY for handle in handles]
    order = sorted(range(len(handles)), key=baseline.__getitem__)
    panel.legend(
        *([handles[i] for i in order], [labels[i] for i in order]),
        title=",\n".join(axes) or None,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        fontsize="small",
        title_fontsize="small",
        alignment="left",
    )
    figure.set_figwidth(figure.get_figwidth() + _LEGEND)
