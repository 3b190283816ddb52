"""The run directory: who owns it, and the files that a run leaves in it."""

import contextlib
import json
import os
import pathlib
from typing import Any, Callable, Dict, List, Optional, Union

from tfssl.settings import SettingsError


class RunDirectory:
    """Paths of a run, claimed for one set of flags.

    Attributes:
        path: the directory itself.
        flags_text: the resolved flags it was claimed for, one a line; None before.
    """

    def __init__(self, path: os.PathLike):
        self.path = pathlib.Path(path)
        self.flags_text: Optional[str] = None

    flags = property(lambda self: self.path / "flags.cfg", doc="All resolved flags.")
    data = property(lambda self: self.path / "data.json", doc="Which record has which index.")
    metrics = property(lambda self: self.path / "metrics.jsonl", doc="A row each log and epoch.")
    timing = property(lambda self: self.path / "timing.jsonl", doc="Seconds and speed of each row.")
    result = property(
        lambda self: self.path / "result.json", doc="Written when a run has finished."
    )
    checkpoints = property(lambda self: self.path / "checkpoints", doc="See `Checkpoints`.")
    events = property(lambda self: self.path / "tensorboard", doc="TensorBoard's event files.")
    backbone = property(lambda self: self.path / "backbone", doc="The exported SavedModel.")
    generator = property(
        lambda self: self.path / "generator", doc="The SavedModel of a view generator."
    )
    views = property(lambda self: self.path / "views.png", doc="The grid of views at step 0.")
    learned_views = property(
        lambda self: self.path / "learned_views.png",
        doc="The same crops, and what a generator makes of them after the last whole epoch.",
    )

    def evaluation(self, name: str) -> pathlib.Path:
        """The result of an evaluation protocol; see `EvaluationConfig.name`."""
        return self.path / "evaluation" / f"{name}.json"

    def claim(
        self, flags_text: str, *, write: bool = True, complete: Callable[[str], str] = str
    ) -> None:
        """Writes the flags of a new run, or checks them against those of the run to continue.

        Args:
            flags_text: the resolved flags, one a line.
            write: False for workers that do not own the directory.
            complete: given the flags the run was started with, adds those that did not exist then.

        Raises:
            SettingsError: the directory belongs to a run with other flags, holds something else,
                or cannot be written.
        """
        self.flags_text = flags_text
        if self.flags.is_file():
            changed = self.changes(flags_text, complete)
            if changed:
                raise SettingsError(
                    f"--run_dir={self.path}: expected the flags this run was started with. "
                    f"Received: {'; '.join(changed)}. Remedy: another --run_dir, or the same flags."
                )
            return
        # Another worker may be writing the flags at this moment.
        if self.path.is_dir() and any(p != _partial(self.flags) for p in self.path.iterdir()):
            raise SettingsError(
                f"--run_dir={self.path}: expected a new or empty directory, or that of a run. "
                "Received: a directory with other files."
            )
        if write:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                write_whole(self.flags, flags_text)
            except OSError as error:
                raise SettingsError(
                    f"--run_dir={self.path}: cannot be written ({error})."
                ) from error

    def changes(self, flags_text: str, complete: Callable[[str], str] = str) -> List[str]:
        """`--name: old -> new` for each flag the run was started with that differs; see `claim`."""
        if not self.flags.is_file():
            return []
        before = self.flags.read_text()
        # Flags that this version does not understand are compared as they stand.
        with contextlib.suppress(SettingsError):
            before = complete(before)
        return _difference(before, flags_text)

    def claim_data(self, fingerprint: Dict[str, Any], *, write: bool = True) -> None:
        """Writes what the run's data are, or checks that they are what they were.

        Args:
            fingerprint: see `tfssl.data.Source.fingerprint`.
            write: False for workers that do not own the directory.

        Raises:
            SettingsError: the records are not those the run was started with.
        """
        if not self.data.is_file():
            if write:
                write_whole(self.data, json.dumps(fingerprint, indent=2) + "\n")
            return
        before = json.loads(self.data.read_text())
        if before != fingerprint:
            counts = [f"{d['drawable']} of {d['num_records']}" for d in (before, fingerprint)]
            raise SettingsError(
                f"--run_dir={self.path}: expected the training records this run was started with, "
                f"{counts[0]} readable, in the same order. Received: others, {counts[1]} readable. "
                "Remedy: restore the data, or start anew in another --run_dir."
            )

    def finished(self) -> Optional[Dict[str, Any]]:
        """The result of a finished run, else None; raises SettingsError where it is damaged."""
        if not self.result.is_file():
            return None
        try:
            return json.loads(self.result.read_text())
        except ValueError as error:
            raise SettingsError(
                f"{self.result}: expected the result of a finished run. Received: a damaged file "
                f"({error}). Remedy: delete it; the command of the run writes it anew."
            ) from error


def write_whole(path: pathlib.Path, content: Union[str, bytes]) -> None:
    """Writes a file so that a reader sees the old content or the new one, nothing between."""
    partial = _partial(path)
    with open(partial, "wb" if isinstance(content, bytes) else "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _partial(path: pathlib.Path) -> pathlib.Path:
    """Where a file is written before it gets its name."""
    return path.with_name(path.name + ".tmp")


def _difference(old: str, new: str) -> List[str]:
    """`--name: old -> new` for each flag that differs between two flagfiles."""

    def values(text: str) -> Dict[str, str]:
        pairs = (line.partition("=") for line in text.splitlines() if line.startswith("--"))
        return {name: value or "on" for name, _, value in pairs}

    before, after = values(old), values(new)
    return [
        f"{name}: {before.get(name, 'unset')} -> {after.get(name, 'unset')}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
