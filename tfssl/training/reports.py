"""Where a run's numbers go: rows in a file, TensorBoard, a progress bar."""

import json
import math
import os
import pathlib
import sys
import time
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
import tensorflow as tf
import tqdm
from tensorboard.compat.proto import event_pb2

from tfssl.training.run_directory import RunDirectory, write_whole

Values = Dict[str, float]


# What rows have beside means of the steps.
_NO_MEANS = ("step", "lr", "epoch", "chance")


class MetricsFile:
    """`metrics.jsonl`: a row a log or an epoch, with nothing in it that depends on the clock."""

    def __init__(self, path: pathlib.Path):
        self._path = path

    def rewind(self, step: int) -> None:
        """Drops the rows after a step: a resumed run writes them again."""
        if self._path.is_file():
            kept = [row for row in read_rows(self._path) if row["step"] <= step]
            write_whole(self._path, "".join(json.dumps(row) + "\n" for row in kept))

    def write(self, step: int, values: Values) -> None:
        """Appends one row."""
        with open(self._path, "a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")


class EpochMeans:
    """Means over the steps of an epoch, from the rows of means since the row before.

    InfoMin, Tian et al. 2020, arXiv 2005.10243, reports I_NCE = ln k less the mean loss of the last
    epoch. All batches have as many images, so that a mean over steps is one over images.
    """

    def __init__(self, metrics: pathlib.Path, steps_per_epoch: int, step: int):
        """Begins at a step; of an epoch that is under way the rows in the file count.

        Args:
            metrics: the file of rows, up to `step`; it need not be there.
            steps_per_epoch: optimizer steps in an epoch.
            step: optimizer steps done.
        """
        self._step = step - step % steps_per_epoch
        self._sums: Dict[str, float] = {}
        self._counts: Dict[str, int] = {}
        first = self._step
        rows = read_rows(metrics) if metrics.is_file() else []
        for row in rows:
            # Rows of an epoch's end have no loss of their own.
            if row["step"] > first and "loss" in row:
                self.add(row["step"], {k: v for k, v in row.items() if k not in _NO_MEANS})

    def add(self, step: int, values: Values) -> None:
        """Takes the means of the steps since the row before."""
        count = step - self._step
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + count * value
            # Where steps take turns, some rows lack what belongs to the others.
            self._counts[name] = self._counts.get(name, 0) + count
        self._step = step

    def end(self) -> Dict[str, float]:
        """The means of the epoch that ends here, under `epoch/<name>`; the next one begins."""
        means = {f"epoch/{n}": total / self._counts[n] for n, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means


class TensorBoardLog:
    """Scalars, texts and images as TensorBoard event files."""

    def __init__(self, path: pathlib.Path, step: int = 0):
        """Begins at a step; what is there of later steps is done again and dropped."""
        if step:
            _rewind_events(path, step)
        self._writer = tf.summary.create_file_writer(str(path))

    def write(self, step: int, values: Values) -> None:
        """Writes scalars; names with a slash keep their group, others go to `train/`."""
        with self._writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name if "/" in name else f"train/{name}", value)
        self._writer.flush()

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Writes one `[height, width, 3]` uint8 image."""
        with self._writer.as_default(step=step):
            tf.summary.image(name, image[None])
        self._writer.flush()

    def text(self, name: str, text: str) -> None:
        """Writes one text at step 0, as typed."""
        with self._writer.as_default(step=0):
            tf.summary.text(name, "\n".join(f"    {line}" for line in text.splitlines()))


def _rewind_events(path: pathlib.Path, step: int) -> None:
    """Drops the events after a step, as `MetricsFile.rewind` does: TensorBoard would show both."""
    for file in path.glob("events.out.tfevents.*"):
        kept = []
        try:
            for record in tf.data.TFRecordDataset(str(file)):
                if event_pb2.Event.FromString(record.numpy()).step <= step:
                    kept.append(record.numpy())
        except tf.errors.DataLossError:
            pass  # A kill has cut the last record short.
        # TensorBoard takes every file with "tfevents" in its name for events.
        partial = path / "rewound.partial"
        with tf.io.TFRecordWriter(str(partial)) as writer:
            for record in kept:
                writer.write(record)
        os.replace(partial, file)


class ProgressBar:
    """One line that moves: step, loss beside its chance level, learning rate, speed, time left."""

    def __init__(
        self, *, first: int, last: int, batch_size: int, chance: Optional[float], visible: bool
    ):
        self._bar = tqdm.tqdm(
            total=last,
            initial=first,
            unit="step",
            disable=not visible,
            file=sys.stderr,
            # A log file gets a line now and then instead of a bar that redraws itself.
            mininterval=0.5 if sys.stderr.isatty() else 20.0,
            dynamic_ncols=sys.stderr.isatty(),
        )
        self._batch_size = batch_size
        self._chance = f" (chance {chance:.3f})" if chance is not None else ""

    def advance(self) -> None:
        """One step further."""
        self._bar.update()

    def write(self, values: Values, images_per_second: float) -> None:
        """Renews the figures behind the bar."""
        self._bar.set_postfix_str(
            f"loss {values['loss']:.4f}{self._chance}, lr {values['lr']:.3g}, "
            f"{images_per_second:.0f} images/s",
            refresh=False,
        )

    def close(self) -> None:
        """Leaves the bar as it stands."""
        self._bar.close()


class Stopwatch:
    """Seconds and images per second between rows, kept in `timing.jsonl` across restarts."""

    def __init__(self, path: pathlib.Path, batch_size: int):
        self._file = MetricsFile(path)
        self._batch_size = batch_size
        self._start, self._step = time.perf_counter(), None

    def start(self, step: int) -> None:
        """Begins at a step; rows after it belong to work that is done again."""
        self._file.rewind(step)
        self._start, self._step = time.perf_counter(), step

    def pause(self) -> None:
        """Stops the clock for work that is not training, until `go_on`."""
        self._start -= time.perf_counter()

    def go_on(self) -> None:
        """Ends a pause."""
        self._start += time.perf_counter()

    def lap(self, step: int) -> float:
        """Ends a lap at a step; returns its images per second."""
        seconds = time.perf_counter() - self._start
        speed = (step - self._step) * self._batch_size / max(seconds, 1e-9)
        self._file.write(step, {"seconds": seconds, "images_per_second": speed})
        self._start, self._step = time.perf_counter(), step
        return speed


def read_rows(path: pathlib.Path) -> List[Dict[str, Any]]:
    """The rows of a `.jsonl` file; a last line cut short by a kill is left out."""
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def training_seconds(run: RunDirectory) -> float:
    """Seconds spent in training steps over all sittings of a run."""
    return (
        math.fsum(row["seconds"] for row in read_rows(run.timing)) if run.timing.is_file() else 0.0
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text as left-aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in rows)
