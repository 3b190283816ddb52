"""Trains a grid of runs and compares them:

    python tools/sweep.py --flagfile=configs/digits/interclr.cfg --sweep_dir=sweeps/samplers \\
        --grid='interclr_sampler=hard,semi_hard,random' --seeds=0,1,2

An axis of the grid is a flag and its values. Axes multiply, in one --grid behind semicolons or in
several. A value may be a config, and may take flags along behind a +. Quotes protect commas:

    --grid='npid_margin=-0.5,0,0.5;interclr_exclude_self=true,false'
    --grid='flagfile=configs/digits/npid.cfg,configs/digits/moco.cfg+lr=0.2'
    --grid='lr_decay_epochs="30,40","20"'

A run has the flags of this command, --grid replaced in its place by a value of each axis, and later
flags win: --epochs before --grid is a default for the configs in it, behind it overrides them.
Flags of evaluate.py, such as --protocol=linear, judge every run. Each is trained in a process of
its own, one after another; the same command goes on with what is not finished. Exit codes: 1, a run
has failed; 2, the command is refused before any work, was stopped, or a picture cannot be made.
"""

import functools
import pathlib
import shlex
import sys

import environment  # noqa: F401  (first, before TensorFlow)

# isort: split

import tensorflow as tf
from absl import app, flags
from command_line import parse, refuse

from tfssl import config
from tfssl.evaluation import EvaluationConfig
from tfssl.training import sweeps

_SWEEP_DIR = flags.DEFINE_string("sweep_dir", None, "Where the sweep's files go, or already are.")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Check and list the runs, and end.")


def main(_) -> int:
    """Trains what is not finished, writes tables and pictures; returns the exit code."""
    # The runs need the GPUs; this process only waits for them.
    tf.config.set_visible_devices([], "GPU")
    study = None
    try:
        wanted = config.settings_from_flags(sweeps.SweepConfig, flags.FLAGS)
        if wanted.seeds and flags.FLAGS["seed"].present:
            print(f"--seed={flags.FLAGS.seed} is replaced by --seeds={wanted.seeds}.")
        arguments, read = config.expand(sys.argv[1:]), config.reader(flags.FLAGS)
        grid = sweeps.make_grid(arguments, wanted.seed_numbers(), read, config.expand)
        directory = sweeps.SweepDirectory(_SWEEP_DIR.value)
        directory.check(grid.cells, config.complete_flagfile)
        judged = config.settings_if_given(EvaluationConfig, flags.FLAGS)
        protocol = config.to_arguments(judged) if judged else ()
        worker = sweeps.Worker(directory, pathlib.Path(__file__).parent, judged, protocol)
        command = shlex.join(["python", *sys.argv])
        study = sweeps.Sweep(grid, directory, worker, wanted, command=command)
        study.check_data()
        if _DRY_RUN.value:
            print(study.overview())
        else:
            study.run()
    except (ValueError, OSError, ImportError, sweeps.SweepStopped) as error:
        refused = refuse(error)
        return 1 if study and study.failures else refused
    return int(bool(study.failures))


if __name__ == "__main__":
    flags.DEFINE_multi_string("grid", [], "Axes: flag=value,value;flag=value. See above.")
    for owner in (sweeps.SweepConfig, EvaluationConfig):
        config.define_settings(owner)
    config.define()
    app.run(main, flags_parser=functools.partial(parse, required=["sweep_dir"]))
