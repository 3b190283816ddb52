"""What stops a run before its end: a signal, numbers that are none, an image that is damaged."""

import os
import signal

import numpy as np
import pytest
import tensorflow as tf

from tests.training.short_runs import QUICK, TINY, start
from tfssl import config, data, training
from tfssl.training import loop
from tfssl.training.reports import read_rows


@pytest.mark.slow
def test_sigterm_saves_and_the_same_command_goes_on(tmp_path, monkeypatch):
    experiment, run = start(tmp_path, flags=QUICK)
    rows = loop._Report.row

    def kill_at_four(self, step, logs):
        rows(self, step, logs)
        if step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop._Report, "row", kill_at_four)
    with pytest.raises(training.TrainingStopped, match="saved at step"):
        training.train(experiment, run)
    monkeypatch.undo()
    assert not run.result.exists()
    experiment, run = start(tmp_path, flags=QUICK)
    training.train(experiment, run)
    steps = [row["step"] for row in read_rows(run.metrics) if "loss" in row]
    assert steps == [2, 4, 6]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.slow
def test_nan_stops_with_the_step_and_the_last_good_checkpoint(tmp_path, monkeypatch):
    experiment, run = start(tmp_path, flags=QUICK)
    method = experiment.method
    compute = method.compute

    def spoiled(batch):
        loss, logs = compute(batch)
        return tf.where(method.global_step == 4, np.nan, loss), logs

    monkeypatch.setattr(method, "compute", spoiled)
    with pytest.raises(training.TrainingStopped, match="at step 4.*step-0000000004"):
        training.train(experiment, run)


@pytest.mark.slow
def test_weights_that_a_gradient_spoilt_are_not_saved(tmp_path, monkeypatch):
    """The loss of step 4 is finite; its gradient is not, and a checkpoint is due after it."""
    experiment, run = start(tmp_path, flags=QUICK)
    method = experiment.method
    compute = method.compute

    @tf.custom_gradient
    def spoil(loss):
        return tf.identity(loss), lambda up: tf.where(method.global_step == 3, np.nan, up)

    def spoiled(batch):
        loss, logs = compute(batch)
        return spoil(loss), logs

    monkeypatch.setattr(method, "compute", spoiled)
    with pytest.raises(training.TrainingStopped, match="after step 4.*step-0000000002"):
        training.train(experiment, run)


def test_an_image_with_a_spoilt_middle_stops_with_a_remedy(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    random = np.random.default_rng(0)
    for number in range(8):
        pixels = random.integers(0, 256, (32, 32, 3), np.uint8)
        contents = bytearray(tf.io.encode_png(pixels).numpy())
        if number == 3:
            contents[1000:1100] = bytes(100)
        (images / f"{number}.png").write_bytes(contents)
    flags = [flag for flag in TINY if not flag.startswith(("--dataset", "--batch_size"))]
    flags += [f"--dataset=folder:{images}", "--batch_size=8", "--verify_images=header"]
    wanted = config.parse(flags)[0]
    run = training.RunDirectory(tmp_path / "run")
    run.claim(config.to_flagfile(wanted))
    with pytest.raises(
        data.DamagedImage, match="can be decoded.*Invalid PNG data.*--verify_images=full"
    ):
        training.train(training.prepare(wanted), run)
