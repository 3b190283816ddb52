"""Hands a run's backbone over: python tools/export.py --run_dir=runs/digits --output=backbone

Writes a SavedModel from the run's newest checkpoint, whether the run has finished or not.
"""

import functools

import environment  # noqa: F401  (first, before TensorFlow)

# isort: split

from absl import app, flags
from command_line import parse, refuse

from tfssl import config, training

_RUN_DIR = flags.DEFINE_string("run_dir", None, "The run.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder with prepared tfds data, where it is not the run's any more."
)
_OUTPUT = flags.DEFINE_string("output", None, "Where the SavedModel goes; a new folder.")


def main(_) -> int:
    """Restores the run and exports its evaluated encoder; returns the exit code."""
    run = training.RunDirectory(_RUN_DIR.value)
    try:
        experiment, step = training.restore(config.read_run(run, _DATA_DIR.value), run)
        training.export_backbone(experiment, _OUTPUT.value)
    except (ValueError, OSError, ImportError) as error:
        return refuse(error)
    print(f"{_OUTPUT.value}: the backbone after step {step}")
    return 0


if __name__ == "__main__":
    app.run(main, flags_parser=functools.partial(parse, required=["run_dir", "output"]))
