"""Pictures of what a run sees and learns, and of what a sweep has measured."""

from tfssl.plots.sweep_plot import Curve, Measured, check_matplotlib, plot_curves, plot_points
from tfssl.plots.view_grid import view_grid

__all__ = [
    "Curve",
    "Measured",
    "check_matplotlib",
    "plot_curves",
    "plot_points",
    "view_grid",
]
