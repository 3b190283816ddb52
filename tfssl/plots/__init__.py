"""Pictures of what a run sees and learns, and of what a sweep has measured."""

from tfssl.plots.information_plot import Shared, parabola, plot_information
from tfssl.plots.sweep_plot import Curve, Measured, check_matplotlib, plot_curves, plot_points
from tfssl.plots.view_grid import view_grid

__all__ = [
    "Curve",
    "Measured",
    "Shared",
    "check_matplotlib",
    "parabola",
    "plot_curves",
    "plot_information",
    "plot_points",
    "view_grid",
]
