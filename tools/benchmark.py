"""Measures kernels, views and training steps: python tools/benchmark.py [--photos=<JPEG folder>]

Contenders of one group take turns in one process, and medians are printed. Compare ratios rather
than times: they hold on a machine that does other work.
"""

import functools

import environment  # noqa: F401  (first, before TensorFlow)

# isort: split

import benchmark_kernels
import benchmark_steps
import benchmark_views
from absl import app, flags
from command_line import parse, refuse

_GROUPS = flags.DEFINE_list("groups", ["kernels", "views", "steps"], "What is measured.")
_PHOTOS = flags.DEFINE_string("photos", None, "Folder of JPEG files, for the views of 224 pixels.")
_CONFIG = flags.DEFINE_string("config", "configs/cifar10/mira_cpu.cfg", "The step that is timed.")


def main(_) -> int:
    """Prints one table a group; returns the exit code."""
    groups = {
        "kernels": benchmark_kernels.rows,
        "views": lambda: benchmark_views.rows(_PHOTOS.value),
        "steps": lambda: benchmark_steps.rows(_CONFIG.value),
    }
    unknown = sorted(set(_GROUPS.value) - set(groups))
    if unknown:
        return refuse(
            ValueError(f"--groups: expected some of {', '.join(groups)}. Received: {unknown}.")
        )
    for group in _GROUPS.value:
        print(f"\n{group}")
        for row in groups[group]():
            value = f"{row['value']:10.2f} {row['unit']:9s}"
            print(f"  {row['name']:44s} {value} {row['ratio']:7.2f}x  {row['note']}", flush=True)
    return 0


if __name__ == "__main__":
    app.run(main, flags_parser=functools.partial(parse, required=[]))
