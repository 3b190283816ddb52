"""Queue: property 21 of the InterCLR sheet, section 9."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import layers


@pytest.mark.parametrize("kind", ["eager", "graph", "xla"])
@pytest.mark.parametrize("size, batch", [(12, 4), (10, 4), (5, 5)])
def test_keeps_the_newest_rows(kind, size, batch):
    """First in, first out, also where the batch does not divide the size."""
    rng = fresh_rng()
    queue = layers.Queue(size, 3)
    enqueue = queue.enqueue
    if kind != "eager":
        enqueue = tf.function(queue.enqueue, jit_compile=kind == "xla", autograph=False)
    history = list(queue.rows.numpy())
    for _ in range(7):
        rows = rng.normal(size=[batch, 3]).astype(np.float32)
        enqueue(tf.constant(rows))
        history += list(rows / np.linalg.norm(rows, axis=1, keepdims=True))
        start = int(queue.pointer) % size
        oldest_first = np.roll(queue.rows.numpy(), -start, axis=0)
        np.testing.assert_allclose(oldest_first, history[-size:], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(queue.rows, axis=1), np.ones(size), atol=1e-6)


def test_rows_of_several_views():
    """They share the pointer."""
    rng, queue = fresh_rng(), layers.Queue(5, (2, 3))
    expected = queue.rows.numpy()
    for first in (0, 3):
        rows = rng.normal(size=[3, 2, 3])
        queue.enqueue(tf.constant(rows))
        places = (first + np.arange(3)) % 5
        expected[places] = rows / np.linalg.norm(rows, axis=2, keepdims=True)
    np.testing.assert_allclose(queue.rows, expected, atol=1e-6)
    with pytest.raises(ValueError, match=r"embeddings \[batch, 2, 3\].*Received: "):
        queue.enqueue(tf.ones([2, 3, 2]))


def test_starts_empty_on_request():
    queue = layers.Queue(6, 2, filled=False)
    assert not queue.mask.numpy().any()
    seen = []
    for _ in range(3):
        queue.enqueue(tf.ones([4, 2]))
        seen.append(int(queue.mask.numpy().sum()))
    assert seen == [4, 6, 6]
    assert layers.Queue(6, 2).mask.numpy().all()


def test_no_gradient_and_a_whole_checkpoint(tmp_path):
    queue = layers.Queue(6, 2)
    queue.enqueue(tf.Variable([[3.0, 4.0]]))
    assert not queue.trainable_weights
    path = tf.train.Checkpoint(queue=queue).write(str(tmp_path / "queue"))
    other = layers.Queue(6, 2, seed=4)
    tf.train.Checkpoint(queue=other).read(path).assert_existing_objects_matched()
    np.testing.assert_array_equal(queue.rows, other.rows)
    assert int(other.pointer) == 1


def test_two_replicas_keep_equal_queues(two_replicas):
    with two_replicas.scope():
        queue = layers.Queue(6, 2)
    rows = tf.constant(fresh_rng().normal(size=[4, 2]).astype(np.float32))

    @tf.function(autograph=False)
    def step():
        two_replicas.run(lambda: queue.enqueue(rows))

    step()
    step()
    for variable, expected in ((queue.ring, None), (queue.pointer, 8)):
        copies = [c.numpy() for c in two_replicas.experimental_local_results(variable)]
        np.testing.assert_array_equal(copies[0], copies[1])
        assert expected is None or copies[0] == expected


def test_wrong_arguments():
    with pytest.raises(ValueError, match="size and dim >= 1. Received: "):
        layers.Queue(0, 2)
    with pytest.raises(ValueError, match="at most 3 rows.*Received: "):
        layers.Queue(3, 2).enqueue(tf.ones([4, 2]))


@pytest.mark.parametrize("shape", [[2, 5], [2, 2], [2], [2, 3, 1]])
@pytest.mark.parametrize("kind", ["eager", "graph"])
def test_rows_of_another_width_are_refused(kind, shape):
    queue = layers.Queue(4, 3, filled=False)
    enqueue = queue.enqueue if kind == "eager" else tf.function(queue.enqueue, autograph=False)
    with pytest.raises(ValueError, match=r"embeddings \[batch, 3\].*Received: "):
        enqueue(tf.ones(shape))
    assert int(queue.pointer) == 0 and not queue.rows.numpy().any()
