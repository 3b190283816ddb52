"""Measures what each layer of InfoMin's views takes, and each operation of its RandAugment."""

import statistics
import time
from typing import Any, Callable, Dict, List, Optional

import benchmark_views

from tfssl import views
from tfssl.ops.keyed_random import fold_key

import tensorflow as tf  # isort: skip  (after tfssl, which selects Keras 2)

_FAMILY, _SIZE = "infomin", 224
_BATCH = 64
_REPEATS = 7


def rows(image_folder: Optional[str], *, size: int = _SIZE) -> List[Dict[str, Any]]:
    """Measures the layers of one view, alone and one after the other.

    Args:
        image_folder: a folder of JPEG files; without it there are no rows.
        size: side of the views in pixels.

    Returns:
        Rows `{"name", "value", "unit", "ratio", "note"}`: milliseconds a view, in the mean over
        views on which a layer fires and those on which it does not; the ratio is the share of the
        sum of all layers. A row of RandAugment's operations has their part of its time.
    """
    if image_folder is None:
        return []
    files = benchmark_views.jpeg_files(image_folder)[:_BATCH]
    family = views.build(_FAMILY, image_size=size)
    layers = family._views[0].layers
    keys = fold_key(0, tf.range(len(files)))
    crops = tf.stack([family.crop(file, key)[0] for file, key in zip(files, keys)])
    augment = next(layer for layer in layers if isinstance(layer, views.RandAugment))
    contenders: Dict[str, Callable] = {
        "decoding and crop, of two views": _cropping(family, files),
        "nothing": _chain([]),
        **{type(layer).__name__: _chain([layer]) for layer in layers},
        "all layers": _chain(layers),
        **{f"  {name}": _chain([_alone(augment, name)]) for name in augment.operations},
    }
    seconds = _measure(contenders, crops, keys)
    return _table(seconds, len(layers), len(files), augment)


def _table(seconds, num_layers: int, count: int, augment) -> List[Dict[str, Any]]:
    """Milliseconds a view and shares."""
    idle = seconds.pop("nothing")
    together = seconds.pop("all layers") - idle
    # Both views of an image come from one decoding.
    crop = seconds.pop("decoding and crop, of two views") / 2
    own = {name: max(value - idle, 0.0) for name, value in seconds.items()}
    layers = {"decoding and crop": crop, **dict(list(own.items())[:num_layers])}
    # An operation comes at this rate in a view.
    rate = augment.num_operations * augment.operation_probability / len(augment.operations)
    operations = {name: rate * value for name, value in list(own.items())[num_layers:]}
    total = sum(layers.values())

    def row(name: str, value: float, note: str = "") -> Dict[str, Any]:
        return {
            "name": f"{_FAMILY} {name}",
            "value": 1e3 * value / count,
            "unit": "ms",
            "ratio": value / total,
            "note": note,
        }

    whole = f"{count / total:.0f} views/s; layers in one program {1e3 * together / count:.2f} ms"
    return [
        row("view", total, f"{whole}; medians of {_REPEATS}"),
        *(row(name, value) for name, value in layers.items()),
        *(
            row(name, value, f"{1e3 * value / rate / count:.2f} ms where it fires")
            for name, value in operations.items()
        ),
    ]


def _alone(augment, name: str):
    """RandAugment of one operation that always fires."""
    return views.RandAugment(operations=[name], num_operations=1, operation_probability=1.0)


def _chain(layers) -> Callable:
    """Layers on one crop after the other, compiled, as a view family runs them."""

    def one(element):
        image, key = element
        image = tf.transpose(image, [2, 0, 1])[tf.newaxis]
        for layer in layers:
            image = layer.transform(image, key[tf.newaxis])
        return tf.transpose(image[0], [1, 2, 0])

    def run(crops, keys):
        return tf.map_fn(one, (crops, keys), fn_output_signature=tf.float32)

    return tf.function(run, autograph=False, jit_compile=True)


def _cropping(family, files) -> Callable:
    """Decoding of all files, and their crops."""
    encoded = tf.constant(files)

    def run(crops, keys):
        signature = (tf.TensorSpec(crops.shape[1:]),) * 2
        return tf.map_fn(
            lambda pair: family.crop(*pair), (encoded, keys), fn_output_signature=signature
        )

    return tf.function(run, autograph=False)


def _measure(contenders: Dict[str, Callable], crops, keys) -> Dict[str, float]:
    """Median seconds of each, taking turns, after a call that compiles; new draws every turn."""
    seconds: Dict[str, List[float]] = {name: [] for name in contenders}
    for repeat in range(_REPEATS + 1):
        turn = fold_key(keys, repeat)
        for name, run in contenders.items():
            start = time.perf_counter()
            tf.nest.map_structure(lambda made: made.numpy(), run(crops, turn))
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times[1:]) for name, times in seconds.items()}
