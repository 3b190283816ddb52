"""Accuracy over the information that the views of a run share."""

from typing import NamedTuple, Optional, Sequence

import numpy as np

# Names stand so many points beside and above their dots.
_ASIDE = 5


class Shared(NamedTuple):
    """A run: its name, what its views share in nats, and its accuracy as a fraction."""

    name: str
    information: float
    accuracy: float


def plot_information(runs: Sequence[Shared], *, label: str, baseline: Optional[float] = None):
    """Draws a dot a run, and the parabola that fits them best.

    CMC, Tian, Krishnan, Isola 2020, arXiv 1906.05849, Figure 5: with too little information nothing
    is learned, with too much everything but what matters is learned too: a reversed U.

    Args:
        runs: two or more.
        label: what kind of accuracy.
        baseline: accuracy of an untrained encoder, as a fraction, drawn from side to side.

    Returns:
        A matplotlib `Figure`. Four or more runs with different information have a parabola, by
        least squares, with its top where it lies between them.

    Raises:
        ValueError: fewer than two runs, or a number that is not finite.
        ImportError: matplotlib is missing.
    """
    numbers = np.array([run[1:] for run in runs], float).reshape(-1, 2)
    if len(runs) < 2 or not np.isfinite(numbers).all():
        raise ValueError(f"runs: expected two or more with finite numbers. Received: {list(runs)}.")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.6), dpi=120, layout="constrained")
    panel = figure.subplots()
    x, y = numbers[:, 0], 100 * numbers[:, 1]
    panel.scatter(x, y, zorder=3)
    for run, place, height in zip(runs, x, y):
        offset = {"xytext": (_ASIDE, _ASIDE), "textcoords": "offset points"}
        panel.annotate(run.name, (place, height), fontsize=8, **offset)
    if len(set(x)) >= 4:
        _draw_parabola(panel, x, y)
    if baseline is not None:
        panel.axhline(100 * baseline, color="0.5", linestyle=":", label="untrained")
    panel.set_xlabel("information shared by the views (nats)")
    panel.set_ylabel(f"{label} (%)")
    panel.margins(0.12)
    if panel.get_legend_handles_labels()[0]:
        panel.legend(fontsize=8)
    return figure


def parabola(information: Sequence[float], accuracy: Sequence[float]) -> np.ndarray:
    """The least-squares a, b, c of accuracy = a x^2 + b x + c over information x."""
    return np.polyfit(np.asarray(information, float), np.asarray(accuracy, float), 2)


def _draw_parabola(panel, x: np.ndarray, y: np.ndarray) -> None:
    """The curve between the runs, and where its top is."""
    a, b, c = parabola(x, y)
    line = np.linspace(x.min(), x.max(), 100)
    words = "least-squares parabola"
    top = -b / (2 * a) if a < 0 else np.nan
    if x.min() < top < x.max():
        words += f", top at {top:.2f} nats"
    panel.plot(line, a * line**2 + b * line + c, color="0.4", linestyle="--", label=words)
