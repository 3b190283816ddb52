"""softmax_nce against NumPy, finite differences, its limits and its invariances."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import losses


def by_hand(positive, negative, temperature, counts=None):
    """Shares of one softmax, an anchor and a negative at a time."""
    terms = []
    for i, own in enumerate(positive):
        others = negative[i] if counts is None else np.repeat(negative[i], counts[i])
        e = np.exp(np.concatenate([[own], others]) / temperature)
        h = e / e.sum()
        # 1 - h of a share near 1 would lose its digits.
        rests = [np.delete(h, k).sum() for k in range(1, len(h))]
        terms.append(-np.log(h[0]) - np.log(rests).sum())
    return np.mean(terms)


@pytest.fixture
def scores():
    rng = fresh_rng()
    return rng.uniform(-1, 1, [5]), rng.uniform(-1, 1, [5, 8])


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_agrees_with_numpy(scores, temperature):
    loss = losses.softmax_nce(*scores, temperature=temperature)
    assert loss.dtype == tf.float64
    assert float(loss) == pytest.approx(by_hand(*scores, temperature), rel=1e-9)
    each = losses.softmax_nce(*scores, temperature=temperature, reduction="none")
    rows = [by_hand(p[None], n[None], temperature) for p, n in zip(*scores)]
    np.testing.assert_allclose(each, rows, rtol=1e-9)


def test_counts(scores):
    """An entry that counts twice is there twice, one that counts 0 times is not there."""
    rng = fresh_rng()
    for counts in (rng.integers(0, 4, [5, 8]), rng.integers(0, 2, [5, 8])):
        loss = losses.softmax_nce(*scores, temperature=0.1, counts=counts)
        assert float(loss) == pytest.approx(by_hand(*scores, 0.1, counts), rel=1e-8)
    masked = losses.softmax_nce(*scores, temperature=0.1, counts=counts.astype(bool))
    assert float(masked) == pytest.approx(float(loss), rel=1e-12)


@pytest.mark.parametrize("largest", ["positive", "negative", "tie"])
def test_gradients_agree_with_finite_differences(scores, largest):
    positive, negative = (s.copy() for s in scores)
    if largest == "positive":
        positive += 2
    else:
        negative[:, 3] += 3
    if largest == "tie":
        negative[:, 5] = negative[:, 3]
    counts = fresh_rng().integers(0, 3, negative.shape)
    counts[:, 3] = 1

    def loss(p, n):
        return losses.softmax_nce(p, n, temperature=0.3, counts=counts)

    tensors = tf.constant(positive), tf.constant(negative)
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = loss(*tensors)
    gradients = [g.numpy() for g in tape.gradient(value, tensors)]
    step = 1e-5
    for number, given in enumerate((positive, negative)):
        for place in np.ndindex(given.shape):
            ends = []
            for sign in (1, -1):
                moved = [positive.copy(), negative.copy()]
                moved[number][place] += sign * step
                ends.append(float(loss(*moved)))
            slope = (ends[0] - ends[1]) / (2 * step)
            assert gradients[number][place] == pytest.approx(slope, rel=1e-5, abs=1e-7)
    assert (gradients[0] < 0).all()
    np.testing.assert_array_equal(gradients[1][counts == 0], 0)


def test_equal_scores():
    """ln(1 + n) + n ln(1 + 1/n), whatever the score."""
    for n in (1, 2, 4096):
        loss = losses.softmax_nce(
            np.full([3], 0.4), np.full([3, n], 0.4), temperature=fresh_rng().uniform(0.05, 1)
        )
        assert float(loss) == pytest.approx(np.log1p(n) + n * np.log1p(1 / n), rel=1e-10)


def test_limits():
    """0 where the positive has the whole sum; where one of n negatives has it, 2 gaps."""
    good = losses.softmax_nce(np.array([1.0]), np.full([1, 5], -1.0), temperature=0.01)
    assert float(good) == pytest.approx(10 * np.exp(-200), rel=1e-9)
    # h of the positive is exp(-gap), and 1 - h of the negative the share of the five others.
    negative = np.array([[1.0, -1.0, -1.0, -1.0, -1.0]])
    bad = losses.softmax_nce(np.array([-1.0]), negative, temperature=0.01)
    assert float(bad) == pytest.approx(200 + 200 - np.log(5), rel=1e-12)


def test_order_of_the_negatives_does_not_matter(scores):
    positive, negative = scores
    rng = fresh_rng()
    counts = rng.integers(0, 3, negative.shape)
    order = rng.permutation(negative.shape[1])
    one = losses.softmax_nce(positive, negative, temperature=0.1, counts=counts)
    other = losses.softmax_nce(
        positive, negative[:, order], temperature=0.1, counts=counts[:, order]
    )
    assert float(one) == pytest.approx(float(other), rel=1e-12)
    rows = rng.permutation(len(positive))
    other = losses.softmax_nce(positive[rows], negative[rows], temperature=0.1, counts=counts[rows])
    assert float(one) == pytest.approx(float(other), rel=1e-12)
    shifted = losses.softmax_nce(positive + 3, negative + 3, temperature=0.1, counts=counts)
    assert float(one) == pytest.approx(float(shifted), rel=1e-9)


def test_a_negative_with_the_whole_sum_is_repelled(scores):
    """What the reading with the negative in the positive's place would not give."""
    positive, negative = (0.7 * s - 0.3 for s in scores)
    negative[:, 2] = 1.0
    tensor = tf.constant(negative)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        loss = losses.softmax_nce(positive, tensor, temperature=0.07)
    # By the positive's term and by its own, 1 / temperature each, in a mean over five anchors.
    gradient = tape.gradient(loss, tensor).numpy()
    np.testing.assert_allclose(gradient[:, 2], np.full(5, 2 / (0.07 * 5)), rtol=0.05)


def test_without_negatives(scores):
    positive, negative = scores
    assert float(losses.softmax_nce(positive, negative[:, :0], temperature=0.1)) == 0
    tensors = tf.constant(positive), tf.constant(negative)
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        loss = losses.softmax_nce(*tensors, temperature=0.1, counts=np.zeros([5, 8], bool))
    assert float(loss) == 0
    for gradient in tape.gradient(loss, tensors):
        assert not gradient.numpy().any()


@pytest.mark.parametrize("scale", [1e2, 1e4, 1e6])
def test_extreme_scores_stay_finite(scale):
    positive = tf.constant([1.0, -1.0, 0.0, 1.0]) * scale
    negative = tf.constant([[-1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [0.0, 1.0, -1.0], [1.0, 1.0, 1.0]])
    counts = tf.constant([[1, 1, 1], [2, 1, 0], [1, 1, 1], [0, 0, 0]])
    with tf.GradientTape() as tape:
        tape.watch([positive, negative])
        loss = losses.softmax_nce(positive, negative * scale, temperature=0.01, counts=counts)
    assert np.isfinite(float(loss))
    assert all(np.isfinite(g).all() for g in tape.gradient(loss, [positive, negative]))


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_is_computed_in_float32(scores, dtype):
    half = [tf.cast(s, dtype) for s in scores]
    loss = losses.softmax_nce(*half, temperature=0.07)
    exact = losses.softmax_nce(*[tf.cast(s, tf.float64) for s in half], temperature=0.07)
    assert loss.dtype == tf.float32 and float(loss) == pytest.approx(float(exact), rel=1e-5)


def test_float32_keeps_the_share_of_a_negative_near_one():
    """1 - h is 1e-11 here; one minus the share would be 0 and the loss infinite."""
    positive, negative = np.array([-0.8]), np.array([[1.0, -0.75, -0.79]])
    exact = losses.softmax_nce(positive, negative, temperature=0.07)
    loss = losses.softmax_nce(
        positive.astype(np.float32), negative.astype(np.float32), temperature=0.07
    )
    assert loss.dtype == tf.float32 and float(loss) == pytest.approx(float(exact), rel=1e-6)


def test_xla_equals_eager(scores):
    compiled = tf.function(
        lambda p, n: losses.softmax_nce(p, n, temperature=0.07), jit_compile=True, autograph=False
    )
    expected = losses.softmax_nce(*scores, temperature=0.07)
    assert float(compiled(*map(tf.constant, scores))) == pytest.approx(float(expected), rel=1e-10)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"positive": np.zeros([3])}, "floating scores"),
        ({"positive": np.zeros([2, 1])}, "floating scores"),
        ({"negative": np.zeros([4])}, "floating scores"),
        ({"negative": np.zeros([2, 4], int)}, "floating scores"),
        ({"counts": np.ones([2, 3], bool)}, "counts"),
        ({"temperature": 0.0}, "temperature > 0"),
    ],
)
def test_wrong_arguments(change, message):
    arguments = {"positive": np.zeros([2]), "negative": np.zeros([2, 4]), "temperature": 0.1}
    with pytest.raises(ValueError, match=f"{message}.*Received: "):
        losses.softmax_nce(**{**arguments, **change})
