"""The sweep itself: trains its cells in order and writes tables and pictures after each."""

import functools
import time
from typing import Callable, Dict, List

from tfssl import plots
from tfssl.settings import SettingsError
from tfssl.training.reports import table
from tfssl.training.run_directory import write_whole
from tfssl.training.sweeps import pictures, tables
from tfssl.training.sweeps.cells import SweepDirectory, Worker
from tfssl.training.sweeps.data_check import check_data
from tfssl.training.sweeps.grid import Cell, Grid
from tfssl.training.sweeps.settings import SweepConfig


class Sweep:
    """A grid of runs under one directory.

    Attributes:
        failures: cell name -> why it failed, in a few lines.
    """

    def __init__(
        self,
        grid: Grid,
        directory: SweepDirectory,
        worker: Worker,
        settings: SweepConfig,
        *,
        command: str,
        say: Callable[[str], None] = functools.partial(print, flush=True),
    ):
        """Puts the parts together.

        Args:
            grid: the runs.
            directory: where they are.
            worker: trains and judges them.
            settings: columns and pictures.
            command: what made the sweep, for the table.
            say: takes lines for a person.
        """
        self.failures: Dict[str, str] = {}
        self._grid, self._directory, self._worker = grid, directory, worker
        self._settings, self._command, self._say = settings, command, say

    def overview(self) -> str:
        """The cells and which have finished, as lines for a person, and what cannot be read."""
        states = table([[cell.name, self._state(cell)] for cell in self._grid.cells])
        return "\n".join([states, *self.failures.values()])

    def check_data(self) -> None:
        """Raises SettingsError where the data of what is still to be done do not fit it."""
        to_do = [cell for cell in self._grid.cells if self._state(cell) == "open"]
        if to_do:
            # It can take minutes where images are checked one by one.
            self._say(f"Opening the data of {len(to_do)} cells.")
            check_data(to_do, self._worker.evaluation)

    def run(self) -> None:
        """Brings every cell to its end; failed ones are reported and passed over.

        Raises:
            SweepStopped: a signal came.
            SettingsError: no run has a figure that is wanted.
            ImportError: matplotlib is missing. As with the other error, the tables are there.
        """
        if self._settings.plot:
            self._announce_missing_matplotlib()
        with self._directory.held(self._say) as file, self._worker.at_work(inherited=file):
            seconds: List[float] = []
            for number, cell in enumerate(self._grid.cells, 1):
                where = f"[{number}/{len(self._grid.cells)}] {cell.name}:"
                state = self._state(cell)
                if state == "finished":
                    self._say(f"{where} finished before; {self._headline(cell)}")
                    continue
                if state == "failed":  # What is there of it cannot be read.
                    self._say(f"{where} FAILED. {self.failures[cell.name]}")
                    continue
                self._say(f"{where} at work, output in {self._directory.log(cell)}")
                start = time.monotonic()
                failure = self._worker.work(cell)
                seconds.append(time.monotonic() - start)
                if failure is None:
                    outcome = self._headline(cell)
                else:
                    self.failures[cell.name] = failure
                    outcome = f"FAILED. {failure}"
                self._say(f"{where} {seconds[-1]:.0f} s{self._outlook(seconds)}; {outcome}")
                self._report(last=False)
        self._report(last=True)

    def _announce_missing_matplotlib(self) -> None:
        """Says early that there will be no pictures, so that a person may end and install it."""
        try:
            plots.check_matplotlib()
        except ImportError as error:
            self._say(f"Only tables will be written. {error}")

    def _state(self, cell: Cell) -> str:
        return self._row(cell).state

    def _row(self, cell: Cell) -> tables.Row:
        """What is known of a cell; one whose files cannot be read has failed."""
        run, method, figures, state = self._directory.run(cell), "", {}, "open"
        try:
            if run.finished() is not None:
                method, figures = tables.figures_of(
                    run,
                    self._worker.judgement(cell),
                    self._worker.protocol,
                    self._settings.wanted_metrics(),
                )
                state = "finished" if self._worker.done(cell) else "open"
        except SettingsError as error:
            self.failures.setdefault(cell.name, str(error))
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.failures.setdefault(
                cell.name,
                f"{run.path}: expected the files of a finished run. Received: "
                f"{type(error).__name__}: {error}. Remedy: move this directory away; the same "
                "command trains the run anew.",
            )
        return tables.Row(cell, "failed" if cell.name in self.failures else state, method, figures)

    def _headline(self, cell: Cell) -> str:
        """The figures that a person wants to see first."""
        figures = self._row(cell).figures
        judged = (f"{self._worker.protocol}_{figure}" for figure in tables.HEADLINES)
        names = ["loss", "knn_top1", *judged, self._settings.plot_metric]
        return ", ".join(
            f"{name} {tables.shown(tables.spread([figures[name]]), tables.is_fraction(name))}"
            + (" %" if tables.is_fraction(name) else "")
            for name in dict.fromkeys(names)
            if name in figures
        )

    def _outlook(self, seconds: List[float]) -> str:
        """How long the open cells will take at this pace."""
        left = [self._state(cell) for cell in self._grid.cells].count("open")
        minutes = left * sum(seconds) / len(seconds) / 60
        return f" ({left} left, about {minutes:.0f} min)" if left else ""

    def _report(self, *, last: bool) -> None:
        """Writes tables and pictures; what is wrong with them is an error after the last cell."""
        rows = [self._row(cell) for cell in self._grid.cells]
        write_whole(self._directory.cells, tables.cells_csv(self._grid, rows))
        write_whole(self._directory.table, tables.points_csv(self._grid, rows))
        text = tables.markdown(self._grid, rows, self._command)
        others = self._directory.others(self._grid.cells)
        if others:
            text += f"Runs in this directory that are not of this grid, and not shown: {others}.\n"
        write_whole(self._directory.markdown, text)
        if last:
            self._say(f"\n{text}\nTables and pictures: {self._directory.path}")
            for cell in self._grid.cells:
                if cell.name in self.failures:
                    self._say(f"failed: {cell.name}, see {self._directory.log(cell)}")
        try:
            pictures.draw(self._grid, rows, self._directory, self._settings, self._worker.protocol)
            pictures.check_metrics(rows, self._directory, self._settings.named_metrics())
        except (ValueError, ImportError):
            if last:
                raise
