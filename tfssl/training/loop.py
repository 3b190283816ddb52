"""The training loop, from the first step or from where a killed run was, to the result."""

import atexit
import math
import tempfile
from typing import Dict

import tensorflow as tf
from absl import logging

from tfssl import data
from tfssl.training import finish, probes
from tfssl.training.checkpoints import Checkpoints
from tfssl.training.experiment import Experiment
from tfssl.training.pictures import Pictures
from tfssl.training.reports import (
    EpochMeans,
    MetricsFile,
    ProgressBar,
    Stopwatch,
    TensorBoardLog,
)
from tfssl.training.run_directory import RunDirectory
from tfssl.training.stop_request import StopRequest
from tfssl.training.strategy import is_chief
from tfssl.training.stream import Stream

_LEVERS = "Levers: a lower --lr, a longer --warmup_epochs, --precision=float32."


class TrainingStopped(RuntimeError):
    """Training cannot or must not go on; the message says where it stands."""


@data.damage_explained()
def train(experiment: Experiment, run: RunDirectory) -> Dict:
    """Trains to the end, or from the newest checkpoint to the end, and writes the result.

    Args:
        experiment: see `prepare`.
        run: a claimed run directory.

    Returns:
        What `result.json` holds.

    Raises:
        TrainingStopped: the loss is NaN or Inf, or the process was asked to end; the newest
            checkpoint is named.
        OSError: a checkpoint could not be written.
    """
    config, method, plan = experiment.config.training, experiment.method, experiment.plan
    chief = is_chief(experiment.strategy)
    run.claim_data(experiment.train.fingerprint(), write=chief)
    checkpoints = Checkpoints(method, run.checkpoints, keep=config.keep_checkpoints, chief=chief)
    step = checkpoints.restore_latest()
    if step:
        logging.info("Continuing at step %d of %d.", step, plan.total_steps)
    if not chief:
        run = _scratch_copy(run)
    report = _Report(experiment, run, step, visible=chief)
    pictures = Pictures(experiment, run, report.board)
    if step == 0:
        pictures.start()
        report.board.text("flags", run.flags_text)
    stream = Stream(experiment)
    advance = method.make_train_function(force=True, parts=config.accumulation)
    save_every = config.save_every or plan.steps_per_epoch
    extract = probes.record_embeddings(experiment)
    with StopRequest(experiment.strategy, config.log_every) as stop, report:
        while step < plan.total_steps:
            if step % plan.steps_per_epoch == 0:
                method.start_epoch(step // plan.steps_per_epoch, extract)
            logs = advance(stream.at(step))
            step += 1
            report.advance()
            last = step == plan.total_steps
            ends_epoch = step % plan.steps_per_epoch == 0 or last
            if step % config.log_every == 0 or ends_epoch:
                _check_finite(method, logs, step, checkpoints)
                report.row(step, logs)
                method.reset_metrics()
            if ends_epoch:
                report.epoch(step)
                pictures.epoch(step)
            stopping = stop.agreed(step)
            if step % save_every == 0 or last or stopping:
                _check_finite(method, logs, step, checkpoints)
                _check_weights(method, step, checkpoints)
                checkpoints.save(step)
            if stopping and not last:
                raise TrainingStopped(
                    f"Asked to stop; saved at step {step} in {checkpoints.latest}."
                )
    result = finish.finish(experiment, run)
    return result if chief else {}


def _scratch_copy(run: RunDirectory) -> RunDirectory:
    """A directory to throw away, for workers that do not own the run's.

    They measure and export as the first worker does, because reading batch statistics is a
    collective operation that waits for all of them.
    """
    scratch = tempfile.TemporaryDirectory()
    atexit.register(scratch.cleanup)
    copy = RunDirectory(scratch.name)
    copy.claim(run.flags_text)
    return copy


class _Report:
    """What is told of a run while it goes on."""

    def __init__(self, experiment: Experiment, run: RunDirectory, step: int, *, visible: bool):
        plan = experiment.plan
        self._experiment = experiment
        self._file = MetricsFile(run.metrics)
        self._file.rewind(step)
        self.board = TensorBoardLog(run.events, step)
        self._watch = Stopwatch(run.timing, plan.batch_size)
        self._watch.start(step)
        self._means = EpochMeans(run.metrics, plan.steps_per_epoch, step)
        self._bar = ProgressBar(
            first=step,
            last=plan.total_steps,
            batch_size=plan.batch_size,
            chance=experiment.method.chance_level,
            visible=visible,
        )
        self._probes = probes.make_probes(experiment)
        self._chance = probes.ChanceWatch(experiment.method.chance_level)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._bar.close()

    def advance(self) -> None:
        self._bar.advance()

    def row(self, step: int, logs: Dict[str, tf.Tensor]) -> None:
        """A row of running means since the last one."""
        values = {name: float(logs[name]) for name in self._experiment.method.logged}
        self._means.add(step, values)
        values["lr"] = float(self._experiment.learning_rate(step - 1))
        values["epoch"] = step / self._experiment.plan.steps_per_epoch
        chance = self._experiment.method.chance_level
        if chance is not None:
            values["chance"] = chance
        self._file.write(step, values)
        speed = self._watch.lap(step)
        self.board.write(step, {**values, "speed/images_per_second": speed})
        self._bar.write(values, speed)
        self._chance.see(step, values["loss"])

    def epoch(self, step: int) -> None:
        """What an epoch's steps have been, and what is measured on the encoder after it."""
        self._watch.pause()
        epoch = math.ceil(step / self._experiment.plan.steps_per_epoch)
        values = self._means.end()
        for probe in self._probes:
            values.update(probe(epoch))
        self._file.write(step, values)
        self.board.write(step, values)
        self._watch.go_on()


def _check_finite(method, logs: Dict[str, tf.Tensor], step: int, checkpoints: Checkpoints) -> None:
    """Raises TrainingStopped after a NaN or Inf loss."""
    bad = int(method.first_nonfinite_step.numpy())
    if bad >= 0 or not math.isfinite(float(logs["loss"])):
        where = f"at step {bad}" if bad >= 0 else f"before step {step}"
        raise TrainingStopped(
            f"The loss is NaN or Inf {where}. Last good checkpoint: {checkpoints.latest}. {_LEVERS}"
        )


def _check_weights(method, step: int, checkpoints: Checkpoints) -> None:
    """Raises TrainingStopped instead of saving weights that a NaN or Inf gradient has spoilt."""
    sums = tf.stack([tf.cast(tf.reduce_sum(v), tf.float32) for v in method.trainable_variables])
    if not bool(tf.reduce_all(tf.math.is_finite(sums))):
        raise TrainingStopped(
            f"A weight is NaN or Inf after step {step}. Last good checkpoint: "
            f"{checkpoints.latest}. {_LEVERS}"
        )
