"""Trains a backbone: python tools/train.py --flagfile=configs/digits/mira.cfg --run_dir=runs/digits

The same command continues a run that was killed. A finished run says so and does nothing.
"""

import functools

import environment  # noqa: F401  (first, before TensorFlow)

# isort: split

from absl import app, flags, logging
from command_line import parse, refuse

from tfssl import config, training

_RUN_DIR = flags.DEFINE_string("run_dir", None, "Where the run's files go, or already are.")


def main(_) -> int:
    """Prepares and trains; returns the exit code."""
    run = training.RunDirectory(_RUN_DIR.value)
    try:
        wanted = config.from_flags(flags.FLAGS)
        claim = functools.partial(
            run.claim, config.to_flagfile(wanted), complete=config.complete_flagfile
        )
        claim(write=False)
        if run.finished() is not None:
            print(f"{run.path}: this run has finished.\n{training.summary(run.finished())}")
            return 0
        experiment = training.prepare(wanted)
        claim(write=training.is_chief(experiment.strategy))
        for name, value in training.describe(experiment).items():
            logging.info("%s: %s", name, value)
        result = training.train(experiment, run)
    except (ValueError, OSError, ImportError, training.TrainingStopped) as error:
        if flags.FLAGS.debug:
            raise
        return refuse(error)
    if result:
        print(training.summary(result))
        if wanted.training.final_export:
            print(f"backbone: {run.backbone}")
    return 0


if __name__ == "__main__":
    flags.DEFINE_bool("debug", False, "Show the traceback of an error instead of one sentence.")
    config.define()
    app.run(main, flags_parser=functools.partial(parse, required=["run_dir"]))
