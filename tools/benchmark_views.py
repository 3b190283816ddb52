"""Measures views: python tools/benchmark_views.py [folder of JPEG files]

Every family runs in a tf.data pipeline with parallelism 2, beside the same recipe written with
Pillow in two worker processes. Figures are source images per second, medians of repeats that
alternate between the two, so that other work on the machine hits both.
"""

import os
import pathlib
import statistics
import sys
import time
from typing import Any, Optional, Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")

import numpy as np
import pillow_views

from tfssl import views
from tfssl.ops.keyed_random import fold_key

import tensorflow as tf  # isort: skip  (after tfssl, which selects Keras 2)

_PARALLELISM = 2
_REPEATS = 5
_BATCH = 64

# (family, image size, options, source images of a repeat) of the rows, from arrays and from files.
_SMALL = (("cifar", 32, {}, 2048), ("simclr", 32, {}, 2048))
_LARGE = (
    ("mocov2", 224, {}, 256),
    ("simclr", 224, {}, 256),
    ("byol", 224, {}, 256),
    ("infomin", 224, {}, 256),
    ("mira", 224, {}, 256),
    ("mira", 224, {"local_crops": 6}, 192),
)
# (name, family, options) of rows that end with groups of channels, as for CMC; others add to the
# first.
_CHANNELS = (
    ("lab", "lab", {}),
    ("lab, jigsaw", "lab", {"jigsaw": True, "jigsaw_patch": 16}),
    ("lab, RandAugment", "lab", {"rand_augment": True}),
    ("hsv", "crop", {"color_split": "hsv"}),
    ("hed", "crop", {"color_split": "hed"}),
)


def rows(image_folder: Optional[str] = None) -> list[dict[str, Any]]:
    """Measures all families.

    Args:
        image_folder: a folder whose JPEG files, at any depth, feed the rows at 224 pixels; without
            it they are left out.

    Returns:
        Rows `{"name", "value", "unit", "ratio", "note"}`; the ratio is to Pillow, above 1 where
        tfssl is faster.
    """
    with pillow_views.PillowPool(_PARALLELISM) as pool:
        result = [_row(*case, images=_arrays(*case[1::2]), pool=pool) for case in _SMALL]
        if image_folder is not None:
            files = jpeg_files(image_folder)
            for case in _LARGE:
                repeated = [files[i % len(files)] for i in range(case[3])]
                result.append(_row(*case, images=repeated, pool=pool))
    return result


def _row(
    name: str,
    size: int,
    options: dict,
    count: int,
    *,
    images: Sequence,
    pool: pillow_views.PillowPool,
) -> dict[str, Any]:
    """One family beside Pillow."""
    family = views.build(name, image_size=size, **options)
    recipe = _plain(name, family)
    ours, pillow = [], []
    # Compiles, and warms the workers up.
    _seconds(_dataset(family, images, 0).take(1))
    pool.seconds(images[:_BATCH], recipe)
    for repeat in range(1, _REPEATS + 1):
        ours.append(count / _seconds(_dataset(family, images, repeat)))
        pillow.append(count / pool.seconds(images, recipe))
    value, yardstick = statistics.median(ours), statistics.median(pillow)
    sizes = " + ".join(f"{family.sizes.count(s)}x{s}" for s in dict.fromkeys(family.sizes))
    return {
        "name": f"views {name} {sizes}",
        "value": value,
        "unit": "images/s",
        "ratio": value / yardstick,
        "note": f"{'arrays' if size <= 64 else 'JPEG files'}; Pillow in {_PARALLELISM} processes: "
        f"{yardstick:.0f} images/s; medians of {_REPEATS}",
    }


def channel_rows() -> list[dict[str, Any]]:
    """Measures families that end with groups of channels, on arrays of 32 pixels.

    Returns:
        Rows as of `rows`; the ratio is the time over that of the first.
    """
    families = {
        name: views.build(family, image_size=32, **options) for name, family, options in _CHANNELS
    }
    images = _arrays(32, 2048)
    seconds = {name: [] for name in families}
    for repeat in range(_REPEATS + 1):
        for name, family in families.items():
            seconds[name].append(_seconds(_dataset(family, images, repeat)))
    # The first repeat compiles.
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    return [
        {
            "name": f"views {name}",
            "value": len(images) / median,
            "unit": "images/s",
            "ratio": median / medians["lab"],
            "note": f"arrays of 32 pixels; medians of {_REPEATS}",
        }
        for name, median in medians.items()
    ]


def _dataset(family: views.ViewFamily, images: Sequence, seed: int) -> tf.data.Dataset:
    """One pass over the images, as a training pipeline makes it: with draws of its own."""
    keys = fold_key(seed, tf.range(len(images)))
    if isinstance(images[0], np.ndarray):
        dataset = tf.data.Dataset.from_tensor_slices((np.stack(images), keys))
        dataset = dataset.batch(_BATCH, drop_remainder=True)
        return dataset.map(family, _PARALLELISM).prefetch(1)

    def crop(encoded, key):
        return family.crop(encoded, key), key

    dataset = tf.data.Dataset.from_tensor_slices((list(images), keys))
    dataset = dataset.map(crop, _PARALLELISM).batch(_BATCH, drop_remainder=True)
    return dataset.map(family.finish, _PARALLELISM).prefetch(1)


def _seconds(dataset: tf.data.Dataset) -> float:
    """Wall time of one pass, without preparing its graph, which a run does once an epoch."""
    batches = iter(dataset)
    start = time.perf_counter()
    for _ in batches:
        pass
    return time.perf_counter() - start


def _plain(name: str, family: views.ViewFamily) -> list[pillow_views.View]:
    """The family's recipe as plain data."""
    recipe = views.FAMILIES[name]
    chosen = list(recipe.views) + [recipe.local] * (family.num_views - len(recipe.views))
    return [
        (size, v.area, v.interpolation, [(layer.__name__, dict(a)) for layer, a in v.steps])
        for size, v in zip(family.sizes, chosen)
    ]


def _arrays(size: int, count: int) -> list[np.ndarray]:
    """Smooth random images, uint8 `[size, size, 3]`."""
    random = np.random.default_rng(0)
    coarse = random.random((count, 4, 4, 3), np.float32)
    smooth = tf.image.resize(coarse, (size, size), method="bicubic").numpy()
    return list((smooth.clip(0, 1) * 255).astype(np.uint8))


def jpeg_files(folder: str) -> list[bytes]:
    """The contents of up to 256 JPEG files."""
    paths = sorted(
        p for p in pathlib.Path(folder).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg")
    )
    if not paths:
        raise ValueError(f"--photos: expected a folder with JPEG files. Received: {folder}.")
    return [path.read_bytes() for path in paths[:256]]


def main(arguments: Sequence[str]) -> None:
    """Prints the rows."""
    for row in rows(arguments[0] if arguments else None):
        print(
            "{name:28s} {value:8.0f} {unit}  {ratio:5.2f}x Pillow  ({note})".format(**row),
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
