"""A sweep: the runs of a grid one after another, and what comes of them.

It leaves behind, under its directory:

    runs/<cell>/       a run directory each          logs/<cell>.log    output of its processes
    cells.csv          a row a run                   table.csv, .md     a row a point of the grid
    sweep.png          one figure over the grid      over_steps.png     where asked for

Tables and pictures are written anew after each cell; pictures that are not asked for are removed.
"""

from tfssl.training.sweeps.cells import SweepDirectory, SweepStopped, Worker
from tfssl.training.sweeps.grid import Grid, make_grid
from tfssl.training.sweeps.settings import SweepConfig
from tfssl.training.sweeps.shared_information import shared_information
from tfssl.training.sweeps.sweep import Sweep

__all__ = [
    "Grid",
    "Sweep",
    "SweepConfig",
    "SweepDirectory",
    "SweepStopped",
    "Worker",
    "make_grid",
    "shared_information",
]
