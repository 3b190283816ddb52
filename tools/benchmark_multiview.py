"""Times and weighs steps of CMC's two banks of ImageNet's size, without encoders.

`rows()` is what tools/benchmark.py prints. Memory is measured by this file's own process,
`python tools/benchmark_multiview.py <records> <dim> <negatives> <batch>`.
"""

import json
import sys
from typing import Any, Callable, Dict, List, Tuple

import environment  # noqa: F401  (first, before TensorFlow)

# isort: split
import benchmark_kernels
import process_memory

from tfssl import layers, losses, methods, ops
from tfssl.methods._multiview_contrast import Draws, MultiviewContrast, Term

import tensorflow as tf  # isort: skip  (after tfssl, which selects Keras 2)

Row = Dict[str, Any]
Step = Callable[[], Any]
Banks = List[layers.FeatureBank]

_VIEWS = 2
_OWN, _GATHER = "CMC step, two views", "CMC step, gather then multiply"


def rows(
    *,
    records: int = 1_281_167,
    dim: int = 128,
    negatives: int = 16_384,
    batch: int = 256,
    repeats: int = 5,
) -> List[Row]:
    """Times what a step of CMC does outside its encoders, and the limit that memory sets.

    Args:
        records, dim: size of each of the two banks, float32.
        negatives: m, entries of a bank that an anchor is compared with; one draw an image serves
            both banks.
        batch: images of a step.
        repeats: timed rounds.

    Returns:
        Rows as `benchmark_kernels.measure` makes them; ratios are to the first one. Steps are the
        draw, both directions of loss nce, their gradient to the anchors, and the update of both.
    """
    peaks = process_memory.peaks(__file__, records, dim, negatives, batch)
    notes = {
        _OWN: f"{_VIEWS}x{records}x{dim}, m={negatives}, batch {batch}, as in method cmc",
        _GATHER: "two banks, tf.gather of [batch, m, dim] from each, einsum",
        "CMC step, shared negatives": "one draw of m for the batch",
    }
    steps = _steps(records, dim, negatives, batch)
    candidates = [
        (name, steps[name], process_memory.with_peak(note, peaks, name))
        for name, note in notes.items()
    ]
    read, tensor = tf.function(tf.reduce_sum, autograph=False), tf.zeros([records, dim])
    candidates.append(
        ("plain read of a bank", lambda: read(tensor), "tf.reduce_sum: the memory's bandwidth")
    )
    measured = benchmark_kernels.measure(candidates, repeats)
    limit = measured[-1]["value"] * _VIEWS * batch * negatives / records
    gigabytes = 4e-9 * _VIEWS * batch * negatives * dim
    measured[0]["note"] += (
        f"; {measured[0]['value'] / limit:.1f}x the time to read {gigabytes:.2g} GB"
    )
    return measured


def _steps(records: int, dim: int, negatives: int, batch: int) -> Dict[str, Step]:
    """Contenders by name, on views of one random start."""
    plan = methods.Plan(batch, steps_per_epoch=1, total_steps=1, num_records=records)
    options = {"loss": "nce", "num_negatives": negatives, "projection_dim": dim}
    config = methods.get("cmc").Config
    shared = config(negatives="shared", **options)
    return {
        _OWN: contrast_step(config(**options), plan)[0],
        _GATHER: gather_step(config(**options), plan)[0],
        "CMC step, shared negatives": contrast_step(shared, plan)[0],
    }


def contrast_step(settings, plan: methods.Plan) -> Tuple[Step, Banks]:
    """The library's step, from unit rows to the banks written, and its bank of both views."""
    terms = [Term(0, 1, 1.0, "1-2"), Term(1, 0, 1.0, "2-1")]
    contrast = MultiviewContrast(settings, plan, _VIEWS, terms)
    anchors, indices, draws = inputs(plan, settings.projection_dim)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            tape.watch(anchors)
            value, _ = contrast.loss(anchors, anchors, indices, draws)
        gradient = tape.gradient(value, anchors)
        contrast.remember(indices, anchors)
        return value, gradient

    return step, [contrast.bank]


def gather_step(settings, plan: methods.Plan) -> Tuple[Step, Banks]:
    """The same step by `[batch, m, dim]` tensors of two banks, and the banks."""
    options = {"new_weight": settings.bank_weight, "start": "uniform", "seed": plan.seed}
    first = layers.FeatureBank(plan.num_records, settings.projection_dim, **options)
    second = layers.FeatureBank(plan.num_records, settings.projection_dim, **options)
    anchors, indices, draws = inputs(plan, settings.projection_dim)
    sums = tf.Variable(tf.zeros([_VIEWS]), trainable=False)

    def direction(own, bank, drawn, place):
        positive = tf.reduce_sum(own * bank.rows(indices), axis=1, keepdims=True)
        negative = tf.einsum("bnd,bd->bn", tf.gather(bank.features, drawn), own)
        scores = tf.concat([positive, negative], axis=1)
        estimate = plan.num_records * tf.reduce_mean(tf.exp(scores / settings.temperature))
        z = tf.where(sums[place] > 0, sums[place], tf.stop_gradient(estimate))
        sums.scatter_nd_update([[place]], [z])
        return losses.nce(scores, temperature=settings.temperature, num_data=plan.num_records, z=z)

    @tf.function(autograph=False)
    def step():
        drawn = ops.keyed_integers(draws.rows, settings.num_negatives, below=plan.num_records)
        with tf.GradientTape() as tape:
            tape.watch(anchors)
            value = direction(anchors[:, 0], second, drawn, 0)
            value += direction(anchors[:, 1], first, drawn, 1)
        gradient = tape.gradient(value, anchors)
        first.update(indices, anchors[:, 0])
        second.update(indices, anchors[:, 1])
        return value, gradient

    return step, [first, second]


def inputs(plan: methods.Plan, dim: int):
    """Unit rows `[batch, 2, dim]`, records of the batch, and the draws of a step."""
    rows = tf.random.stateless_normal([plan.batch_size, _VIEWS, dim], [1, 0])
    indices = tf.random.stateless_uniform([plan.batch_size], [2, 0], 0, plan.num_records, tf.int64)
    own = ops.fold_key(3, tf.range(plan.batch_size, dtype=tf.int64))
    return tf.math.l2_normalize(rows, axis=2), indices, Draws(own, ops.fold_key(3))


def weigh(records: int, dim: int, negatives: int, batch: int) -> Dict[str, float]:
    """Gigabytes that each step takes at its peak beside all that is there before it."""
    peaks = {}
    for name, step in _steps(records, dim, negatives, batch).items():
        # Twice: Z is estimated in the first step alone.
        step()
        step()
        peaks[name] = process_memory.peak(step)
    return peaks


if __name__ == "__main__":
    print(json.dumps(weigh(*map(int, sys.argv[1:]))))
