"""The end of a run: the backbone is handed over, judged beside two baselines, and reported."""

import contextlib
import json
import os
import pathlib
import platform
import subprocess
from typing import Dict, List, Optional

import numpy as np
import tensorflow as tf
from absl import logging

import tfssl
from tfssl import export
from tfssl.evaluation import EvaluationConfig
from tfssl.training.evaluate import evaluate
from tfssl.training.experiment import Experiment
from tfssl.training.probes import Extractor
from tfssl.training.reports import read_rows, table, training_seconds
from tfssl.training.run_directory import RunDirectory, write_whole


def finish(experiment: Experiment, run: RunDirectory) -> Dict:
    """Exports and judges as the settings say, writes `result.json`; returns what it holds."""
    config = experiment.config
    if config.training.final_export:
        export_backbone(experiment, run.backbone)
    if experiment.method.view_generator is not None:
        export_view_generator(experiment, run.generator)
    rows = [row for row in read_rows(run.metrics) if "loss" in row]
    result = {
        "method": config.training.method,
        "steps": experiment.plan.total_steps,
        "train_seconds": round(training_seconds(run), 1),
        "final": rows[-1],
        "best": _best(read_rows(run.metrics)),
        "knn": _knn_beside_baselines(experiment) if config.training.final_knn else {},
        "flags": run.flags_text.splitlines(),
        "versions": {
            "tfssl": tfssl.__version__,
            "git": _revision(),
            "tensorflow": tf.__version__,
            "python": platform.python_version(),
        },
    }
    write_whole(run.result, json.dumps(result, indent=2) + "\n")
    return result


def _best(rows: List[Dict]) -> Dict[str, Dict]:
    """The lowest loss and, where it was measured, the highest online kNN accuracy, with steps."""
    best = {"loss": min((r for r in rows if "loss" in r), key=lambda r: r["loss"])}
    measured = [row for row in rows if "eval/knn_top1" in row]
    if measured:
        best["eval/knn_top1"] = max(measured, key=lambda r: r["eval/knn_top1"])
    return {name: {"step": row["step"], "value": row[name]} for name, row in best.items()}


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
            color=family.channel_map,
            resize_to=experiment.config.views.eval_resize,
            interpolation=experiment.config.views.eval_interpolation,
        )


def export_view_generator(experiment: Experiment, path: os.PathLike) -> None:
    """Writes what the method has learned to make views with; see `tfssl.export`."""
    generator, family = experiment.method.view_generator, experiment.family

    def moments(images: tf.Tensor) -> tf.Tensor:
        made = generator(images)
        parts = [tf.reduce_mean(values, axis=[1, 2]) for values in (made, tf.square(made))]
        return tf.concat(parts, axis=1)

    found = Extractor(experiment)(moments, experiment.train, with_labels=False).features
    mean, square = np.split(found.astype(np.float64).mean(axis=0), 2)
    with _quiet():
        export.export_generator(
            generator,
            path,
            color=family.color,
            mean=family.mean,
            std=family.std,
            output_mean=mean,
            output_std=np.sqrt(np.maximum(square - mean**2, 1e-12)),
        )


def _revision() -> Optional[str]:
    """The commit of the checkout that this package runs from, None outside of one."""
    root = pathlib.Path(tfssl.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        asked = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
        return subprocess.run(asked, capture_output=True, text=True).stdout.strip() or None
    except OSError:  # No git on this machine.
        return None


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
    voters = len(train.drawable)
    limit = experiment.config.training.knn_records or voters
    k = min(EvaluationConfig.k, limit, voters)
    return evaluate(experiment, EvaluationConfig(k=k, baselines=True, max_train_records=limit))


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
