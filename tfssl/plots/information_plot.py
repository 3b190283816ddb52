"""Accuracy over the information that the views of a run share."""

import re
from typing import List, NamedTuple, Optional, Sequence

import numpy as np

from tfssl.plots.dot_names import name_dots

_GREY = "0.5"


class Shared(NamedTuple):
    """A run: its name, what its views share in nats, and accuracies as fractions."""

    name: str
    information: float
    accuracy: float
    untrained: Optional[float] = None


def plot_information(runs: Sequence[Shared], *, label: str, measure: str = ""):
    """Draws a dot a run, and the parabola that fits them best.

    CMC, Tian, Krishnan, Isola 2020, arXiv 1906.05849, Figure 5: with too little information nothing
    is learned, with too much everything but what matters is learned too: a reversed U.

    Args:
        runs: two or more. Names without what all of them share stand beside the dots. The accuracy
            of an untrained encoder is a ring at the same information.
        label: what kind of accuracy.
        measure: what has measured the information.

    Returns:
        A matplotlib `Figure`. Four or more runs with different information have a parabola, by
        least squares, with its top where it lies between them.

    Raises:
        ValueError: fewer than two runs, or a number that is not finite.
        ImportError: matplotlib is missing.
    """
    numbers = np.array([run[1:3] for run in runs], float).reshape(-1, 2)
    if len(runs) < 2 or not np.isfinite(numbers).all():
        raise ValueError(f"runs: expected two or more with finite numbers. Received: {list(runs)}.")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.6), dpi=120, layout="constrained")
    panel = figure.subplots()
    x, y = numbers[:, 0], 100 * numbers[:, 1]
    panel.scatter(x, y, zorder=3)
    if len(set(x)) >= 4:
        _draw_parabola(panel, x, y)
    rings = [(run.information, 100 * run.untrained) for run in runs if run.untrained is not None]
    if rings:
        panel.scatter(*zip(*rings), facecolors="none", edgecolors=_GREY, label="untrained")
    panel.set_xlabel("information shared by the views (nats)" + (measure and f", {measure}"))
    panel.set_ylabel(f"{label} (%)")
    panel.margins(0.12)
    if panel.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper right", ncols=2, fontsize=8)
    name_dots(figure, panel, list(zip(x, y)), short_names([run.name for run in runs]))
    return figure


def parabola(information: Sequence[float], accuracy: Sequence[float]) -> np.ndarray:
    """The least-squares a, b, c of accuracy = a x^2 + b x + c over information x."""
    return np.polyfit(np.asarray(information, float), np.asarray(accuracy, float), 2)


def short_names(names: Sequence[str]) -> List[str]:
    """Names of the form `axis=value,axis=value` by the values that tell them apart.

    Axes on which all have the same value are left out; names of another form stay as they are.
    """
    parts = [re.split(r",(?=\w+=)", name) for name in names]
    axes = [[part.partition("=")[0] for part in of_one] for of_one in parts]
    if any(of_one != axes[0] for of_one in axes) or not all("=" in name for name in names):
        return list(names)
    columns = [column for column in zip(*parts) if len(set(column)) > 1]
    short = zip(*([part.partition("=")[2] for part in column] for column in columns))
    return [", ".join(values) for values in short] or list(names)


def _draw_parabola(panel, x: np.ndarray, y: np.ndarray) -> None:
    """The curve between the runs, and where its top is."""
    a, b, c = parabola(x, y)
    line = np.linspace(x.min(), x.max(), 100)
    words = "least-squares parabola"
    top = -b / (2 * a) if a < 0 else np.nan
    if x.min() < top < x.max():
        words += f", top at {top:.2f} nats"
    panel.plot(line, a * line**2 + b * line + c, color="0.4", linestyle="--", label=words)
