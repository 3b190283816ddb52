"""Checkpoints of everything a run needs to go on: each is written whole, or not at all."""

import os
import pathlib
import shutil
import tempfile
from typing import List, Optional, Tuple

import tensorflow as tf
from absl import logging

from tfssl.settings import SettingsError

_NAME = "step-{:010d}"
_DAMAGE = (tf.errors.OpError, IndexError, OSError)


class Checkpoints:
    """The newest checkpoints of a method under a directory, `step-<number>/` each.

    A checkpoint holds the method with its optimizer, teacher, banks, step counters and running
    means. It is written to a temporary folder and renamed, so a killed process leaves the older
    ones as they were.
    """

    def __init__(self, method: tf.keras.Model, directory: os.PathLike, *, keep: int, chief: bool):
        """Args:
        method: a built method with its optimizer.
        directory: made where it is missing.
        keep: how many of the newest stay.
        chief: whether this process writes; the other workers take part in reading variables
            and throw their copy away.
        """
        self._checkpoint = tf.train.Checkpoint(method=method)
        self._directory = pathlib.Path(directory)
        self._keep = keep
        self._chief = chief

    def steps(self) -> List[int]:
        """The steps of the checkpoints that exist, ascending."""
        found = self._directory.glob("step-*")
        return sorted(int(path.name.split("-")[1]) for path in found if path.is_dir())

    @property
    def latest(self) -> Optional[pathlib.Path]:
        """The folder of the newest checkpoint, or None."""
        steps = self.steps()
        return self._directory / _NAME.format(steps[-1]) if steps else None

    def save(self, step: int) -> None:
        """Writes a checkpoint of a step and drops the oldest beyond `keep`.

        Raises:
            OSError: the disk refused; older checkpoints are untouched.
        """
        if not self._chief:
            with tempfile.TemporaryDirectory() as scratch:
                self._checkpoint.write(os.path.join(scratch, "state"))
            return
        target = self._directory / _NAME.format(step)
        partial = self._directory / f".partial-{step}"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir(parents=True)
            self._checkpoint.write(str(partial / "state"))
            _flush(partial)
        except (tf.errors.OpError, OSError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise OSError(
                f"checkpoint of step {step}: could not be written to {self._directory} ({error}). "
                f"Last good checkpoint: {self.latest}."
            ) from error
        shutil.rmtree(target, ignore_errors=True)
        os.replace(partial, target)
        for old in self.steps()[: -self._keep]:
            shutil.rmtree(self._directory / _NAME.format(old))

    def restore_latest(self) -> int:
        """Restores the newest readable checkpoint; the chief renames newer ones, `damaged-*`.

        Returns:
            Its step, or 0 where there is no checkpoint.

        Raises:
            SettingsError: a checkpoint belongs to another model, or none can be read.
        """
        damaged: List[Tuple[int, str]] = []
        for step in reversed(self.steps()):
            path = self._directory / _NAME.format(step)
            try:
                self._read(path)
            except _DAMAGE as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                logging.warning(
                    "Checkpoint %s is damaged (%s); trying the one before.", path, reason
                )
                damaged.append((step, reason))
                continue
            if self._chief:
                for bad, _ in damaged:
                    self._set_aside(bad)
            return step
        if damaged:
            raise SettingsError(
                f"{self._directory}: expected a readable checkpoint. Received: {len(damaged)} "
                f"damaged ({damaged[0][1]}). "
                "Remedy: remove the folder to start anew, or restore a copy."
            )
        return 0

    def _set_aside(self, step: int) -> None:
        """Renames a checkpoint that cannot be read, out of the way of the next one of its step."""
        aside = self._directory / f"damaged-{step}"
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(self._directory / _NAME.format(step), aside)

    def _read(self, path: pathlib.Path) -> None:
        try:
            status = self._checkpoint.read(str(path / "state"))
            status.assert_existing_objects_matched()
        except (AssertionError, ValueError) as error:
            raise SettingsError(
                f"{path}: expected a checkpoint of this model. Received: one of another "
                f"({str(error).splitlines()[0]})."
            ) from error


def _flush(directory: pathlib.Path) -> None:
    """Asks the system to put the files on disk before they get their final name."""
    for path in directory.iterdir():
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
