"""Means over an epoch: of all its steps, also where a run was continued in the middle of it."""

import json

import numpy as np
import pytest

from tests.random_inputs import fresh_rng
from tests.training.short_runs import start
from tfssl import training
from tfssl.training.reports import EpochMeans, read_rows


def rows_of(values, every, steps_per_epoch):
    """Rows of means of the steps since the row before, as the loop writes them."""
    rows, first = [], 0
    for step in range(1, len(values) + 1):
        if step % every == 0 or step % steps_per_epoch == 0 or step == len(values):
            mean = float(np.mean(values[first:step]))
            rows.append({"step": step, "loss": mean, "lr": 1.0, "epoch": 0.5, "chance": 2.0})
            first = step
    return rows


@pytest.mark.parametrize("resumed_at", [0, 6, 8, 14])
def test_steps_count_alike_whatever_the_rows(tmp_path, resumed_at):
    """Rows every three steps, epochs of eight, the last one of five."""
    losses = fresh_rng().normal(size=21)
    rows = rows_of(losses, 3, 8)
    path = tmp_path / "metrics.jsonl"
    ends = [{"step": 8, "epoch/loss": 0.0, "collapse/rank": 3.0}]
    kept = [row for row in (*rows, *ends) if row["step"] <= resumed_at]
    path.write_text("".join(json.dumps(row) + "\n" for row in kept))
    means = EpochMeans(path, 8, resumed_at)
    found = {}
    for row in rows:
        if row["step"] > resumed_at:
            means.add(row["step"], {"loss": row["loss"]})
            if row["step"] in (8, 16, 21):
                found[row["step"]] = means.end()
    expected = {8: losses[:8].mean(), 16: losses[8:16].mean(), 21: losses[16:].mean()}
    for step, values in found.items():
        assert values == {"epoch/loss": pytest.approx(expected[step])}
    assert set(found) == {end for end in expected if end > resumed_at}


def test_a_run_writes_them_after_every_epoch(tmp_path):
    """Epochs end where no row was due too."""
    experiment, run = start(tmp_path, "--log_every=4")
    training.train(experiment, run)
    rows = read_rows(run.metrics)
    ends = [row for row in rows if "epoch/loss" in row]
    steps, total = experiment.plan.steps_per_epoch, experiment.plan.total_steps
    assert [row["step"] for row in ends] == sorted({*range(steps, total + 1, steps), total})
    for end in ends:
        first = (end["step"] - 1) // steps * steps
        inside = [r for r in rows if "loss" in r and first < r["step"] <= end["step"]]
        weights = np.diff([first, *(row["step"] for row in inside)])
        expected = np.average([row["loss"] for row in inside], weights=weights)
        assert end["epoch/loss"] == pytest.approx(expected)
