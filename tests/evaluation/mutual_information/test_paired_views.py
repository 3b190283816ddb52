"""Paired views: the split of rows, whole batches, and streams of batches."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import ops
from tfssl.evaluation.mutual_information.paired_views import (
    endless,
    epoch_of,
    paired_views,
    split_pairs,
    whole_batches,
)


def _numbered(rows):
    """Row i is i in both views."""
    numbers = np.arange(rows)[:, None]
    return paired_views(numbers, np.hstack([numbers, numbers]))


def test_images_stay_bytes_and_the_rest_becomes_float32():
    images = fresh_rng().integers(0, 256, [3, 4, 5, 2]).astype(np.uint8)
    pair = paired_views(images, tf.constant(images[:, 0, 0], tf.bfloat16))
    assert (pair.first.dtype, pair.second.dtype) == (tf.uint8, tf.float32)
    np.testing.assert_array_equal(pair.first, images)
    assert pair.shapes == ([4, 5, 2], [2])
    # Bytes that are no images are numbers like any others.
    np.testing.assert_array_equal(paired_views(images[:, 0, 0], images).first, images[:, 0, 0])
    assert paired_views(images[:, 0, 0], images).first.dtype == tf.float32


@pytest.mark.parametrize("rows, fraction, count", [(50, 0.1, 5), (50, 0.5, 25), (10, 0.01, 2)])
def test_a_split_keeps_pairs_together_and_every_row_once(rows, fraction, count):
    kept, held_out = split_pairs(_numbered(rows), fraction, ops.fold_key(3))
    assert len(held_out.first) == count
    for pair in (kept, held_out):
        np.testing.assert_array_equal(np.repeat(pair.first, 2, axis=1), pair.second)
    found = np.concatenate([kept.first, held_out.first])[:, 0]
    assert sorted(found) == list(range(rows))
    other = split_pairs(_numbered(rows), fraction, ops.fold_key(4))
    assert (np.asarray(kept.first) != np.asarray(other[0].first)).any()


def test_whole_batches():
    sizes = [(len(b.first), float(b.first[0, 0])) for b in whole_batches(_numbered(11), 4)]
    assert sizes == [(4, 0.0), (4, 4.0)]
    assert [len(b.first) for b in whole_batches(_numbered(3), 4)] == [3]


def test_streams_go_through_epoch_after_epoch_without_padding():
    asked = []

    def batches(epoch):
        asked.append(epoch)
        rows = np.arange(4.0)[:, None] + 10 * epoch
        yield {"views": (rows, rows)}
        yield {"views": (rows, rows), "mask": [True, False, True, True]}
        yield {"views": (rows, rows), "mask": [True, False, False, False]}

    stream = itertools.islice(endless(batches, "b"), 4)
    found = [pair.second[:, 0].numpy().tolist() for pair in stream]
    assert found == [[0, 1, 2, 3], [0, 2, 3], [10, 11, 12, 13], [10, 12, 13]]
    assert asked == [0, 1]
    assert len(list(epoch_of(batches, 5, "b"))) == 2 and asked[-1] == 5


def test_a_batch_of_another_kind_is_refused():
    def batches(epoch):
        yield {"views": (np.ones([2, 3]), np.ones([2, 3]))}
        yield {"views": (np.ones([2, 3]), np.ones([2, 4]))}

    with pytest.raises(ValueError, match=r"kind.*\[3\], 'float32'.*Received: .*\[4\]"):
        list(epoch_of(batches, 0, "b"))


def test_an_epoch_without_batches_is_refused():
    def batches(epoch):
        return [{"views": (np.ones([2, 3]), np.ones([2, 3]))}] if epoch == 0 else []

    with pytest.raises(ValueError, match="every epoch of b. Received: none in epoch=1"):
        list(endless(batches, "b"))
