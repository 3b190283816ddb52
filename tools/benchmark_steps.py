"""Times a training step, and how much of it is not the encoders' forward and backward passes."""

import contextlib
import statistics
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence

import tfssl  # noqa: F401  (first, it selects Keras 2)

# isort: split

import tensorflow as tf

from tfssl import config, methods, training, views

_REPEATS = 7
_FRAMES = 10  # Of a clip.


class Pass(NamedTuple):
    """One call of an encoder in a step.

    Attributes:
        encoder: what is called.
        shape: of its images.
        learned: whether its weights have a gradient; a teacher's have none.
    """

    encoder: tf.keras.Model
    shape: tf.TensorShape
    learned: bool


def rows(flagfile: str) -> List[Dict[str, Any]]:
    """Times one step of a config on random views.

    Args:
        flagfile: the config; its data are not read.

    Returns:
        Rows `{"name", "value", "unit", "ratio", "note"}`: milliseconds of the whole step and of
        the encoders' passes alone, taking turns; the ratio is to the whole step.
    """
    wanted = config.read_flagfile(flagfile)
    run, family = wanted.training, views.build_from(wanted.views)
    plan = methods.Plan(
        run.batch_size,
        steps_per_epoch=100,
        total_steps=1000,
        num_records=10**5,
        view_channels=family.channels,
        view_size=family.sizes[0],
    )
    smallest = min([*family.sizes, *([family.patch_size] if family.patch_size else [])])
    encoders = []

    def build_encoder(**options) -> tf.keras.Model:
        encoders.append(wanted.backbone.build(image_size=smallest, **options))
        return encoders[-1]

    method = methods.get(run.method)(wanted.method, plan, build_encoder)
    method.compile(optimizer=training.SGD(0.1), run_eagerly=True)
    method.optimizer.build(method.trainable_variables)
    batch = _batch(family, run.batch_size)
    passes = passes_of(method, batch, encoders)
    method.run_eagerly = False
    advance = method.make_train_function(force=True)
    whole, alone = _medians(lambda: advance(iter([batch])), _passes_alone(passes))
    note = f"{run.method}, batch {run.batch_size}, views {family.sizes}"
    return [
        {"name": "training step", "value": whole, "unit": "ms", "ratio": 1.0, "note": note},
        {
            "name": "encoders' passes alone",
            "value": alone,
            "unit": "ms",
            "ratio": alone / whole,
            "note": f"{100 * (1 - alone / whole):.0f} % of the step is outside",
        },
    ]


def _batch(family: views.ViewFamily, batch_size: int) -> Dict[str, Any]:
    """Random views and patches as a family makes them."""
    shapes = [(size, size, count) for size, count in zip(family.sizes, family.channels)]
    if family.clips:
        shapes[0] = (_FRAMES, *shapes[0])
    batch = {
        "views": tuple(tf.random.normal([batch_size, *shape]) for shape in shapes),
        "index": tf.range(batch_size, dtype=tf.int64),
    }
    if family.patch_size:
        patch = [batch_size, 9, family.patch_size, family.patch_size, sum(family.groups)]
        batch["patches"] = tf.random.normal(patch)
    return batch


def passes_of(
    method: methods.Method, batch: Dict[str, Any], encoders: Sequence[tf.keras.Model]
) -> List[Pass]:
    """Makes a step and notes what its encoders see.

    Args:
        method: compiled to run eagerly.
        batch: of one step.
        encoders: all that were built for it.

    Returns:
        Every call of an encoder, or of a model of its maps, in their order.
    """
    seen: List[Pass] = []
    learned = {id(variable) for variable in method.trainable_variables}

    def note(encoder: tf.keras.Model, images: tf.Tensor) -> None:
        own = {id(variable) for variable in encoder.trainable_variables}
        seen.append(Pass(encoder, images.shape, bool(own & learned)))

    with _watched(encoders, note):
        method.make_train_function(force=True)(iter([batch]))
    return seen


@contextlib.contextmanager
def _watched(encoders: Sequence[tf.keras.Model], note) -> Iterator[None]:
    """Tells `note` of every call of models that begin where one of these does."""
    inputs = {id(encoder.inputs[0]) for encoder in encoders}
    kind = type(encoders[0])
    call = kind.call

    def noted(model, images, *arguments, **options):
        if id(model.inputs[0]) in inputs:
            note(model, images)
        return call(model, images, *arguments, **options)

    kind.call = noted
    try:
        yield
    finally:
        kind.call = call


def _passes_alone(passes: Sequence[Pass]):
    """Forward and backward of passes that learn, and forward alone of a teacher's."""
    inputs = [tf.random.normal(one.shape) for one in passes]
    variables = {id(v): v for one in passes if one.learned for v in one.encoder.trainable_variables}

    def outputs(learned: bool) -> List[tf.Tensor]:
        return [
            tf.reduce_sum(one.encoder(images, training=True))
            for one, images in zip(passes, inputs)
            if one.learned == learned
        ]

    @tf.function(autograph=False)
    def run():
        with tf.GradientTape() as tape:
            total = tf.add_n(outputs(learned=True))
        gradients = tape.gradient(total, list(variables.values()))
        return tf.add_n([*(tf.reduce_sum(g) for g in gradients), *outputs(learned=False)])

    return run


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
