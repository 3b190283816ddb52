"""Judges a run's backbone: python tools/evaluate.py --run_dir=runs/digits --protocol=linear

Features come from the frozen encoder of the run's newest checkpoint. The result, with every
setting, goes to <run_dir>/evaluation/<protocol>.json.
"""

import dataclasses
import functools
import json

import environment  # noqa: F401  (first, before TensorFlow)

# isort: split

from absl import app, flags
from command_line import parse, refuse

from tfssl import config, training
from tfssl.evaluation import EvaluationConfig
from tfssl.training.run_directory import write_whole

_RUN_DIR = flags.DEFINE_string("run_dir", None, "The run.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder with prepared tfds data, where it is not the run's any more."
)


def main(_) -> int:
    """Evaluates, prints and writes the result; returns the exit code."""
    run = training.RunDirectory(_RUN_DIR.value)
    try:
        settings = config.settings_from_flags(EvaluationConfig, flags.FLAGS)
        experiment, step = training.restore(config.read_run(run, _DATA_DIR.value), run)
        experiment = training.on_judged_data(experiment, settings)
        results = training.evaluate(experiment, settings)
    except (ValueError, OSError, ImportError) as error:
        return refuse(error)
    path = run.evaluation(settings.name)
    path.parent.mkdir(exist_ok=True)
    content = {
        "step": step,
        "results": results,
        "evaluation": dataclasses.asdict(settings),
        **training.circumstances(experiment, settings),
    }
    write_whole(path, json.dumps(content, indent=2) + "\n")
    for contender, result in results.items():
        print(f"{contender}: {_figures(result)}")
    print(f"{settings.protocol} after step {step}: {path}")
    return 0


def _figures(result) -> str:
    """What a person wants to see of one contender."""
    if "estimate" in result:
        return f"{result['estimate']:.3f} nats"
    if "mean_distance" in result:
        return f"mean distance {result['mean_distance']:.2f} pixels"
    top1, top5 = 100 * result["top1"], 100 * result["top5"]
    return f"top-1 {top1:.2f} % (error {100 - top1:.2f} %), top-5 {top5:.2f} %"


if __name__ == "__main__":
    config.define_settings(EvaluationConfig)
    app.run(main, flags_parser=functools.partial(parse, required=["run_dir"]))
