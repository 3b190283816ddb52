"""Pooled depths: property 22 of the InterCLR sheet, section 9, against PyTorch's arithmetic."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import backbones, evaluation
from tfssl.evaluation.depth_pooling import DEPTH_POOLS

WIDTHS = {"stem": 64, "stage1": 256, "stage2": 512, "stage3": 1024, "stage4": 2048}
DIMS = {"stem": 9216, "stage1": 9216, "stage2": 8192, "stage3": 9216, "stage4": 8192}


def test_pooled_sizes_of_a_resnet50():
    """Property 22, on the maps that the backbone itself announces."""
    backbone = backbones.build("resnet50", image_size=224)
    shapes = tf.keras.Model(backbone.inputs, backbone.stage_outputs).compute_output_shape(
        (1, 224, 224, 3)
    )
    maps = {name: tf.zeros(shape) for name, shape in shapes.items()}
    pooled = evaluation.pool_depths(maps)
    assert {name: rows.shape[1] for name, rows in pooled.items()} == DIMS
    assert {name: maps[name].shape[3] for name in maps} == WIDTHS


@pytest.mark.parametrize("name", DEPTH_POOLS)
def test_values_by_a_loop(name):
    """Windows with their zeros counted, in the order rows, columns, channels."""
    pool = DEPTH_POOLS[name]
    values = fresh_rng().normal(size=[2, pool.side, pool.side, 3]).astype(np.float32)
    edge = (pool.padding, pool.padding)
    padded = np.pad(values, [(0, 0), edge, edge, (0, 0)])
    starts = range(0, padded.shape[1] - pool.kernel + 1, pool.stride)
    windows = [
        padded[:, y : y + pool.kernel, x : x + pool.kernel].mean(axis=(1, 2))
        for y in starts
        for x in starts
    ]
    expected = np.stack(windows, axis=1).reshape([2, -1])
    found = evaluation.pool_depths({name: tf.constant(values)})[name]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_other_maps_are_refused():
    with pytest.raises(ValueError, match="expected maps of stem.*Received: 'conv9'"):
        evaluation.pool_depths({"conv9": tf.zeros([1, 7, 7, 3])})
    with pytest.raises(ValueError, match=r"expected a map \[batch, 7, 7.*224 pixels.*\(1, 8, 8"):
        evaluation.pool_depths({"stage4": tf.zeros([1, 8, 8, 3])})
