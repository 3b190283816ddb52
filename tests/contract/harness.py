"""A small instance of any registered method, and one step of it in several ways."""

import dataclasses
import pathlib
from typing import Dict, List, Optional, Sequence

import numpy as np
import tensorflow as tf

from tfssl import backbones, config, methods
from tfssl.training import SGD

# Widths of heads, banks and queues are named alike in every method; these keep a step short.
SMALL = {
    "num_prototypes": 64,
    "hidden_dim": 32,
    "projection_dim": 128,
}
DIGITS = pathlib.Path(__file__).parents[2] / "configs" / "digits"
SIZE = 16
BATCH = 8


def small_settings(name: str, **overrides):
    """A method's settings with small widths; `overrides` win."""
    config = methods.get(name).Config
    fields = {field.name for field in dataclasses.fields(config)}
    small = {key: value for key, value in SMALL.items() if key in fields}
    return config(**{**small, **overrides})


def embedded_settings(name: str) -> Dict:
    """What configs/digits/<name>.cfg chooses for the method, without widths and schedules."""
    chosen = config.read_flagfile(str(DIGITS / f"{name}.cfg")).method
    keep = {k: v for k, v in dataclasses.asdict(chosen).items() if k not in SMALL}
    return {key: value for key, value in keep.items() if not key.endswith("_epochs")}


def make_plan(**overrides) -> methods.Plan:
    """Forty epochs of one step: schedules move visibly, and the phases of epochs follow fast."""
    sizes = dict(batch_size=BATCH, steps_per_epoch=1, total_steps=40, num_records=64)
    return methods.Plan(**{**sizes, **overrides})


def build(name: str, *, seed: int = 0, kind: str = "eager", plan=None, optimizer=None, **overrides):
    """A compiled small method with a tiny encoder; the same seed gives the same weights.

    `kind` is how its step runs: "eager", which is the cheapest for a few steps, "graph" or "xla".
    """
    tf.keras.utils.set_random_seed(seed)
    method = methods.get(name)(
        small_settings(name, **overrides),
        plan or make_plan(),
        lambda: backbones.build("tiny", image_size=SIZE),
    )
    optimizer = optimizer or SGD(0.1)
    if tf.keras.mixed_precision.global_policy().name == "mixed_float16":
        optimizer = tf.keras.mixed_precision.LossScaleOptimizer(optimizer)
    method.compile(optimizer=optimizer, run_eagerly=kind == "eager", jit_compile=kind == "xla")
    optimizer.build(method.trainable_variables)
    return method


def make_batch(
    name: str, *, seed: int = 0, rows: int = BATCH, sizes: Optional[Sequence[int]] = None
) -> Dict:
    """A batch of noisy views of random images, without labels."""
    sizes = sizes or [SIZE] * methods.get(name).min_views
    random = np.random.default_rng(seed)
    dtype = tf.keras.backend.floatx()
    return {
        "views": tuple(
            tf.constant(random.normal(size=(rows, size, size, 3)), dtype) for size in sizes
        ),
        "index": tf.constant(random.permutation(64)[:rows], tf.int64),
    }


def step(method, batch, times: int = 1) -> Dict[str, float]:
    """Makes optimisation steps on one batch; returns the last step's logs."""
    advance = method.make_train_function(force=True)
    iterator = iter([batch] * times)
    for _ in range(times):
        method.reset_metrics()
        logs = advance(iterator)
    return {name: float(value) for name, value in logs.items()}


def state(method) -> List[np.ndarray]:
    """All variables of a method, optimizer included, except its running means of logs."""
    logs = {id(v) for metric in method.metrics for v in metric.variables}
    variables = [v for v in method.variables if id(v) not in logs]
    return [np.asarray(v) for v in [*variables, *optimizer_variables(method)]]


def optimizer_variables(method) -> list:
    """The optimizer's variables (a property in one Keras, a method in the other)."""
    found = method.optimizer.variables
    return list(found() if callable(found) else found)


def assert_same_state(first: Sequence, second: Sequence, tolerance: float) -> None:
    """Compares two lists of arrays, integers exactly and floats within a tolerance."""
    assert len(first) == len(second)
    for one, other in zip(first, second):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
