"""Pictures of what a run sees and learns, and of what a sweep has measured."""

from tfssl.plots.information_plot import Shared, parabola, plot_information
from tfssl.plots.sweep_plot import Curve, Measured, check_matplotlib, plot_curves, plot_points
from tfssl.plots.sweet_spot_plot import Point, plot_sweet_spots, sweet_spot, sweet_spots
from tfssl.plots.view_grid import view_grid

__all__ = [
    "Curve",
    "Measured",
    "Point",
    "Shared",
    "check_matplotlib",
    "parabola",
    "plot_curves",
    "plot_information",
    "plot_points",
    "plot_sweet_spots",
    "sweet_spot",
    "sweet_spots",
    "view_grid",
]
