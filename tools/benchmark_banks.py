"""Times and weighs steps of a memory bank of ImageNet's size.

`rows()` is what tools/benchmark.py prints. Memory is measured by this file's own process,
`python tools/benchmark_banks.py <records> <dim> <negatives> <batch>`, whose allocator gives memory
back at once.
"""

import json
import sys
from typing import Any, Callable, Dict, List

import environment  # noqa: F401  (first, before TensorFlow)

# isort: split
import benchmark_kernels
import process_memory

from tfssl import layers, losses, ops

import tensorflow as tf  # isort: skip  (after tfssl, which selects Keras 2)

Row = Dict[str, Any]
Step = Callable[[], Any]

_TEMPERATURE = 0.07


def rows(
    *,
    records: int = 1_281_167,
    dim: int = 128,
    negatives: int = 16_384,
    batch: int = 256,
    repeats: int = 5,
) -> List[Row]:
    """Times NCE steps, their parts and the limit that memory sets.

    Args:
        records, dim: size of the bank, float32.
        negatives: K, rows of the bank that an anchor is compared with.
        batch: anchors, and rows of an update.
        repeats: timed rounds.

    Returns:
        Rows as `benchmark_kernels.measure` makes them; ratios are to the first one. Steps are the
        loss, its gradient to the anchors, and the update of the bank.
    """
    peaks = process_memory.peaks(__file__, records, dim, negatives, batch)
    bank = layers.FeatureBank(records, dim)
    half = layers.FeatureBank(records, dim, dtype="float16")
    drawn = _draw(records, negatives, batch)
    notes = {
        "NCE step, own negatives": f"{records}x{dim}, K={negatives}, batch {batch}: bank_losses",
        "NCE step, gather then multiply": "tf.gather of [batch, K, dim], einsum",
        "NCE step, own, bank in float16": "half the bytes of the bank",
        "NCE step, shared negatives": "one draw of K for the batch",
    }
    steps = {**_steps(bank, drawn), "NCE step, own, bank in float16": _own_step(half, drawn)}
    candidates = [
        (name, steps[name], process_memory.with_peak(note, peaks, name))
        for name, note in notes.items()
    ]
    read, scores = (
        tf.function(tf.reduce_sum, autograph=False),
        tf.function(ops.bank_scores, autograph=False),
    )
    anchors, tensor = _anchors(batch, dim), tf.identity(bank.features)
    gathered = tf.function(gather_scores, autograph=False)
    update = tf.function(bank.update, autograph=False)
    indices = _indices(records, batch)
    candidates += [
        ("scores, own negatives", lambda: scores(anchors, tensor, drawn), "bank_scores, forward"),
        ("scores, gather then multiply", lambda: gathered(anchors, tensor, drawn), "forward"),
        ("plain read of the bank", lambda: read(tensor), "tf.reduce_sum: the memory's bandwidth"),
        (f"update of {batch} rows", lambda: update(indices, anchors), "equal indices sorted out"),
    ]
    measured = benchmark_kernels.measure(candidates, repeats)
    return _with_limits(measured, bytes_read=4 * batch * negatives * dim, bank=4 * records * dim)


def gather_scores(anchors: tf.Tensor, bank: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """`ops.bank_scores` by a `[batch, n, dim]` tensor."""
    return tf.einsum("bnd,bd->bn", tf.gather(bank, indices), anchors)


def _steps(bank: layers.FeatureBank, drawn: tf.Tensor) -> Dict[str, Step]:
    """Contenders by name: own negatives, the same by a gather, and shared negatives."""

    def gathered(anchors, positive):
        return tf.reduce_mean(
            _nce(bank, drawn)(gather_scores(anchors, bank.features, drawn), positive)
        )

    def shared(anchors, positive):
        scores = tf.matmul(anchors, bank.rows(drawn[0]), transpose_b=True)
        return tf.reduce_mean(_nce(bank, drawn)(scores, positive))

    return {
        "NCE step, own negatives": _own_step(bank, drawn),
        "NCE step, gather then multiply": _step(bank, drawn, gathered),
        "NCE step, shared negatives": _step(bank, drawn, shared),
    }


def _own_step(bank: layers.FeatureBank, drawn: tf.Tensor) -> Step:
    """The library's step."""

    def own(anchors, positive):
        each, _ = ops.bank_losses(_nce(bank, drawn), anchors, bank.features, drawn, positive)
        return tf.reduce_mean(each)

    return _step(bank, drawn, own)


def _step(bank: layers.FeatureBank, drawn: tf.Tensor, loss) -> Step:
    """Loss and gradient of anchors, and then the bank is written."""
    batch, dim = drawn.shape[0], bank.features.shape[1]
    anchors, indices = _anchors(batch, dim), _indices(bank.features.shape[0], batch)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            tape.watch(anchors)
            value = loss(anchors, tf.reduce_sum(anchors * bank.rows(indices), axis=1))
            bank.update(indices, anchors)
        return value, tape.gradient(value, anchors)

    return step


def _nce(bank, drawn) -> ops.DecomposedLoss:
    """NPID's loss of rows of cosines, with a partition sum of the usual size."""
    records = bank.features.shape[0]
    return losses.decomposed_nce(
        temperature=_TEMPERATURE, num_data=records, num_draws=drawn.shape[1], z=float(records)
    )


def _anchors(batch: int, dim: int) -> tf.Tensor:
    return tf.math.l2_normalize(tf.random.stateless_normal([batch, dim], [1, 0]), axis=1)


def _indices(records: int, batch: int) -> tf.Tensor:
    return tf.random.stateless_uniform([batch], [2, 0], 0, records, tf.int64)


def _draw(records: int, negatives: int, batch: int) -> tf.Tensor:
    keys = ops.fold_key(3, tf.range(batch, dtype=tf.int64))
    return ops.keyed_integers(keys, negatives, below=records)


def _with_limits(measured: List[Row], *, bytes_read: int, bank: int) -> List[Row]:
    """Says of rows that read each anchor's negatives how far they are from the bandwidth."""
    read = next(row["value"] for row in measured if row["name"] == "plain read of the bank")
    limit = read * bytes_read / bank
    for row in measured:
        if row["name"] in ("NCE step, own negatives", "scores, own negatives"):
            row["note"] += (
                f"; {row['value'] / limit:.1f}x the time to read {bytes_read / 1e9:.2g} GB"
            )
    return measured


def weigh(records: int, dim: int, negatives: int, batch: int) -> Dict[str, float]:
    """Gigabytes that each step takes at its peak beside all that is there before it."""
    bank = layers.FeatureBank(records, dim)
    peaks = {}
    for name, step in _steps(bank, _draw(records, negatives, batch)).items():
        # Traced, and with the threads' own memory, after the first call.
        step()
        peaks[name] = process_memory.peak(step)
    return peaks


if __name__ == "__main__":
    print(json.dumps(weigh(*map(int, sys.argv[1:]))))
