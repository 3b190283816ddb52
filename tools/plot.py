"""Draws figures of finished runs:

    python tools/plot.py mi_accuracy --sweep_dir=sweeps/colours
    python tools/plot.py infomin --sweep_dir=sweeps/infomin_crop

mi_accuracy: the accuracy of every finished run in a sweep's folder over the information that its
views share (CMC, Figure 5). Both are measured before, by the sweep's own command with
--protocol=information and with --protocol=linear.

infomin: the same over I_NCE, the mean of the last epoch, with the runs joined in the order of what
is swept, the last axis of the grid, and its sweet spot marked (InfoMin, Figures 4 to 6). The other
axes have a curve for each value; of several seeds it shows mean and deviation.

The picture goes to <sweep_dir>/<figure>.png.
"""

import pathlib
import re
import sys
from typing import List

import environment  # noqa: F401  (first, before TensorFlow)

# isort: split

from absl import app, flags
from command_line import parse, refuse

from tfssl import plots
from tfssl.training import sweeps

# Of each figure, what has measured the information where nothing else is asked for.
_FIGURES = {"mi_accuracy": "information", "infomin": "epoch/information"}
_SWEEP_DIR = flags.DEFINE_string("sweep_dir", None, "The sweep.")
_FIGURE = flags.DEFINE_enum("figure", "mi_accuracy", list(_FIGURES), "The first word says it.")
_INFORMATION = flags.DEFINE_string(
    "information",
    None,
    "What has measured the information: the protocol information, which is MINE, or a scalar of "
    "metrics.jsonl, such as information/1-2. Unset: information for mi_accuracy, and "
    "epoch/information for infomin.",
)
_ACCURACY = flags.DEFINE_string(
    "accuracy",
    "linear",
    "knn, or the protocol that has judged the runs, by its result's name, such as "
    "linear_on-tfds-cifar10.",
)


def main(_) -> int:
    """Reads, draws and writes; returns the exit code."""
    directory = pathlib.Path(_SWEEP_DIR.value)
    information = _INFORMATION.value or _FIGURES[_FIGURE.value]
    try:
        plots.check_matplotlib()
        runs = sweeps.shared_information(
            directory, information=information, accuracy=_ACCURACY.value
        )
        measure = "MINE" if information == "information" else information
        # linear_on-tfds-cifar10: linear accuracy on tfds cifar10.
        protocol, *judged = re.split("[-_]", _ACCURACY.value)
        label = " ".join([protocol, "accuracy", *judged])
        draw = {"mi_accuracy": plots.plot_information, "infomin": plots.plot_sweet_spots}
        figure = draw[_FIGURE.value](runs, label=label, measure=measure)
        path = directory / f"{_FIGURE.value}.png"
        figure.savefig(path)
    except (ValueError, OSError, ImportError) as error:
        return refuse(error)
    for run in sorted(runs, key=lambda run: run.information):
        print(f"{run.information:8.3f} nats  {100 * run.accuracy:6.2f} %  {run.name}")
    if _FIGURE.value == "infomin":
        for name, points in plots.sweet_spots(runs).items():
            best = plots.sweet_spot(points)
            words = f"{name}: {best.value}".lstrip(": ")
            print(f"sweet spot  {words}, {best.information:.3f} nats, {100 * best.accuracy:.2f} %")
    print(f"{path}")
    return 0


def _parse(arguments: List[str]) -> List[str]:
    """Flags behind the name of a figure."""
    if {"--help", "--helpfull"} & set(arguments):
        return parse(arguments, required=["sweep_dir"])
    if arguments[1:2] not in ([name] for name in _FIGURES):
        expected = f"expected a figure first, one of {', '.join(_FIGURES)}"
        sys.exit(refuse(f"{expected}. Received: {' '.join(arguments[1:2]) or 'none'}."))
    named = f"--figure={arguments[1]}"
    return parse([arguments[0], *arguments[2:], named], required=["sweep_dir"])


if __name__ == "__main__":
    app.run(main, flags_parser=_parse)
