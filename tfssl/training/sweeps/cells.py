"""The cells of a sweep on disk, and the processes that train and judge them."""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

from tfssl.evaluation import EvaluationConfig
from tfssl.settings import SettingsError
from tfssl.training.run_directory import RunDirectory
from tfssl.training.sweeps.grid import Cell

# How much of a failed process' output is shown.
_LAST_LINES = 10


class SweepStopped(RuntimeError):
    """Somebody asked the sweep to end; the same command goes on."""


class SweepDirectory:
    """Paths of a sweep: one run directory and one log a cell, and what is made of their results.

    Attributes:
        path: the directory itself.
    """

    def __init__(self, path: os.PathLike):
        self.path = pathlib.Path(path)

    cells = property(lambda self: self.path / "cells.csv", doc="A row a run.")
    table = property(lambda self: self.path / "table.csv", doc="A row a point of the grid.")
    markdown = property(lambda self: self.path / "table.md", doc="The same, to be read.")
    picture = property(lambda self: self.path / "sweep.png", doc="One figure over the grid.")
    curves = property(lambda self: self.path / "over_steps.png", doc="One figure over the steps.")

    def run(self, cell: Cell) -> RunDirectory:
        """The run directory of a cell."""
        return RunDirectory(self.path / "runs" / cell.name)

    def log(self, cell: Cell) -> pathlib.Path:
        """Where the output of a cell's processes goes."""
        return self.path / "logs" / f"{cell.name}.log"

    def others(self, cells: Sequence[Cell]) -> int:
        """How many runs are here that are none of these cells: those of earlier grids."""
        names = {cell.name for cell in cells}
        runs = (path for path in self.path.glob("runs/*") if path.is_dir())
        return sum(run.name not in names for run in runs)

    def check(self, cells: Sequence[Cell], complete: Callable[[str], str]) -> None:
        """Raises SettingsError where the directory, or that of a cell, cannot be used.

        Args:
            cells: those of the sweep.
            complete: see `RunDirectory.claim`.
        """
        there = next(path for path in (self.path, *self.path.absolute().parents) if path.exists())
        if not there.is_dir():
            raise SettingsError(
                f"--sweep_dir={self.path}: expected a directory, new or of a sweep. Received: "
                f"{there}, which is a file. Remedy: another --sweep_dir."
            )
        for cell in cells:
            run = self.run(cell)
            changed = run.changes(cell.flags_text, complete)
            if changed:
                raise SettingsError(
                    f"cell {cell.name}: expected the flags its run was started with. Received: "
                    f"{'; '.join(changed)}. Remedy: another --sweep_dir, or the same flags."
                )
            run.claim(cell.flags_text, write=False, complete=complete)

    @contextlib.contextmanager
    def held(self, say: Callable[[str], None]) -> Iterator[int]:
        """Keeps a second sweep waiting; yields a file that processes of the sweep inherit.

        A process that a killed sweep has left behind still holds it, so that never two processes
        train one run.
        """
        (self.path / "logs").mkdir(parents=True, exist_ok=True)
        with open(self.path / "lock", "a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"{self.path}: waiting until another sweep here, or the run it left, has ended")
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError as error:
                say(f"{self.path}: cannot be locked ({error}); start one sweep at a time here")
            yield file.fileno()


class Worker:
    """Calls tools for cells, each in a process of its own, and passes signals on to them."""

    def __init__(
        self,
        directory: SweepDirectory,
        tools: os.PathLike,
        evaluation: Optional[EvaluationConfig] = None,
        evaluation_arguments: Sequence[str] = (),
    ):
        """Says what is done with a cell.

        Args:
            directory: where the cells are.
            tools: the folder of `train.py` and `evaluate.py`.
            evaluation: the protocol that judges finished runs, None for none.
            evaluation_arguments: the flags that choose it.
        """
        self._directory = directory
        self._tools = pathlib.Path(tools)
        self._evaluation = evaluation
        self._evaluation_arguments = list(evaluation_arguments)
        self._process: Optional[subprocess.Popen] = None
        self._asked_to_stop = False
        self._inherited: List[int] = []

    @property
    def protocol(self) -> str:
        """The name of the protocol that judges finished runs; empty for none."""
        return "" if self._evaluation is None else self._evaluation.name

    @property
    def evaluation(self) -> Optional[EvaluationConfig]:
        """The settings of that protocol."""
        return self._evaluation

    def done(self, cell: Cell) -> bool:
        """Whether nothing is left to do for a cell."""
        if self._directory.run(cell).finished() is None:
            return False
        return self._evaluation is None or self.judgement(cell) is not None

    def judgement(self, cell: Cell) -> Optional[Dict[str, Dict]]:
        """Contender -> result of the protocol with these settings; None where there is none yet."""
        run = self._directory.run(cell)
        if self._evaluation is None or run.finished() is None:
            return None
        path = run.evaluation(self._evaluation.name)
        if not path.is_file():
            return None
        # A file that is damaged, or of an older version, is written anew.
        with contextlib.suppress(ValueError, KeyError, TypeError):
            content = json.loads(path.read_text())
            wanted = dataclasses.asdict(self._evaluation)
            if content["evaluation"] == wanted and content["step"] == run.finished()["steps"]:
                return content["results"]
        return None

    def work(self, cell: Cell) -> Optional[str]:
        """Does what is left to do for a cell; returns None, or why it failed in a few lines.

        Raises:
            SweepStopped: a signal came; the cell's process has saved and ended.
        """
        run = self._directory.run(cell)
        where = f"--run_dir={run.path}"
        calls = {
            "train": ([*cell.flags_text.splitlines(), where], lambda: run.finished() is not None),
            "evaluate": ([where, *self._evaluation_arguments], lambda: self.done(cell)),
        }
        for tool, (arguments, done) in calls.items():
            if done():
                continue
            failure = self._call(tool, arguments, cell)
            if self._asked_to_stop:
                raise SweepStopped(f"Asked to stop in {cell.name}; the same command goes on there.")
            if failure is None and not done():
                failure = f"{tool}.py ended without a result; see {self._directory.log(cell)}"
            if failure is not None:
                return failure
        return None

    @contextlib.contextmanager
    def at_work(self, inherited: int) -> Iterator["Worker"]:
        """Passes SIGTERM and SIGINT on to the processes; they inherit the file `inherited`."""
        self._inherited = [inherited]
        before = {n: signal.signal(n, self._stop) for n in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: Any) -> None:
        del frame, number
        self._asked_to_stop = True
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)  # train.py saves at the next step.

    def _call(self, tool: str, arguments: List[str], cell: Cell) -> Optional[str]:
        """Runs a tool to its end; returns the last lines of its output where it fails."""
        if self._asked_to_stop:  # Between two processes.
            return None
        command = [sys.executable, str(self._tools / f"{tool}.py"), *arguments]
        with open(self._directory.log(cell), "a+", newline="\n", errors="replace") as log:
            log.write(f"$ {shlex.join(command)}\n")
            log.flush()
            start = log.tell()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=self._inherited,
            )
            if self._asked_to_stop:  # The signal came before there was a process to pass it on to.
                self._process.send_signal(signal.SIGTERM)
            code = self._process.wait()
            self._process = None
            if code == 0:
                return None
            log.seek(start)
            # A progress bar draws its line again and again.
            lines = [line.rpartition("\r")[2] for line in log.read().split("\n")]
        last = [line for line in lines if line.strip()][-_LAST_LINES:]
        return "\n".join([f"{tool}.py ended with exit code {code}, and {log.name} with:", *last])
