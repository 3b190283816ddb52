"""The Donsker-Varadhan bound and its steps against NumPy with a critic of one matrix."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import ops
from tfssl.evaluation.mutual_information.donsker_varadhan import DonskerVaradhan, cyclic_partners


class Bilinear(tf.Module):
    """T(a, b) = a^T W b, whose gradient is the outer product of a and b."""

    def __init__(self, kernel):
        super().__init__()
        self.kernel = tf.Variable(kernel, dtype=tf.float32)

    def encode(self, first, second):
        return first, second

    def score(self, first, second):
        return tf.einsum("bi,ij,bj->b", first, self.kernel, second)


@pytest.fixture
def problem():
    """First and second views of four batches, a kernel, and partners."""
    rng = fresh_rng()
    views = rng.normal(size=(2, 4, 16, 3)).astype(np.float32)
    return views[0], views[1], rng.normal(size=(3, 3)) * 0.3, np.roll(np.arange(16), -3)


def _scores(first, second, kernel, clip):
    return np.clip(np.einsum("bi,ij,bj->b", first, kernel, second), -clip, clip)


def test_bound_agrees_with_numpy(problem):
    first, second, kernel, partners = problem
    for clip in (20.0, 0.5):
        estimator = DonskerVaradhan(Bilinear(kernel), tf.keras.optimizers.SGD(), clip=clip)
        found = estimator.bound(*map(tf.constant, (first[0], second[0], partners)))
        joint = _scores(first[0], second[0], kernel, clip)
        marginal = _scores(first[0], second[0][partners], kernel, clip)
        assert float(found) == pytest.approx(
            joint.mean() - np.log(np.exp(marginal).mean()), abs=1e-5
        )


@pytest.mark.parametrize("ema_rate", [0.01, 0.3, 1.0])
def test_steps_follow_the_gradient_with_the_averaged_denominator(problem, ema_rate):
    first, second, kernel, partners = problem
    critic = Bilinear(kernel)
    estimator = DonskerVaradhan(critic, tf.keras.optimizers.SGD(0.1), ema_rate=ema_rate)
    update = tf.function(estimator.update, autograph=False)
    means = []
    for a, b in zip(first, second):
        joint, marginal = _scores(a, b, kernel, 20.0), _scores(a, b[partners], kernel, 20.0)
        means.append(np.exp(marginal).mean())
        # The weighted mean of all batches so far, a step back weighing (1 - rate) as much.
        weights = (1 - ema_rate) ** np.arange(len(means))[::-1]
        average = (weights * means).sum() / weights.sum()
        slope = np.einsum("bi,bj->ij", a, b) / len(a)
        slope -= np.einsum("b,bi,bj->ij", np.exp(marginal), a, b[partners]) / len(a) / average
        kernel = kernel + 0.1 * slope
        found = update(*map(tf.constant, (a, b, partners)))
        assert float(found) == pytest.approx(joint.mean() - np.log(means[-1]), abs=1e-5)
        np.testing.assert_allclose(critic.kernel, kernel, atol=1e-5)
    assert ema_rate == 1 or average != pytest.approx(means[-1])


def test_the_first_step_has_the_gradient_of_the_bound(problem):
    """The average of one batch is its own mean."""
    first, second, kernel, partners = problem
    arguments = [tf.constant(value) for value in (first[0], second[0], partners)]
    critic = Bilinear(kernel)
    estimator = DonskerVaradhan(critic, tf.keras.optimizers.SGD(1.0))
    with tf.GradientTape() as tape:
        bound = estimator.bound(*arguments)
    slope = tape.gradient(bound, critic.kernel)
    estimator.update(*arguments)
    np.testing.assert_allclose(critic.kernel, kernel + slope, atol=1e-5)


def test_scores_beyond_the_clip_have_no_gradient(problem):
    first, second, kernel, partners = problem
    critic = Bilinear(np.full([3, 3], 1e6))
    estimator = DonskerVaradhan(critic, tf.keras.optimizers.SGD(1.0), clip=80.0)
    bound = estimator.update(*map(tf.constant, (first[0], second[0], partners)))
    assert np.isfinite(float(bound))
    np.testing.assert_array_equal(critic.kernel, np.full([3, 3], 1e6, np.float32))


def test_a_nan_is_not_cut_to_a_number(problem):
    first, second, kernel, partners = problem
    estimator = DonskerVaradhan(Bilinear(np.full([3, 3], np.nan)), tf.keras.optimizers.SGD())
    assert np.isnan(float(estimator.bound(*map(tf.constant, (first[0], second[0], partners)))))


def test_logits_are_scores_of_own_and_marginal_pairs(problem):
    first, second, kernel, _ = problem
    estimator = DonskerVaradhan(Bilinear(kernel), tf.keras.optimizers.SGD(), clip=1.0)
    partners = cyclic_partners(ops.fold_key(5), 16, count=7)
    found = estimator.logits(tf.constant(first[0]), tf.constant(second[0]), partners)
    square = np.clip(first[0] @ kernel @ second[0].T, -1, 1)
    columns = np.concatenate([np.arange(16)[:, None], partners], axis=1)
    np.testing.assert_allclose(found, np.take_along_axis(square, columns, axis=1), atol=1e-5)


@pytest.mark.parametrize("rows", [2, 3, 64])
def test_partners_follow_one_cycle_through_all_rows(rows):
    for seed in fresh_rng().integers(0, 2**31, 5):
        partners = np.asarray(cyclic_partners(ops.fold_key(int(seed)), rows, count=rows - 1))
        place, visited = 0, []
        for _ in range(rows):
            place = partners[place, 0]
            visited.append(place)
        assert sorted(visited) == list(range(rows)) and visited[-1] == 0
        for column in partners.T:
            assert sorted(column) == list(range(rows))
        own = np.arange(rows)[:, None]
        assert (np.sort(np.hstack([own, partners]), axis=1) == np.arange(rows)).all()


def test_every_partner_is_as_likely_as_any_other():
    @tf.function(autograph=False)
    def draw(keys):
        return tf.map_fn(
            lambda key: cyclic_partners(key, 4)[:, 0], keys, fn_output_signature=tf.int32
        )

    found = draw(ops.fold_key(7, tf.range(300))).numpy()
    for row in range(4):
        counts = np.bincount(found[:, row], minlength=4)
        assert counts[row] == 0
        # Four standard deviations of a binomial of 300 draws and chance 1/3.
        assert (np.abs(np.delete(counts, row) - 100) < 4 * np.sqrt(300 * 2 / 9)).all()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"ema_rate": 0.0}, r"ema_rate in \(0, 1\]. Received: ema_rate=0.0"),
        ({"ema_rate": 1.1}, "Received: ema_rate=1.1"),
        ({"clip": 0.0}, r"clip in \(0, 80\]. Received: clip=0.0"),
        ({"clip": 81.0}, "Received: clip=81.0"),
        ({"clip": np.nan}, "Received: clip=nan"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        DonskerVaradhan(Bilinear(np.eye(3)), tf.keras.optimizers.SGD(), **settings)


@pytest.mark.parametrize("rows, count", [(1, 1), (4, 4), (4, 0)])
def test_too_many_partners_are_refused(rows, count):
    with pytest.raises(ValueError, match=f"Received: count={count}, rows={rows}"):
        cyclic_partners(ops.fold_key(0), rows, count)
