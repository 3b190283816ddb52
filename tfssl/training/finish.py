"""The end of a run: the backbone is handed over, judged beside two baselines, and reported."""

import contextlib
import json
import os
import platform
from typing import Dict

import tensorflow as tf
from absl import logging

import tfssl
from tfssl import export
from tfssl.evaluation import EvaluationConfig
from tfssl.training.evaluate import evaluate
from tfssl.training.experiment import Experiment
from tfssl.training.reports import read_rows, table, training_seconds
from tfssl.training.run_directory import RunDirectory, write_whole


def finish(experiment: Experiment, run: RunDirectory) -> Dict:
    """Exports the evaluated encoder and writes `result.json`; returns what it holds."""
    config = experiment.config
    export_backbone(experiment, run.backbone)
    rows = [row for row in read_rows(run.metrics) if "loss" in row]
    result = {
        "method": config.training.method,
        "steps": experiment.plan.total_steps,
        "train_seconds": round(training_seconds(run), 1),
        "final": rows[-1],
        "lowest_loss": min(row["loss"] for row in rows),
        "knn": _knn_beside_baselines(experiment) if config.training.final_knn else {},
        "flags": run.flags_text.splitlines(),
        "versions": {
            "tfssl": tfssl.__version__,
            "tensorflow": tf.__version__,
            "python": platform.python_version(),
        },
    }
    write_whole(run.result, json.dumps(result, indent=2) + "\n")
    return result


def export_backbone(experiment: Experiment, path: os.PathLike) -> None:
    """Writes the evaluated encoder as a SavedModel; see `tfssl.export`."""
    family = experiment.family
    with _quiet():
        export.export_saved_model(
            experiment.method.evaluated_encoder,
            path,
            image_size=experiment.config.views.image_size,
            mean=family.mean,
            std=family.std,
        )


@contextlib.contextmanager
def _quiet():
    """Keras reports every function and folder of a SavedModel; nobody needs that here."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _knn_beside_baselines(experiment: Experiment) -> Dict[str, Dict]:
    """kNN of the trained encoder, of the same encoder untrained, and of raw pixels."""
    train, test = experiment.train, experiment.test
    if train.labels is None or test is None or test.labels is None:
        return {}
    limit = experiment.config.training.knn_records
    return evaluate(experiment, EvaluationConfig(baselines=True, max_train_records=limit))


def summary(result: Dict) -> str:
    """A result as a few lines for a person."""
    lines = [
        f"{result['method']}: {result['steps']} steps in {result['train_seconds']:.0f} s of "
        f"training, loss {result['final']['loss']:.4f}"
    ]
    if result["knn"]:
        any_setting = next(iter(result["knn"].values()))
        rows = [["test kNN accuracy", f"k={any_setting['k']}, T={any_setting['temperature']}"]]
        rows += [[f"  {name}", f"{100 * r['top1']:.1f} %"] for name, r in result["knn"].items()]
        lines.append(table(rows))
    return "\n".join(lines)
