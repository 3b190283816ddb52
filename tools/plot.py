"""Draws figures of finished runs:

    python tools/plot.py mi_accuracy --sweep_dir=sweeps/colours

mi_accuracy: the accuracy of every finished run in a sweep's folder over the information that its
views share (CMC, Figure 5). Both are measured before, by the sweep's own command with
--protocol=information and with --protocol=linear. The picture goes to <sweep_dir>/mi_accuracy.png.
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

_FIGURES = ("mi_accuracy",)
_SWEEP_DIR = flags.DEFINE_string("sweep_dir", None, "The sweep.")
_INFORMATION = flags.DEFINE_string(
    "information",
    "information",
    "What has measured the information: the protocol information, which is MINE, or a scalar of "
    "metrics.jsonl, such as information/1-2.",
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
    try:
        plots.check_matplotlib()
        runs = sweeps.shared_information(
            directory, information=_INFORMATION.value, accuracy=_ACCURACY.value
        )
        measure = "MINE" if _INFORMATION.value == "information" else _INFORMATION.value
        # linear_on-tfds-cifar10: linear accuracy on tfds cifar10.
        protocol, *judged = re.split("[-_]", _ACCURACY.value)
        label = " ".join([protocol, "accuracy", *judged])
        figure = plots.plot_information(runs, label=label, measure=measure)
        path = directory / "mi_accuracy.png"
        figure.savefig(path)
    except (ValueError, OSError, ImportError) as error:
        return refuse(error)
    for run in sorted(runs, key=lambda run: run.information):
        print(f"{run.information:8.3f} nats  {100 * run.accuracy:6.2f} %  {run.name}")
    print(f"{path}")
    return 0


def _parse(arguments: List[str]) -> List[str]:
    """Flags behind the name of a figure."""
    if not {"--help", "--helpfull"} & set(arguments) and arguments[1:2] not in (
        [f] for f in _FIGURES
    ):
        expected = f"expected a figure first, one of {', '.join(_FIGURES)}"
        sys.exit(refuse(f"{expected}. Received: {' '.join(arguments[1:2]) or 'none'}."))
    return parse([arg for arg in arguments if arg not in _FIGURES], required=["sweep_dir"])


if __name__ == "__main__":
    app.run(main, flags_parser=_parse)
