"""Pictures of a run's views, as files and in TensorBoard."""

import functools
import pathlib
from typing import Dict, List, Sequence

import numpy as np
import tensorflow as tf

from tfssl import plots
from tfssl.training.experiment import Experiment
from tfssl.training.reports import TensorBoardLog
from tfssl.training.run_directory import RunDirectory

# Deviations of a made channel that are drawn, on either side of its mean.
_DRAWN = 2.5


class Pictures:
    """Draws the first images of the run's first batch, always the same ones."""

    def __init__(self, experiment: Experiment, run: RunDirectory, board: TensorBoardLog):
        """Draws nothing yet."""
        self._experiment, self._run, self._board = experiment, run, board

    def start(self) -> None:
        """The grid of views as the method sees them; those that it makes beside its images."""
        self._write(0, "views", self._run.views)

    def epoch(self, step: int) -> None:
        """What a generator that learns makes of the same images by now."""
        if self._experiment.method.view_generator is not None:
            self._write(step, "learned_views", self._run.learned_views)

    def _write(self, step: int, name: str, path: pathlib.Path) -> None:
        grid = self._grid()
        path.write_bytes(tf.io.encode_png(grid).numpy())
        self._board.image(step, name, grid)

    @functools.cached_property
    def _batch(self) -> Dict:
        return next(iter(self._experiment.own_batches(0, num_steps=1)))

    def _grid(self) -> np.ndarray:
        family, batch = self._experiment.family, self._batch
        plain = not family.channel_map.layers
        made = self._experiment.method.made_views(batch["views"])
        return plots.view_grid(
            [*(view.numpy() for view in batch["views"]), *_drawable(made)],
            mean=family.mean if plain else None,
            std=family.std if plain else None,
            patches=batch["patches"].numpy() if "patches" in batch else None,
        )


def _drawable(made: Sequence[tf.Tensor]) -> List[np.ndarray]:
    """Channels in [-1, 1], of whatever mean and deviation they are in this batch."""
    arrays = [view.numpy() for view in made]
    spread = [_DRAWN * a.std(axis=(0, 1, 2)) + 1e-6 for a in arrays]
    return [(a - a.mean(axis=(0, 1, 2))) / s for a, s in zip(arrays, spread)]
