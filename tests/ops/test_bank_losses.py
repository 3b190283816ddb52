"""bank_losses against a gather, in value and gradient."""

import importlib

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import losses, ops

BATCH, RECORDS, DIM, NEGATIVES = 6, 30, 4, 11
DIRECTIONS = [20.0, 30.0, 45.0]


def softmax(negative, positive):
    options = {"temperature": 0.3, "margin": -0.2, "reduction": "none"}
    return losses.info_nce_from_scores(positive, negative, **options)


def noise(negative, positive):
    scores = tf.concat([positive[:, tf.newaxis], negative], axis=1)
    options = {"temperature": 0.3, "num_data": RECORDS, "reduction": "none"}
    return losses.nce(scores, z=20.0, **options)


def noise_of_directions(negative, positive):
    """A partition sum for each of three anchors of a record."""
    scores = tf.concat([positive[:, tf.newaxis], negative], axis=1)
    z = tf.tile(tf.constant(DIRECTIONS, tf.float64), [scores.shape[0] // 3])
    options = {"temperature": 0.3, "num_data": RECORDS, "reduction": "none"}
    return losses.nce(scores, z=z, **options)


# Undivided losses, and those that part of a row after the other can be read for.
CONTRASTS = {
    "softmax": softmax,
    "noise": noise,
    "softmax by parts": losses.decomposed_info_nce(temperature=0.3, margin=-0.2),
    "noise by parts": losses.decomposed_nce(
        temperature=0.3, num_data=RECORDS, num_draws=NEGATIVES, z=20.0
    ),
}
OF_SEVERAL = {
    "noise of directions": noise_of_directions,
    "noise of directions by parts": losses.decomposed_nce(
        temperature=0.3,
        num_data=RECORDS,
        num_draws=NEGATIVES,
        z=tf.constant(DIRECTIONS, tf.float64),
    ),
}
# How it runs, and for how many anchors rows are read at once: four do not divide the batch, so that
# three are; less than one, then losses by parts have parts of four rows, or of single ones.
CASES = pytest.mark.parametrize(
    "jit, at_once",
    [
        (None, 6),
        (None, 2),
        (None, 0.1),
        (False, 1),
        (False, 4),
        (False, 0.4),
        (True, 1),
        (True, 2),
        (True, 6),
        (True, 0.4),
    ],
)


@pytest.fixture
def read_at_once(monkeypatch):
    """Function that sets the memory for rows to those of so many anchors, of `width` numbers."""
    module = importlib.import_module("tfssl.ops.bank_losses")
    return lambda anchors, width=DIM: monkeypatch.setattr(
        module, "_BLOCK", int(anchors * NEGATIVES * width * 8)
    )


@pytest.fixture
def problem():
    rng = fresh_rng()
    anchors, positives = rng.normal(size=[2, BATCH, DIM])
    bank, indices = rng.normal(size=[RECORDS, DIM]), rng.integers(0, RECORDS, [BATCH, NEGATIVES])
    return [tf.constant(t) for t in (anchors, positives, bank, indices)]


def gathered(contrast, anchors, positives, bank, indices):
    """The mean loss and its gradients by the plain way."""
    with tf.GradientTape() as tape:
        tape.watch([anchors, positives])
        negative = tf.einsum("bnd,bd->bn", tf.gather(bank, indices), anchors)
        loss = tf.reduce_mean(contrast(negative, tf.reduce_sum(anchors * positives, axis=1)))
    return loss, negative, *tape.gradient(loss, [anchors, positives])


def in_one_reading(contrast, anchors, positives, bank, indices):
    with tf.GradientTape() as tape:
        tape.watch([anchors, positives])
        positive = tf.reduce_sum(anchors * positives, axis=1)
        each, negative = ops.bank_losses(contrast, anchors, bank, indices, positive)
        loss = tf.reduce_mean(each)
    return loss, negative, *tape.gradient(loss, [anchors, positives])


@pytest.mark.parametrize("kind", CONTRASTS)
@CASES
def test_agrees_with_a_gather(problem, kind, jit, at_once, read_at_once):
    read_at_once(at_once)

    def run():
        return in_one_reading(CONTRASTS[kind], *problem)

    received = (run if jit is None else tf.function(run, jit_compile=jit, autograph=False))()
    undivided = CONTRASTS[kind.removesuffix(" by parts")]
    for value, expected in zip(received, gathered(undivided, *problem)):
        np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["noise", "noise by parts"])
@pytest.mark.parametrize("jit", [None, False, True])
def test_gradients_are_those_of_the_bank_that_was_read(problem, kind, jit, read_at_once):
    """A step writes the bank between the loss and the gradient."""
    read_at_once(0.4)
    contrast = CONTRASTS[kind]
    anchors, positives, start, indices = problem
    bank = tf.Variable(start, trainable=False)

    def step():
        with tf.GradientTape() as tape:
            tape.watch(anchors)
            positive = tf.reduce_sum(anchors * positives, axis=1)
            each, _ = ops.bank_losses(contrast, anchors, bank, indices, positive)
            loss = tf.reduce_mean(each)
            bank.scatter_update(tf.IndexedSlices(tf.zeros_like(start), tf.range(RECORDS)))
        return loss, tape.gradient(loss, anchors)

    loss, to_anchors = (
        step if jit is None else tf.function(step, jit_compile=jit, autograph=False)
    )()
    expected, _, to_expected, _ = gathered(noise, *problem)
    assert not bank.numpy().any()
    np.testing.assert_allclose(loss, expected, rtol=1e-10)
    np.testing.assert_allclose(to_anchors, to_expected, rtol=1e-10, atol=1e-12)


def test_without_arguments_and_with_weights_above(problem):
    """A loss of the scores alone; the gradient follows what is made of each anchor's loss."""
    anchors, _, bank, indices = problem
    weights = tf.constant(fresh_rng().normal(size=[BATCH]))
    with tf.GradientTape() as tape:
        tape.watch([anchors, bank])
        each, _ = ops.bank_losses(
            lambda scores: tf.reduce_sum(scores**2, axis=1), anchors, bank, indices
        )
        total = tf.reduce_sum(weights * each)
    to_anchors, to_bank = tape.gradient(total, [anchors, bank])
    rows = bank.numpy()[indices.numpy()]
    scores = np.einsum("bnd,bd->bn", rows, anchors)
    np.testing.assert_allclose(each, (scores**2).sum(axis=1), rtol=1e-10)
    expected = 2 * np.einsum("b,bn,bnd->bd", weights, scores, rows)
    np.testing.assert_allclose(to_anchors, expected, rtol=1e-10)
    assert to_bank is None


@pytest.mark.parametrize("kind", ["softmax", "softmax by parts", "noise of directions by parts"])
@CASES
def test_several_anchors_of_one_drawing(kind, jit, at_once, read_at_once):
    """As many losses as anchors, each with a gradient of its own; a record's rows lie in a row."""
    read_at_once(at_once, 2 * DIM)
    rng = fresh_rng()
    anchors, positive = rng.normal(size=[BATCH, 3, 2 * DIM]), rng.normal(size=[BATCH, 3])
    bank = rng.normal(size=[RECORDS, 2, DIM])
    indices = tf.constant(rng.integers(0, RECORDS, [BATCH, NEGATIVES]))
    weights = rng.normal(size=[BATCH, 3])

    contrasts = {**CONTRASTS, **OF_SEVERAL}

    def run(anchors, positive):
        with tf.GradientTape() as tape:
            tape.watch([anchors, positive])
            each, scores = ops.bank_losses(contrasts[kind], anchors, bank, indices, positive)
            total = tf.reduce_sum(weights * each)
        return each, scores, *tape.gradient(total, [anchors, positive])

    function = run if jit is None else tf.function(run, jit_compile=jit, autograph=False)
    received = function(tf.constant(anchors), tf.constant(positive))
    with tf.GradientTape() as tape:
        tensors = tf.constant(anchors), tf.constant(positive)
        tape.watch(tensors)
        rows = bank.reshape(RECORDS, -1)[indices.numpy()]
        scores = tf.einsum("bnd,bad->ban", rows, tensors[0])
        flat = tf.reshape(tensors[1], [-1]), tf.reshape(scores, [-1, NEGATIVES])
        undivided = contrasts[kind.removesuffix(" by parts")]
        each = tf.reshape(undivided(flat[1], flat[0]), [BATCH, 3])
        total = tf.reduce_sum(weights * each)
    expected = (each, scores, *tape.gradient(total, tensors))
    for value, wanted in zip(received, expected):
        np.testing.assert_allclose(value, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["softmax", "softmax by parts"])
@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_a_bank_in_half_precision(problem, dtype, kind, read_at_once):
    read_at_once(0.2)
    anchors, positives, bank, indices = problem
    half, single = tf.cast(bank, dtype), [tf.cast(t, tf.float32) for t in (anchors, positives)]
    received = in_one_reading(CONTRASTS[kind], *single, half, indices)
    assert {tensor.dtype for tensor in received} == {tf.float32}
    expected = gathered(softmax, anchors, positives, tf.cast(half, tf.float64), indices)
    for value, wanted in zip(received, expected):
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-5)
