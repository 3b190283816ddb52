"""The InfoNCE bounds against NumPy, analytic information, their ceiling and their invariances."""

import inspect
import json

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import evaluation


def loss_by_hand(positive, negative):
    """One row at a time."""
    rows = [np.concatenate([[own], others]) for own, others in zip(positive, negative)]
    return np.mean([np.log(np.exp(row).sum()) - row[0] for row in rows])


def off_diagonal(square):
    return [np.delete(row, i) for i, row in enumerate(square)]


def test_both_layouts_agree_with_numpy():
    rng = fresh_rng()
    square = rng.normal(size=(6, 6)) * 3
    found = evaluation.info_nce_bound(square)
    loss = loss_by_hand(np.diagonal(square), off_diagonal(square))
    assert found["loss"] == pytest.approx(loss, rel=1e-12)
    assert found["bound"] == pytest.approx(np.log(6) - loss, rel=1e-12)
    assert found["bound_log_k"] == pytest.approx(np.log(5) - loss, rel=1e-12)
    rows = rng.normal(size=(4, 9)) * 3
    found = evaluation.info_nce_bound(rows, positive="first")
    loss = loss_by_hand(rows[:, 0], rows[:, 1:])
    assert found["bound"] == pytest.approx(np.log(9) - loss, rel=1e-12)
    assert found["bound_log_k"] == pytest.approx(np.log(8) - loss, rel=1e-12)
    # A square matrix means something else in either layout.
    assert evaluation.info_nce_bound(square, positive="first")["loss"] != pytest.approx(
        evaluation.info_nce_bound(square)["loss"]
    )


def test_over_several_batches_every_row_counts_once():
    rng = fresh_rng()
    batches = [rng.normal(size=(rows, 5)) for rows in (3, 7, 1)]
    found = evaluation.info_nce_bound(iter(batches), positive="first")
    joined = evaluation.info_nce_bound(np.concatenate(batches), positive="first")
    assert found["loss"] == pytest.approx(joined["loss"], rel=1e-12)
    assert (found["num_batches"], found["num_anchors"], found["num_negatives"]) == (3, 11, 4)
    stacked = rng.normal(size=(4, 6, 6))
    found = evaluation.info_nce_bound(stacked)
    assert found["loss"] == pytest.approx(
        np.mean([evaluation.info_nce_bound(square)["loss"] for square in stacked]), rel=1e-12
    )


def _gaussian_log_ratios(batches, batch, dim, rho, rng):
    """log p(y|x) / p(y) of all pairs in batches of correlated Gaussians."""
    x = rng.normal(size=(batches, batch, dim))
    y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=x.shape)
    for xs, ys in zip(x, y):
        conditional = ((ys[None] - rho * xs[:, None]) ** 2).sum(axis=2) / (1 - rho**2)
        yield ((ys**2).sum(axis=1)[None] - conditional - dim * np.log(1 - rho**2)) / 2


def test_correlated_gaussians():
    """Property 7: 3.955 of the 5.108 nats that ten dimensions of correlation 0.8 share, k = 127."""
    logits = list(_gaussian_log_ratios(256, 128, 10, 0.8, fresh_rng()))
    found = evaluation.info_nce_bound(logits)
    singles = [evaluation.info_nce_bound(batch)["bound"] for batch in logits]
    # Anchors of a batch share their negatives, so batches are the independent draws.
    error = np.std(singles) / np.sqrt(len(singles))
    assert error < 0.02
    assert found["bound"] == pytest.approx(3.955, abs=5 * error + 0.0005)
    information = -5 * np.log(1 - 0.8**2)
    assert information == pytest.approx(5.108, abs=0.0005)
    assert found["bound_log_k"] < found["bound"] < np.log(128) < information


@pytest.mark.parametrize("scale", [1.0, 1e2, 1e6, 1e30])
@pytest.mark.parametrize("positive", ["diagonal", "first"])
def test_no_critic_exceeds_the_ceiling(scale, positive):
    """Property 7: at most log(k + 1), whatever the scores."""
    rng = fresh_rng()
    scores = rng.normal(size=(8, 8)) * scale
    lucky = scores.copy()
    own = np.eye(8, dtype=bool) if positive == "diagonal" else np.arange(8) == np.zeros((8, 1))
    lucky[own] += 1e4 * scale
    for logits in (scores, lucky):
        found = evaluation.info_nce_bound(logits, positive=positive)
        assert np.isfinite(found["bound"]) and found["bound"] <= np.log(8) + 1e-12
        assert found["bound_log_k"] <= np.log(7) + 1e-12
    assert found["bound"] == pytest.approx(np.log(8), abs=1e-12)


def test_equal_scores_say_nothing():
    for k in (1, 2, 127):
        logits = np.full([3, 1 + k], fresh_rng().normal())
        found = evaluation.info_nce_bound(logits, positive="first")
        assert found["bound"] == pytest.approx(0, abs=1e-12)
        assert found["bound_log_k"] == pytest.approx(np.log(k) - np.log(k + 1), rel=1e-12)


def test_a_constant_for_an_anchor_changes_nothing():
    """Property 8: multiplying h by any c(v1); any c(v2) does change the bound."""
    rng = fresh_rng()
    logits, constants = rng.normal(size=(9, 9)), rng.normal(size=(9, 1)) * 50
    plain = evaluation.info_nce_bound(logits)
    assert evaluation.info_nce_bound(logits + constants)["loss"] == pytest.approx(
        plain["loss"], rel=1e-10
    )
    changed = evaluation.info_nce_bound(logits + constants.T)
    assert changed["loss"] != pytest.approx(plain["loss"], rel=1e-3)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32])
def test_tensors_of_any_precision(dtype):
    logits = tf.cast(fresh_rng().normal(size=(5, 5)) * 10, dtype)
    exact = evaluation.info_nce_bound(tf.cast(logits, tf.float64))
    assert evaluation.info_nce_bound(logits) == exact


def test_embeddings_agree_with_numpy():
    rng = fresh_rng()
    first, second = rng.normal(size=(2, 12, 5)).astype(np.float32)
    found = evaluation.info_nce_bound_of_embeddings(
        first, second, temperature=0.2, batch_size=12, seed=3
    )
    a, b = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (first, second))
    scores = a @ b.T / 0.2
    there = loss_by_hand(np.diagonal(scores), off_diagonal(scores))
    back = loss_by_hand(np.diagonal(scores), off_diagonal(scores.T))
    assert found["first_to_second"]["loss"] == pytest.approx(there, rel=1e-5)
    assert found["second_to_first"]["loss"] == pytest.approx(back, rel=1e-5)
    assert found["bound"] == pytest.approx(np.log(12) - (there + back) / 2, abs=1e-5)
    assert found["bound_log_k"] == pytest.approx(np.log(11) - (there + back) / 2, abs=1e-5)
    swapped = evaluation.info_nce_bound_of_embeddings(
        second, first, temperature=0.2, batch_size=12, seed=3
    )
    assert swapped["first_to_second"] == found["second_to_first"]
    assert swapped["bound"] == found["bound"]


def test_embeddings_in_batches():
    """Whole batches of a seeded order: rows sorted by class would have too similar negatives."""
    rng = fresh_rng()
    first = np.repeat(np.eye(8), 16, axis=0) * 5 + rng.normal(size=(128, 8))
    settings = {"temperature": 0.1, "batch_size": 15}
    found = evaluation.info_nce_bound_of_embeddings(first, first, **settings)
    assert found == evaluation.info_nce_bound_of_embeddings(first, first, **settings)
    assert found["first_to_second"]["num_batches"] == 8
    assert found["first_to_second"]["num_anchors"] == 120
    assert found["first_to_second"]["num_negatives"] == 14
    other = evaluation.info_nce_bound_of_embeddings(first, first, seed=1, **settings)
    assert other["bound"] != found["bound"]
    a = first / np.linalg.norm(first, axis=1, keepdims=True)
    in_order = [a[i : i + 15] @ a[i : i + 15].T / 0.1 for i in range(0, 120, 15)]
    assert found["bound"] > evaluation.info_nce_bound(in_order)["bound"] + 0.2


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_a_cosine_critic_ignores_lengths_and_has_a_range(temperature):
    """Property 12: invariant to positive rescaling; logits within 1 / temperature."""
    rng = fresh_rng()
    first, second = rng.normal(size=(2, 32, 6))
    settings = {"temperature": temperature, "batch_size": 16}
    plain = evaluation.info_nce_bound_of_embeddings(first, second, **settings)
    lengths = np.exp(rng.uniform(-30, 30, size=(2, 32, 1)))
    scaled = evaluation.info_nce_bound_of_embeddings(
        first * lengths[0], second * lengths[1], **settings
    )
    assert scaled["bound"] == pytest.approx(plain["bound"], abs=1e-4)
    # Pairs that agree against others that are opposite, and the other way round.
    signs = np.array([[1.0], [-1.0]])
    limits = {"temperature": temperature, "batch_size": 2}
    best = evaluation.info_nce_bound_of_embeddings(signs, signs, **limits)
    worst = evaluation.info_nce_bound_of_embeddings(signs, -signs, **limits)
    loss = best["first_to_second"]["loss"]
    assert loss == pytest.approx(np.log1p(np.exp(-2 / temperature)), rel=1e-9)
    loss = worst["first_to_second"]["loss"]
    assert loss == pytest.approx(np.log1p(np.exp(2 / temperature)), rel=1e-9)


def test_a_row_of_zeros_has_no_direction():
    first = np.vstack([np.zeros([1, 3]), np.eye(3)])
    found = evaluation.info_nce_bound_of_embeddings(first, first, temperature=0.1, batch_size=4)
    assert np.isfinite(found["bound"])


def test_results_hold_every_setting_and_are_json():
    logits = evaluation.info_nce_bound(np.eye(3))
    embeddings = evaluation.info_nce_bound_of_embeddings(
        np.eye(4), np.eye(4), temperature=0.1, batch_size=4
    )
    for result in (logits, embeddings):
        assert json.loads(json.dumps(result)) == result
    assert {k: v for k, v in logits.items() if "bound" not in k and k != "loss"} == {
        "protocol": "info_nce_bound",
        "num_negatives": 2,
        "num_anchors": 3,
        "num_batches": 1,
        "positive": "diagonal",
    }
    assert {k: v for k, v in embeddings.items() if "bound" not in k and "_to_" not in k} == {
        "protocol": "info_nce_bound_of_embeddings",
        "temperature": 0.1,
        "batch_size": 4,
        "seed": 0,
        "num_rows": 4,
        "dim": 4,
    }
    signature = inspect.signature(evaluation.info_nce_bound_of_embeddings)
    assert signature.parameters["batch_size"].default == 128


@pytest.mark.parametrize(
    "logits, positive, message",
    [
        (np.zeros([3, 4]), "diagonal", r"square.*Received: a batch of shape \(3, 4\)"),
        (np.zeros([3, 3]), "last", "positive.*Received: positive='last'"),
        (np.zeros([3, 1]), "first", r"at least one negative.*Received: .*\(3, 1\)"),
        (np.zeros([1, 1]), "diagonal", "at least one negative.*Received"),
        (np.zeros([5]), "first", r"Received: a batch of shape \(\)"),
        (np.array([[1.0, np.inf], [0, 0]]), "first", "finite.*Received: NaN or Inf in 1 of 2"),
        ([], "diagonal", r"at least one batch.*Received: negatives=\[\]"),
        ([np.eye(3), np.eye(4)], "diagonal", r"as many negatives.*Received: negatives=\[2, 3\]"),
    ],
)
def test_logits_that_do_not_fit_are_refused(logits, positive, message):
    with pytest.raises(ValueError, match=message):
        evaluation.info_nce_bound(logits, positive=positive)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"second": np.ones([4, 3])}, "one shape.*Received"),
        ({"first": np.full([4, 2], np.nan)}, "finite first.*Received"),
        ({"temperature": 0.0}, "temperature > 0. Received: temperature=0.0"),
        ({"batch_size": 1}, "batch_size between 2 .* 4. Received: batch_size=1"),
        ({"batch_size": 5}, "Received: batch_size=5"),
        ({"seed": -1}, "Received: seed=-1"),
    ],
)
def test_embeddings_that_do_not_fit_are_refused(changes, message):
    arguments = {
        "first": np.ones([4, 2]),
        "second": np.ones([4, 2]),
        "temperature": 0.1,
        "batch_size": 4,
    }
    with pytest.raises(ValueError, match=message):
        evaluation.info_nce_bound_of_embeddings(**{**arguments, **changes})
