"""info_nce against the InterCLR sheet's vectors and properties (section 9) and NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import losses


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def with_cosines(positive, negatives):
    """An anchor, its positive and negatives in float64 that have exactly these cosines."""
    anchor = np.array([[1.0, 0.0]])
    rows = [np.array([c, np.sqrt(1 - c * c)]) for c in [positive, *negatives]]
    return anchor, np.array(rows[:1]), np.array(rows[1:]).reshape(-1, 2)


def by_hand(anchors, positives, negatives, temperature, margin=0.0, counts=None):
    """Equation 5, an anchor at a time."""
    terms = []
    for i, anchor in enumerate(anchors):
        own = negatives if negatives.ndim == 2 else negatives[i]
        own = own if counts is None else np.repeat(own, counts[i], axis=0)
        positive = np.exp((anchor @ positives[i] - margin) / temperature)
        terms.append(-np.log(positive / (positive + np.exp(own @ anchor / temperature).sum())))
    return np.mean(terms)


@pytest.fixture
def problem():
    rng = fresh_rng()
    return [unit(rng.normal(size=shape)) for shape in [(6, 5), (6, 5), (11, 5)]]


@pytest.mark.parametrize(
    "positive, negatives, margin, temperature, expected",
    [
        (0.5, [0.5], 0.0, 0.1, 0.693147),
        (0.5, [0.5], -0.5, 0.1, 0.006715),
        (0.5, [0.5], 0.5, 0.1, 5.006715),
        (0.8, [0.1, -0.2, 0.6], -0.5, 0.1, 0.000917911),
        (0.8, [0.1, -0.2, 0.6], 0.0, 0.1, 0.127770827),
        (0.8, [0.1, -0.2, 0.6], 0.2, 0.1, 0.696677646),
        (1.0, [0.0] * 16384, 0.0, 0.1, 0.556085),
        (0.5, [0.0] * 16384, 0.0, 0.1, 4.713078),
        (0.5, [0.0] * 16384, -0.5, 0.1, 0.556085),
        (0.5, [0.0] * 16384, 0.0, 0.2, 7.204804),
        (0.5, [0.0] * 16384, -0.5, 0.2, 4.713078),
    ],
)
def test_vectors(positive, negatives, margin, temperature, expected):
    """Property 1."""
    arguments = with_cosines(positive, negatives)
    loss = losses.info_nce(*arguments, temperature=temperature, margin=margin)
    assert float(loss) == pytest.approx(expected, abs=6e-7, rel=1e-6)


@pytest.mark.parametrize("margin", [-0.5, 0.0, 0.3])
def test_agrees_with_numpy(problem, margin):
    rng = fresh_rng()
    anchors, positives, shared = problem
    own = unit(rng.normal(size=[6, 7, 5]))
    for negatives in (shared, own):
        counts = rng.integers(0, 4, [6, negatives.shape[-2]])
        for chosen in (None, counts, counts > 1):
            repeats = chosen if chosen is None else chosen.astype(int)
            expected = by_hand(anchors, positives, negatives, 0.2, margin, repeats)
            loss = losses.info_nce(
                anchors, positives, negatives, temperature=0.2, margin=margin, counts=chosen
            )
            assert float(loss) == pytest.approx(expected, rel=1e-10)


def test_margin_weighs_the_negatives(problem):
    """Property 2: the loss grows with m, as if the negatives counted exp(m / temperature) times."""
    anchors, positives, negatives = problem
    values = []
    for margin in (-0.5, -0.1, 0.0, 0.2):
        loss = losses.info_nce(*problem, temperature=0.1, margin=margin)
        positive = np.exp(np.sum(anchors * positives, axis=1) / 0.1)
        weighted = np.exp(margin / 0.1) * np.exp(anchors @ negatives.T / 0.1).sum(axis=1)
        assert float(loss) == pytest.approx(np.mean(np.log1p(weighted / positive)), rel=1e-9)
        values.append(float(loss))
    assert values == sorted(values) and len(set(values)) == 4


def test_margin_is_taken_from_the_positive():
    """Property 2: loss(positive, m) = loss(positive - m, 0)."""
    one = losses.info_nce(*with_cosines(0.3, [0.1, -0.4]), temperature=0.1, margin=-0.5)
    other = losses.info_nce(*with_cosines(0.8, [0.1, -0.4]), temperature=0.1)
    assert float(one) == pytest.approx(float(other), rel=1e-10)


def test_gradients_of_the_cosines(problem):
    """Property 3: -(1 - p) / temperature for the positive, the same in sum for the negatives."""
    temperature, dim = 0.2, 12
    rng = fresh_rng()
    # With the anchor as the first axis, the first column of the others is their cosine.
    anchor = np.eye(dim)[:1]
    positive, negatives = (unit(rng.normal(size=[n, dim])) for n in (1, 9))
    tensors = [tf.constant(positive), tf.constant(negatives)]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        loss = losses.info_nce(anchor, *tensors, temperature=temperature, margin=0.1)
    to_positive, to_negatives = tape.gradient(loss, tensors)
    share = np.exp(-float(loss))
    assert to_positive[0, 0].numpy() == pytest.approx(-(1 - share) / temperature, rel=1e-9)
    assert to_negatives.numpy()[:, 0].sum() == pytest.approx((1 - share) / temperature, rel=1e-9)


def test_order_and_number_of_negatives(problem):
    """Property 4."""
    anchors, positives, negatives = problem
    rng = fresh_rng()
    loss = float(losses.info_nce(*problem, temperature=0.1))
    shuffled = losses.info_nce(anchors, positives, rng.permutation(negatives), temperature=0.1)
    assert float(shuffled) == pytest.approx(loss, rel=1e-10)
    fewer = losses.info_nce(anchors, positives, negatives[1:], temperature=0.1)
    assert float(fewer) <= loss


@pytest.mark.parametrize("rank", [2, 3])
def test_without_negatives(problem, rank):
    """Property 4: K = 0 gives 0, whatever the margin; so do counts that leave none."""
    anchors, positives, negatives = (tf.constant(t) for t in problem)
    none = tf.zeros([0, 5], tf.float64) if rank == 2 else tf.zeros([6, 0, 5], tf.float64)
    assert float(losses.info_nce(anchors, positives, none, temperature=0.1, margin=0.7)) == 0
    with tf.GradientTape() as tape:
        tape.watch(anchors)
        loss = losses.info_nce(
            anchors, positives, negatives, temperature=0.1, counts=tf.zeros([6, 11], tf.int32)
        )
    assert float(loss) == 0
    np.testing.assert_array_equal(tape.gradient(loss, anchors), np.zeros([6, 5]))


def test_what_counts_nothing_gets_no_gradient(problem):
    anchors, positives, negatives = (tf.constant(t) for t in problem)
    counts = np.ones([6, 11], bool)
    counts[:, 3] = False
    with tf.GradientTape() as tape:
        tape.watch(negatives)
        loss = losses.info_nce(anchors, positives, negatives, temperature=0.1, counts=counts)
    gradient = tape.gradient(loss, negatives).numpy()
    assert np.all(gradient[3] == 0) and np.all(np.abs(np.delete(gradient, 3, 0)).sum(axis=1) > 0)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_is_computed_in_float32(problem, dtype):
    arguments = [tf.cast(t, dtype) for t in problem]
    loss = losses.info_nce(*arguments, temperature=0.01)
    exact = losses.info_nce(*[tf.cast(t, tf.float64) for t in arguments], temperature=0.01)
    assert loss.dtype == tf.float32
    assert float(loss) == pytest.approx(float(exact), rel=1e-5)


@pytest.mark.parametrize("number, expected", [(4096, 8.3180), (16384, 9.7041)])
def test_cosines_that_say_nothing(number, expected):
    """Property 1 of the CMC sheet: log(m + 1), for one direction."""
    loss = losses.info_nce_from_scores(tf.zeros([2]), tf.zeros([2, number]), temperature=0.07)
    assert float(loss) == pytest.approx(expected, abs=1e-4)


def test_a_constant_of_an_anchor_changes_nothing():
    """Property 8 of the CMC sheet: of a softmax, unlike noise-contrastive estimation."""
    rng = fresh_rng()
    scores, shift = rng.normal(size=[4, 6]), rng.normal(size=[4, 1])
    softmax = [
        losses.info_nce_from_scores(s[:, 0], s[:, 1:], temperature=0.5, reduction="none")
        for s in (scores, scores + shift)
    ]
    np.testing.assert_allclose(*softmax, rtol=1e-10)
    noise = [losses.nce(s, temperature=0.5, num_data=9, z=9.0) for s in (scores, scores + shift)]
    assert abs(float(noise[0]) - float(noise[1])) > 1e-3


def test_the_losses_of_rows(problem):
    anchors, positives, negatives = problem
    options = {"temperature": 0.2, "margin": -0.1}
    each = losses.info_nce(anchors, positives, negatives, reduction="none", **options)
    assert each.shape == [len(anchors)]
    for i, loss in enumerate(each):
        own = negatives[i : i + 1] if len(negatives.shape) == 3 else negatives
        one = losses.info_nce(anchors[i : i + 1], positives[i : i + 1], own, **options)
        assert float(loss) == pytest.approx(float(one), rel=1e-6)


def test_extreme_scores_stay_finite():
    anchors = 1e4 * np.eye(3, dtype=np.float32)
    tensor = tf.constant(anchors)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        loss = losses.info_nce(tensor, -tensor, tf.constant(anchors), temperature=0.01)
    assert np.isfinite(float(loss)) and np.all(np.isfinite(tape.gradient(loss, tensor)))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"positives": np.zeros([3, 4])}, "one shape"),
        ({"anchors": np.zeros([2, 4], int)}, "floating anchors"),
        ({"negatives": np.zeros([5, 3])}, "floating negatives"),
        ({"negatives": np.zeros([3, 5, 4])}, "floating negatives"),
        ({"negatives": np.zeros([5, 4], int)}, "floating negatives"),
        ({"counts": np.ones([2, 4], bool)}, "counts"),
        ({"temperature": 0.0}, "temperature > 0"),
        ({"margin": float("nan")}, "margin"),
        ({"margin": 2.0}, "margin"),
    ],
)
def test_wrong_arguments(change, message):
    arguments = dict(
        anchors=np.zeros([2, 4]), positives=np.zeros([2, 4]), negatives=np.zeros([5, 4])
    )
    with pytest.raises(ValueError, match=f"{message}.*Received: "):
        losses.info_nce(**{**arguments, "temperature": 0.1, **change})
