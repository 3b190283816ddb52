"""local_global against NumPy loops and its limits (section 2.6 of the CMC sheet)."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import losses

IMAGES, PLACES, DIM = 5, 6, 4


def by_hand(anchors, maps, own, *, constant=False, counts=None):
    """Place by place."""
    each = []
    for n, (anchor, image) in enumerate(zip(anchors, own)):
        terms = []
        for vector in np.atleast_2d(anchor):
            e = np.exp(maps @ vector)
            others = [
                (1 if counts is None else counts[n][i]) * e[i].sum()
                for i in range(len(maps))
                if i != image
            ]
            total = sum(others) + (maps.shape[1] * np.exp(-10) if constant else 0)
            terms += [-np.log(e[image, p] / (e[image, p] + total)) for p in range(maps.shape[1])]
        each.append(np.mean(terms))
    return np.array(each)


@pytest.fixture
def problem():
    rng = fresh_rng()
    return rng.normal(size=[3, DIM]), rng.normal(size=[IMAGES, PLACES, DIM]), np.array([4, 0, 2])


@pytest.mark.parametrize("mask", ["leave_out", "constant"])
@pytest.mark.parametrize("jit", [None, False, True])
def test_agrees_with_loops(problem, mask, jit):
    def run(*tensors):
        return losses.local_global(*tensors, other_places=mask, reduction="none")

    function = run if jit is None else tf.function(run, jit_compile=jit, autograph=False)
    found = function(*map(tf.constant, problem))
    np.testing.assert_allclose(found, by_hand(*problem, constant=mask == "constant"), rtol=1e-10)
    mean = losses.local_global(*problem, other_places=mask)
    assert float(mean) == pytest.approx(np.mean(found), rel=1e-10)


def test_several_anchors_and_images_that_do_not_count(problem):
    _, maps, own = problem
    anchors, counts = fresh_rng().normal(size=[3, 2, DIM]), np.ones([3, IMAGES])
    counts[0, 1] = counts[2, 4] = 0
    for jit in (False, True):
        function = tf.function(losses.local_global, jit_compile=jit, autograph=False)
        found = function(*map(tf.constant, (anchors, maps, own)), counts=counts, reduction="none")
        np.testing.assert_allclose(found, by_hand(anchors, maps, own, counts=counts), rtol=1e-10)


def test_anchors_of_an_image_have_no_negatives_within_it(problem):
    """Where no other image counts nothing is left to tell a place from, whatever is said of it."""
    _, maps, own = problem
    anchors = fresh_rng().normal(size=[3, 4, DIM])
    counts = np.eye(IMAGES)[own]
    assert float(losses.local_global(anchors, maps, own, counts=counts)) == 0
    # The other anchors of an image are no negatives either: each stands for itself.
    each = [
        losses.local_global(anchors[:, g], maps, own, reduction="none").numpy() for g in range(4)
    ]
    found = losses.local_global(anchors, maps, own, reduction="none")
    np.testing.assert_allclose(found, np.mean(each, axis=0), rtol=1e-12)


@pytest.mark.parametrize("batch, anchors, places", [(8, 1, 9), (64, 1, 225), (16, 25, 49)])
def test_scores_that_say_nothing(batch, anchors, places):
    """Property 13."""
    shape = [batch, 2] if anchors == 1 else [batch, anchors, 2]
    arguments = tf.zeros(shape), tf.zeros([batch, places, 2]), tf.range(batch)
    others = (batch - 1) * places
    assert float(losses.local_global(*arguments)) == pytest.approx(np.log1p(others), rel=1e-5)
    masked = losses.local_global(*arguments, other_places="constant")
    expected = np.log(1 + others + places * np.exp(-10))
    assert float(masked) == pytest.approx(expected, rel=1e-5)


def test_one_place_is_the_contrast_within_a_batch(problem):
    """Property 13."""
    rng = fresh_rng()
    anchors, keys = rng.normal(size=[2, IMAGES, DIM])
    found = losses.local_global(anchors, keys[:, np.newaxis], np.arange(IMAGES))
    e = np.exp(anchors @ keys.T)
    assert float(found) == pytest.approx(-np.log(np.diag(e) / e.sum(axis=1)).mean(), rel=1e-10)


def test_gradients_reach_both_sides_and_no_other_place_of_the_image(problem):
    anchors, maps, own = (tf.constant(t) for t in problem)
    with tf.GradientTape() as tape:
        tape.watch([anchors, maps])
        loss = losses.local_global(anchors[:1], maps[:, :2], own[:1])
    to_anchors, to_maps = tape.gradient(loss, [anchors, maps])
    assert np.any(to_anchors[0]) and not np.any(to_anchors[1:])
    # Each place is drawn to the anchor or pushed from it, whatever the other place does.
    direction = to_maps.numpy()[:, :2] @ anchors.numpy()[0]
    assert (direction[4] < 0).all() and (np.delete(direction, 4, axis=0) > 0).all()


def test_extreme_scores_and_half_precision(problem):
    anchors, maps, own = problem
    with tf.GradientTape() as tape:
        tensor = tf.constant(1e3 * anchors, tf.float32)
        tape.watch(tensor)
        loss = losses.local_global(tensor, tf.constant(1e3 * maps, tf.float32), own)
    assert np.isfinite(float(loss)) and np.isfinite(tape.gradient(loss, tensor)).all()
    half = [tf.cast(t, tf.bfloat16) for t in (anchors, maps)]
    exact = losses.local_global(*(tf.cast(t, tf.float64) for t in half), own)
    found = losses.local_global(*half, own)
    assert found.dtype == tf.float32 and float(found) == pytest.approx(float(exact), rel=1e-4)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"anchors": np.zeros([3, 5])}, "anchors"),
        ({"anchors": np.zeros([3])}, "anchors"),
        ({"maps": np.zeros([3, 4])}, "maps"),
        ({"maps": np.zeros([3, 2, 4], int)}, "maps"),
        ({"other_places": "forget"}, "other_places"),
        ({"reduction": "sum"}, "reduction"),
    ],
)
def test_wrong_arguments(change, message):
    arguments = {"anchors": np.zeros([3, 4]), "maps": np.zeros([3, 2, 4]), "own": np.arange(3)}
    with pytest.raises(ValueError, match=f"{message}.*Received: "):
        losses.local_global(**{**arguments, **change})
