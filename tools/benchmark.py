"""Measures kernels, views, steps, banks, colours: python tools/benchmark.py [--photos=<folder>]

Contenders of one group take turns in one process, and medians are printed. Compare ratios rather
than times: they hold on a machine that does other work.
"""

import functools

import environment  # noqa: F401  (first, before TensorFlow)

# isort: split

import benchmark_banks
import benchmark_clusters
import benchmark_colour
import benchmark_kernels
import benchmark_multiview
import benchmark_steps
import benchmark_view_layers
import benchmark_views
from absl import app, flags
from command_line import parse, refuse

from tfssl import config

# Group -> what its column of ratios means.
_RATIOS = {
    "kernels": "time over that of the first row of its kind",
    "views": "speed over that of Pillow",
    "layers": "share of the time of a view",
    "channels": "time over that of --views=lab",
    "steps": "time over that of the whole step",
    "banks": "time over that of the step with own negatives",
    "multiview": "time over that of the library's step",
    "sampling": "time over that of --interclr_sampling=subset",
    "clusters": "time over that of the running sums",
    "kmeans": "time over that of the library's",
    "colour": "speed over that of scikit-image",
}

_GROUPS = flags.DEFINE_list("groups", list(_RATIOS), "What is measured.")
_PHOTOS = flags.DEFINE_string("photos", None, "Folder of JPEG files, for the views of 224 pixels.")
_CONFIG = flags.DEFINE_string("config", "configs/cifar10/mira_cpu.cfg", "The step that is timed.")


def main(_) -> int:
    """Prints one table a group; returns the exit code."""
    groups = {
        "kernels": benchmark_kernels.rows,
        "views": lambda: benchmark_views.rows(_PHOTOS.value),
        "layers": lambda: benchmark_view_layers.rows(_PHOTOS.value),
        "channels": benchmark_views.channel_rows,
        "steps": lambda: benchmark_steps.rows(_CONFIG.value),
        "banks": benchmark_banks.rows,
        "multiview": benchmark_multiview.rows,
        "sampling": benchmark_clusters.sampling_rows,
        "clusters": benchmark_clusters.cluster_rows,
        "kmeans": benchmark_clusters.kmeans_rows,
        "colour": benchmark_colour.rows,
    }
    try:
        _check(groups)
    except (ValueError, OSError, ImportError) as error:
        return refuse(error)
    for group in _GROUPS.value:
        print(f"\n{group}: x is {_RATIOS[group]}")
        if group in ("views", "layers") and _PHOTOS.value is None:
            print("  (without --photos, no rows of 224 pixels)")
        for row in groups[group]():
            value = f"{row['value']:10.2f} {row['unit']:9s}"
            print(f"  {row['name']:44s} {value} {row['ratio']:7.2f}x  {row['note']}", flush=True)
    return 0


def _check(groups) -> None:
    """Raises on arguments that cannot be used, before minutes of measuring."""
    unknown = sorted(set(_GROUPS.value) - set(groups))
    if unknown:
        raise ValueError(f"--groups: expected some of {', '.join(groups)}. Received: {unknown}.")
    if _PHOTOS.value is not None:
        benchmark_views.jpeg_files(_PHOTOS.value)
    if "steps" in _GROUPS.value:
        config.read_flagfile(_CONFIG.value)
    if "colour" in _GROUPS.value:
        benchmark_colour.scikit_image()


if __name__ == "__main__":
    app.run(main, flags_parser=functools.partial(parse, required=[]))
