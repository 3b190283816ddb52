"""Adaptive pools: the bins of the CMC sheet, section 7, a NumPy loop, and PyTorch."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import ops

# First cell and end of every bin, as the sheet lists them.
BINS = {
    (27, 10): [
        (0, 3),
        (2, 6),
        (5, 9),
        (8, 11),
        (10, 14),
        (13, 17),
        (16, 19),
        (18, 22),
        (21, 25),
        (24, 27),
    ],
    (13, 6): [(0, 3), (2, 5), (4, 7), (6, 9), (8, 11), (10, 13)],
    (13, 5): [(0, 3), (2, 6), (5, 8), (7, 11), (10, 13)],
}
POOLS = {"max": ops.adaptive_max_pool, "average": ops.adaptive_average_pool}
REDUCE = {"max": np.max, "average": np.mean}


def _by_loop(kind, maps, side):
    height, width = maps.shape[1:3]
    result = np.empty([len(maps), side, side, maps.shape[3]])
    for i in range(side):
        for j in range(side):
            rows = slice(int(np.floor(i * height / side)), int(np.ceil((i + 1) * height / side)))
            columns = slice(int(np.floor(j * width / side)), int(np.ceil((j + 1) * width / side)))
            result[:, i, j] = REDUCE[kind](maps[:, rows, columns], axis=(1, 2))
    return result


@pytest.mark.parametrize("length, side", BINS)
def test_bins_on_a_ramp(length, side):
    """Property 15: the maximum of a bin of a ramp is its last cell, and the mean its middle."""
    ramp = np.arange(length, dtype=np.float32)
    maps = np.stack(np.meshgrid(ramp, ramp, indexing="ij"), axis=-1)[np.newaxis]
    last = np.array([end - 1 for _, end in BINS[length, side]])
    middle = np.array([(start + end - 1) / 2 for start, end in BINS[length, side]])
    for kind, values in (("max", last), ("average", middle)):
        found = POOLS[kind](tf.constant(maps), side).numpy()[0]
        np.testing.assert_allclose(found[..., 0], np.repeat(values[:, None], side, 1), rtol=1e-6)
        np.testing.assert_allclose(found[..., 1], np.repeat(values[None], side, 0), rtol=1e-6)


SHAPES = [(27, 27, 10), (13, 13, 5), (14, 9, 4), (7, 12, 7), (5, 6, 1), (3, 2, 5)]


@pytest.mark.parametrize("kind", POOLS)
@pytest.mark.parametrize("height, width, side", SHAPES)
def test_values_by_a_loop(kind, height, width, side):
    """Also of maps that are not square, and of smaller maps than the result."""
    maps = fresh_rng().normal(size=[2, height, width, 3])
    found = POOLS[kind](tf.constant(maps), side)
    assert found.dtype == tf.float64 and found.shape == (2, side, side, 3)
    np.testing.assert_allclose(found, _by_loop(kind, maps, side), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", POOLS)
@pytest.mark.parametrize("height, width, side", SHAPES)
def test_values_of_pytorch(kind, height, width, side):
    torch = pytest.importorskip("torch")
    pools = {
        "max": torch.nn.functional.adaptive_max_pool2d,
        "average": torch.nn.functional.adaptive_avg_pool2d,
    }
    maps = fresh_rng().normal(size=[2, height, width, 3]).astype(np.float32)
    expected = pools[kind](torch.from_numpy(maps.transpose(0, 3, 1, 2).copy()), side)
    found = POOLS[kind](tf.constant(maps), side)
    np.testing.assert_allclose(found, expected.numpy().transpose(0, 2, 3, 1), atol=1e-6)


@pytest.mark.parametrize("kind", POOLS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_cast_up_first(kind, dtype):
    # A half-precision sum of 169 values near 600 is beyond float16 and rounded in bfloat16.
    maps = tf.cast(fresh_rng().uniform(500, 700, [2, 13, 13, 3]), dtype)
    found = POOLS[kind](maps, 1)
    assert found.dtype == tf.float32
    expected = _by_loop(kind, tf.cast(maps, tf.float64).numpy(), 1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("kind", POOLS)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_graph_and_xla_agree_with_eager(kind, jit_compile):
    maps = tf.constant(fresh_rng().normal(size=[2, 13, 11, 3]), tf.float32)
    signature = [tf.TensorSpec([None if not jit_compile else 2, 13, 11, 3], tf.float32)]
    compiled = tf.function(
        lambda x: POOLS[kind](x, 5),
        input_signature=signature,
        jit_compile=jit_compile,
        autograph=False,
    )
    assert compiled.get_concrete_function().output_shapes[1:] == (5, 5, 3)
    np.testing.assert_allclose(compiled(maps), POOLS[kind](maps, 5), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", POOLS)
def test_refusals(kind):
    pool = POOLS[kind]
    with pytest.raises(ValueError, match=r"expected maps \[batch, height.*shape=\(2, 3\)"):
        pool(tf.zeros([2, 3]), 1)
    for side in (0, 1.5, True):
        with pytest.raises(ValueError, match=f"whole number >= 1. Received: side={side}"):
            pool(tf.zeros([1, 4, 4, 1]), side)
    unknown = tf.function(lambda x: pool(x, 2), autograph=False)
    with pytest.raises(ValueError, match="known height and width"):
        unknown.get_concrete_function(tf.TensorSpec([1, None, 4, 1], tf.float32))
