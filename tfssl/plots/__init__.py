"""Pictures of what a run sees and learns."""

from tfssl.plots.view_grid import view_grid

__all__ = ["view_grid"]
