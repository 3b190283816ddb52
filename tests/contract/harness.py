"""A small instance of any registered method, and one step of it in several ways."""

import dataclasses
import pathlib
import types
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf

from tests.contract import textures
from tests.random_inputs import seed_weights
from tfssl import backbones, config, methods, settings
from tfssl.training import SGD

# Widths of heads, banks and queues are named alike in every method; these keep a step short.
SMALL = {
    "num_prototypes": 64,
    "hidden_dim": 32,
    "projection_dim": 128,
    "num_negatives": 16,
    "queue_size": 20,
    "num_clusters": 4,
    "min_cluster": 3,
    "predictor_dim": 32,
    "num_neighbors": 32,
    "num_clusterings": 3,
    "num_iterations": 5,
    "warm_start_epochs": 0,
    "num_blocks": 3,
}
# For a run of 200 steps, which is to learn something.
LEARNING = {
    **SMALL,
    "num_negatives": 48,
    "queue_size": 256,
    "num_clusters": 8,
    "min_cluster": 10,
    "num_iterations": 30,
}
# An untrained encoder behind Sobel filters tells the directions of stripes apart already.
TOO_EASY = {"sobel": False}
# Channels of the views of methods that have an encoder for each; others have images of three.
CHANNELS = {"cmc": (1, 2), "predictive": (1, 2), "splitbrain": (1, 2)}
# Frames of the first view of methods whose first view is a clip.
FRAMES = {"clip_contrast": 4}
# Methods again, with other numbers of views: name, channels of the views, settings.
FORMS = {
    "cmc/core": ("cmc", (1, 1, 1), {"paradigm": "core"}),
    "cmc/full": ("cmc", (1, 1, 1), {"paradigm": "full"}),
    # Low and high frequencies.
    "cmc/frequency": ("cmc", (3, 3), {}),
    "view_learning/labelled": (
        "view_learning",
        (3,),
        {"objective": "semi_supervised", "critic_steps": 1},
    ),
}
# Kinds of steps that take turns, each with variables of its own.
TURNS = {"view_learning": 2}
# Those that predict pixels.
PIXELWISE = ("predictive", "splitbrain")
# Learning rates of 200 steps that are to learn something; 0.1 of all others.
RATES = {"predictive": 0.05, "view_learning": 0.05, "view_learning/labelled": 0.05}
# Settings for tests alone: groups have moving statistics that no number of replicas repeats.
PLAIN = {"infomin": {"bn_groups": 1}}
# Sizes that a loss of CMC does not read, and refuses.
UNREAD = {"in_batch": {"num_negatives"}, "patch": {"num_negatives", "hidden_dim"}}
CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
# Where a method's choices for small data are, if not in configs/digits.
SMALL_DATA = {"clip_contrast": "moving_mnist/digit.cfg"}
SIZE = 16
PATCH = 8
BATCH = 8
LABELLED = 4


def method_of(name: str) -> str:
    """The registered name of a method or of a form of one."""
    return FORMS[name][0] if name in FORMS else name


def small_settings(name: str, sizes: Optional[Dict] = None, **overrides):
    """A method's settings with small sizes, those of SMALL by default; `overrides` win."""
    sizes = sizes or SMALL
    if name in FORMS:
        name, _, own = FORMS[name]
        overrides = {**own, **overrides}
    config = methods.get(name).Config
    fields = {field.name for field in dataclasses.fields(config)}
    unread = UNREAD.get(overrides.get("loss"), ()) if name == "cmc" else ()
    small = {key: value for key, value in sizes.items() if key in fields and key not in unread}
    for field in settings.part_fields(config):
        # The method that the overrides or the default name has small widths as well.
        named = field.metadata["part"]
        base = overrides.get(named, getattr(config, named))
        # InterCLR refuses the noise-contrastive loss, NPID's default.
        inner = {"loss": "softmax"} if base == "npid" else {}
        small[field.name] = small_settings(base, sizes, **inner)
        if base == "byol":
            small.pop("num_negatives", None)  # It has none, and refuses their number.
    return config(**{**small, **PLAIN.get(name, {}), **overrides})


def embedded_settings(name: str) -> Dict:
    """What configs/digits/<name>.cfg chooses for the method, without widths and schedules."""
    method = method_of(name)
    path = CONFIGS / SMALL_DATA.get(method, f"digits/{method}.cfg")
    chosen = _choices(config.read_flagfile(str(path)).method)
    return {**chosen, **FORMS[name][2]} if name in FORMS else chosen


def _choices(chosen) -> Dict:
    """The values of settings that are neither sizes nor lengths; methods inside get small sizes."""
    plain = [field.name for field in settings.plain_fields(chosen)]
    keep = [name for name in plain if name not in SMALL and not name.endswith("_epochs")]
    values = {name: TOO_EASY.get(name, getattr(chosen, name)) for name in keep}
    for field in settings.part_fields(chosen):
        inner = _choices(getattr(chosen, field.name))
        values[field.name] = small_settings(values[field.metadata["part"]], LEARNING, **inner)
    return values


def make_plan(**overrides) -> methods.Plan:
    """Forty epochs of one step: schedules move visibly, and the phases of epochs follow fast."""
    sizes = dict(
        batch_size=BATCH,
        steps_per_epoch=1,
        total_steps=40,
        num_records=64,
        view_size=SIZE,
        labelled_batch_size=LABELLED,
        num_classes=textures.CLASSES,
    )
    return methods.Plan(**{**sizes, **overrides})


def build(
    name: str,
    *,
    seed: int = 0,
    kind: str = "eager",
    plan=None,
    optimizer=None,
    sizes: Optional[Dict] = None,
    **overrides,
):
    """A compiled small method with a tiny encoder; the same seed gives the same weights.

    `kind` is how its step runs: "eager", which is the cheapest for a few steps, "graph" or "xla".
    """
    seed_weights(seed)
    method = methods.get(method_of(name))(
        small_settings(name, sizes, **overrides),
        plan or make_plan(view_channels=channels_of(name)),
        lambda **options: backbones.build("tiny", image_size=SIZE, **options),
    )
    optimizer = optimizer or SGD(0.1)
    if tf.keras.mixed_precision.global_policy().name == "mixed_float16":
        optimizer = tf.keras.mixed_precision.LossScaleOptimizer(optimizer)
    method.compile(optimizer=optimizer, run_eagerly=kind == "eager", jit_compile=kind == "xla")
    optimizer.build(method.trainable_variables)
    return method


def channels_of(name: str) -> Tuple[int, ...]:
    """Channels of each view of a method."""
    if name in FORMS:
        return FORMS[name][1]
    return CHANNELS.get(name, (3,) * methods.get(name).min_views)


def view_family(sizes: Sequence[int]):
    """What methods look at in a view family, of whole images."""
    count = len(sizes)
    return types.SimpleNamespace(
        name="family",
        sizes=tuple(sizes),
        channels=(3,) * count,
        groups=(3,),
        num_views=count,
        num_crops=count,
    )


def make_batch(
    name: str,
    *,
    seed: int = 0,
    rows: int = BATCH,
    sizes: Optional[Sequence[int]] = None,
    channels: Optional[Sequence[int]] = None,
    patches: Optional[bool] = None,
    labelled: Optional[bool] = None,
) -> Dict:
    """A batch of noisy views of random images; with patches and labelled rows where needed."""
    channels = channels or (channels_of(name) if sizes is None else (3,) * len(sizes))
    shapes = [(rows, s, s, c) for s, c in zip(sizes or [SIZE] * len(channels), channels)]
    if name in FRAMES:
        shapes[0] = (rows, FRAMES[name], *shapes[0][1:])
    random = np.random.default_rng(seed)
    dtype = tf.keras.backend.floatx()
    batch = {
        "views": tuple(tf.constant(random.normal(size=shape), dtype) for shape in shapes),
        "index": tf.constant(random.permutation(64)[:rows], tf.int64),
    }
    if needs_patches(name) if patches is None else patches:
        shape = (rows, 9, PATCH, PATCH, 3)
        batch["patches"] = tf.constant(random.normal(size=shape), dtype)
    if needs_labelled(name) if labelled is None else labelled:
        batch["labelled"] = {
            "views": tuple(
                tf.constant(random.normal(size=(LABELLED, *shape[1:])), dtype) for shape in shapes
            ),
            "label": tf.constant(random.integers(0, textures.CLASSES, LABELLED), tf.int64),
        }
    return batch


def draw_views(name: str, kinds: np.ndarray, rng: np.random.Generator) -> List[np.ndarray]:
    """Views of pictures of some kinds; a clip has several pictures of the kind, one a frame."""
    frames = FRAMES.get(name, 1)
    channels = channels_of(name)
    coloured = name in PIXELWISE
    first, *rest = textures.draw_views(kinds, SIZE, rng, channels=channels, coloured=coloured)
    if frames > 1:
        more = textures.draw(np.repeat(kinds, frames - 1), SIZE, rng)
        more = more.reshape(len(kinds), frames - 1, *first.shape[1:])
        first = np.concatenate([first[:, np.newaxis], more], axis=1)
    return [first, *rest]


def needs_patches(name: str) -> bool:
    """Whether a method's batches have patches, with its default settings."""
    cls = methods.get(method_of(name))
    return cls.needs_patches(cls.Config())


def needs_labelled(name: str) -> bool:
    """Whether a method's batches have labelled rows, with its default settings or its form's."""
    cls = methods.get(method_of(name))
    return cls.needs_labelled(small_settings(name))


def turns(method) -> Iterator[List[tf.Variable]]:
    """The variables that a step trains; where kinds of steps take turns, of each in its turn."""
    number = next((n for m, n in TURNS.items() if isinstance(method, methods.get(m))), 1)
    for turn in range(number):
        method.global_step.assign(turn)
        yield method.trainable_variables if number == 1 else method.variables_in(method.phase(turn))


def loss_and_gradients(method, batch, variables) -> Tuple[tf.Tensor, List[tf.Tensor]]:
    """The loss of a step, and its gradient by some variables."""
    with tf.GradientTape() as tape:
        loss, _ = method.compute(batch)
    return loss, tape.gradient(loss, variables)


def spread(strategy, batch: Dict) -> Dict:
    """The batch with an equal share of its rows on each replica of a strategy."""
    replicas = strategy.num_replicas_in_sync

    def divide(tensor):
        rows = tensor.shape[0] // replicas

        def part(context):
            first = context.replica_id_in_sync_group * rows
            return tf.identity(tensor[first : first + rows])

        return strategy.experimental_distribute_values_from_function(part)

    return tf.nest.map_structure(divide, batch)


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
