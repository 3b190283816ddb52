"""Times a training step, and how much of it is not the backbone's forward and backward passes."""

import statistics
import time
from typing import Any, Dict, List, Sequence, Tuple

import tfssl  # noqa: F401  (first, it selects Keras 2)

# isort: split
import tensorflow as tf

from tfssl import config, layers, methods, training, views

_REPEATS = 7


def rows(flagfile: str) -> List[Dict[str, Any]]:
    """Times one step of a config on random views.

    Args:
        flagfile: the config; its data are not read.

    Returns:
        Rows `{"name", "value", "unit", "ratio", "note"}`: milliseconds of the whole step and of
        the backbone's passes alone, taking turns; the ratio is to the whole step.
    """
    wanted = config.read_flagfile(flagfile)
    run = wanted.training
    family = views.build_from(wanted.views)
    sizes, patch = family.sizes, family.patch_size
    plan = methods.Plan(run.batch_size, steps_per_epoch=100, total_steps=1000, num_records=10**5)

    def build_encoder(**options) -> tf.keras.Model:
        smallest = min([*sizes, *([patch] if patch else [])])
        return wanted.backbone.build(image_size=smallest, **options)

    method = methods.get(run.method)(wanted.method, plan, build_encoder)
    method.compile(optimizer=training.SGD(0.1))
    method.optimizer.build(method.trainable_variables)
    batch = {
        "views": tuple(tf.random.normal([run.batch_size, size, size, 3]) for size in sizes),
        "index": tf.range(run.batch_size, dtype=tf.int64),
    }
    images = [*batch["views"]]
    if patch:
        batch["patches"] = tf.random.normal([run.batch_size, 9, patch, patch, 3])
        images.append(tf.reshape(batch["patches"], [-1, patch, patch, 3]))
    advance = method.make_train_function()
    whole, passes = _medians(
        lambda: advance(iter([batch])),
        _backbone_passes(method.fresh_encoder(build_encoder), *branches(method, images)),
    )
    note = f"{run.method}, batch {run.batch_size}, views {sizes}"
    outside = 1 - passes / whole
    return [
        {"name": "training step", "value": whole, "unit": "ms", "ratio": 1.0, "note": note},
        {
            "name": "backbone's passes alone",
            "value": passes,
            "unit": "ms",
            "ratio": passes / whole,
            "note": f"{100 * outside:.0f} % of the step is outside",
        },
    ]


def branches(
    method: methods.Method, images: Sequence[tf.Tensor]
) -> Tuple[Sequence[tf.Tensor], Sequence[tf.Tensor]]:
    """The views that have a gradient in a step of a method, and those that its teacher sees.

    Args:
        method: any; InterCLR sees what its base sees.
        images: all views of a batch, patches last.
    """
    method = getattr(method, "base", method)
    if not any(isinstance(part, layers.Teacher) for part in method.submodules):
        return images, []
    # MoCo's key encoder has a view of its own, and there is no swap.
    return (images[:1], images[1:2]) if hasattr(method, "key") else (images, images[:2])


def _backbone_passes(encoder: tf.keras.Model, learned, taught):
    """Forward and backward of some views, and forward alone of those that a teacher sees."""

    def outputs(batches):
        return [tf.reduce_sum(encoder(images, training=True)) for images in batches]

    @tf.function(autograph=False)
    def passes():
        with tf.GradientTape() as tape:
            total = tf.add_n(outputs(learned))
        gradients = tape.gradient(total, encoder.trainable_variables)
        return tf.add_n([*(tf.reduce_sum(g) for g in gradients), *outputs(taught)])

    return passes


def _medians(*candidates) -> List[float]:
    """Median milliseconds of each, taking turns, after two rounds to warm up."""
    times: List[List[float]] = [[] for _ in candidates]
    for turn in range(_REPEATS + 2):
        for own, run in zip(times, candidates):
            begin = time.perf_counter()
            run()
            tf.test.experimental.sync_devices()
            if turn > 1:
                own.append(1e3 * (time.perf_counter() - begin))
    return [statistics.median(own) for own in times]
