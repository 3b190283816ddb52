"""MINE on pairs whose mutual information is known, and what its results promise."""

import inspect
import json
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng, seed_weights
from tfssl import evaluation

QUICK = {"steps": 8, "width": 0.05, "batch_size": 16, "num_negatives": 3}


def _gaussians(rows, rho):
    rng = fresh_rng()
    first = rng.normal(size=(rows, 1))
    return first, rho * first + np.sqrt(1 - rho**2) * rng.normal(size=(rows, 1))


@pytest.mark.parametrize("rho, low, high", [(0.9, 0.77, 0.88), (0.0, -0.02, 0.02)])
def test_gaussians_of_one_dimension(rho, low, high):
    """Property 18: 0.830 nats within 0.05 at a correlation of 0.9, and below 0.02 without one."""
    found = evaluation.mine(
        *_gaussians(20_000, rho),
        steps=700,
        average_steps=200,
        learning_rate=3e-3,
        width=0.25,
        held_out=0.5,
    )
    assert low < found["estimate"] < high
    assert 0 <= found["fallen"] < 0.5
    assert -0.5 * np.log(1 - 0.9**2) == pytest.approx(0.830, abs=0.0005)
    # The second estimator sees the same within its own error, and stays below its ceiling.
    assert found["info_nce"]["bound"] == pytest.approx(found["estimate"], abs=0.1)
    assert found["info_nce"]["num_negatives"] == 127


def test_a_learning_rate_that_is_too_high_is_told(caplog):
    """Much information: the critic overshoots, and the bound falls again and again."""
    rng = fresh_rng()
    first = rng.normal(size=(2000, 8))
    pair = first, 0.999 * first + np.sqrt(1 - 0.999**2) * rng.normal(size=first.shape)
    found = evaluation.mine(*pair, steps=400, learning_rate=0.02, width=0.25)
    assert found["fallen"] > 0.5
    assert "the training bound fell by" in caplog.text and "a lower learning rate" in caplog.text


def test_a_shared_symbol_among_private_ones():
    """A symbol of four that both views have is ln 4, whatever else they have."""
    rng = fresh_rng()
    symbols, first, second = rng.integers(0, 4, 4000), *rng.integers(0, 2, (2, 4000, 1))
    shared = np.eye(4)[symbols]
    found = evaluation.mine(
        np.hstack([shared, first]),
        np.hstack([second, second, shared]),
        steps=400,
        learning_rate=5e-3,
        width=0.25,
        average_steps=50,
    )
    assert found["estimate"] == pytest.approx(np.log(4), abs=0.1)
    assert (found["first_shape"], found["second_shape"]) == ([5], [6])


def test_what_is_known_by_heart_is_not_in_the_estimate():
    """Few rows without any relation: the training bound is large, the held-out one is not."""
    first, second = fresh_rng().normal(size=(2, 120, 8))
    found = evaluation.mine(
        first, second, steps=300, learning_rate=1e-3, width=0.25, batch_size=64, held_out=0.5
    )
    assert found["train_estimate"] > 1
    assert found["estimate"] < 0.2
    assert (found["num_train"], found["num_held_out"]) == (60, 60)
    assert (found["batch_size"], found["held_out_batch_size"]) == (60, 60)
    assert found["info_nce"]["num_negatives"] == 59


def _classes(rows):
    """Views of two classes: bright or dark in one, which half is bright in the other."""
    rng = fresh_rng()
    classes = rng.integers(0, 2, rows)
    first = rng.uniform(0, 120, (rows, 16, 16, 1)) + 120 * classes[:, None, None, None]
    second = rng.normal(size=(rows, 64, 24, 2)) * 0.2
    second[:, :32] += classes[:, None, None, None]
    second[:, 32:] -= classes[:, None, None, None]
    return first.astype(np.uint8), second


@pytest.mark.parametrize(
    "kind, shuffled, steps, rate",
    [("images", False, 50, 2e-3), ("images", True, 25, 2e-3), ("patches", False, 130, 1e-3)],
)
def test_images_that_share_a_class(kind, shuffled, steps, rate):
    """One class of two is ln 2; after a shuffle of one view nothing is shared."""
    first, second = _classes(600)
    found = evaluation.mine(
        first,
        fresh_rng().permutation(second) if shuffled else second,
        critic=kind,
        steps=steps,
        average_steps=15,
        batch_size=32,
        learning_rate=rate,
        width=0.1,
        held_out=0.5,
        num_negatives=7,
    )
    for estimate in (found["estimate"], found["info_nce"]["bound"]):
        assert estimate < 0.15 if shuffled else 0.3 < estimate < np.log(2) + 0.25
    assert (found["first_shape"], found["second_shape"]) == ([16, 16, 1], [64, 24, 2])


def test_graph_equals_eager():
    """The loop in the graph makes the steps one after the other, and tests after the update."""
    first, second = _gaussians(60, 0.9)
    settings = {**QUICK, "steps": 7, "average_steps": 5, "learning_rate": 1e-2}
    found = evaluation.mine(first, second, **settings)
    tf.config.run_functions_eagerly(True)
    try:
        eager = evaluation.mine(first, second, **settings)
    finally:
        tf.config.run_functions_eagerly(False)
    # A step changes the bound by some 0.03; Adam magnifies rounding where a slope is near 0.
    assert found["estimate"] == pytest.approx(eager["estimate"], abs=5e-4)
    assert found["train_estimate"] == pytest.approx(eager["train_estimate"], abs=5e-4)
    assert found["info_nce"]["bound"] == pytest.approx(eager["info_nce"]["bound"], abs=5e-4)


def test_a_run_repeats_to_the_bit_in_any_number_of_calls(monkeypatch):
    """The state of the process has no say; orders go on where the call before ended."""
    first, second = _gaussians(100, 0.9)
    settings = {**QUICK, "steps": 23, "average_steps": 9, "learning_rate": 1e-2}
    found = evaluation.mine(first, second, **settings)
    other = evaluation.mine(first, second, seed=1, **settings)
    assert other["estimate"] != found["estimate"]
    seed_weights(1)
    for module in ("mine", "mine_steps"):
        # By the list of modules: `evaluation.mine` is the function.
        monkeypatch.setattr(
            sys.modules[f"tfssl.evaluation.mutual_information.{module}"], "CHUNK", 5
        )
    again = evaluation.mine(first, second, **settings)
    assert len(found["history"]) == 1 and len(again["history"]) == 5
    assert np.average(again.pop("history"), weights=[5, 5, 5, 5, 3]) == pytest.approx(
        found.pop("history")[0], abs=1e-6
    )
    assert again == found


def _batches(rows, calls, padded=False):
    """Epochs of three batches of fresh pairs, the last one smaller."""

    def epoch(number):
        calls.append(number)
        for size in (rows, rows, rows // 2):
            views = [tf.constant(view, tf.float32) for view in _gaussians(size, 0.9)]
            batch = {"views": views}
            if padded:
                batch["views"] = [tf.concat([view, [[np.nan]]], axis=0) for view in views]
                batch["mask"] = tf.constant([True] * size + [False])
            yield batch

    return epoch


def test_batches_drawn_anew():
    train_calls, held_out_calls = [], []
    found = evaluation.mine_batches(
        _batches(256, train_calls),
        _batches(256, held_out_calls, padded=True),
        steps=240,
        average_steps=60,
        learning_rate=5e-3,
        width=0.25,
    )
    assert found["estimate"] == pytest.approx(0.83, abs=0.1)
    assert train_calls == list(range(80)) and held_out_calls == [*range(20), 0]
    assert found["batch_size"] == 256
    # The batch of 128 rows has 127 other rows, just enough.
    assert found["info_nce"]["num_batches"] == 3
    assert found["info_nce"]["num_anchors"] == 640


def test_batches_of_arrays_repeat_to_the_bit():
    views = [tf.constant(view, tf.float32) for view in _gaussians(64, 0.9)]

    def epoch(number):
        return [{"views": views}]

    settings = {"steps": 5, "width": 0.05, "num_negatives": 3, "learning_rate": 1e-2}
    found = evaluation.mine_batches(epoch, epoch, **settings)
    assert evaluation.mine_batches(epoch, epoch, **settings) == found
    assert evaluation.mine_batches(epoch, epoch, seed=1, **settings) != found


def test_defaults_are_those_of_the_protocol():
    for protocol in (evaluation.mine, evaluation.mine_batches):
        defaults = {
            name: p.default
            for name, p in inspect.signature(protocol).parameters.items()
            if p.kind is p.KEYWORD_ONLY
        }
        expected = {
            "critic": "vector",
            "steps": 50_000,
            "average_steps": None,
            "learning_rate": 1e-4,
            "ema_rate": 0.01,
            "clip": 20.0,
            "width": 1.0,
            "num_negatives": 127,
            "seed": 0,
        }
        arrays = {"batch_size": 256, "held_out": 0.1} if protocol is evaluation.mine else {}
        assert defaults == {**expected, **arrays}


def test_the_result_holds_every_setting_and_is_json():
    found = evaluation.mine(*_gaussians(50, 0.5), **{**QUICK, "steps": 20})
    assert json.loads(json.dumps(found)) == found
    figures = ("estimate", "train_estimate", "history", "fallen", "info_nce")
    assert {k: v for k, v in found.items() if k not in figures} == {
        "protocol": "mine",
        "critic": "vector",
        "steps": 20,
        "average_steps": 2,
        "optimizer": "adam",
        "learning_rate": 1e-4,
        "ema_rate": 0.01,
        "clip": 20.0,
        "width": 0.05,
        "marginal": "a random cycle through the batch",
        "seed": 0,
        "batch_size": 16,
        "held_out_batch_size": 5,
        "held_out": 0.1,
        "num_train": 45,
        "num_held_out": 5,
        "first_shape": [1],
        "second_shape": [1],
    }


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"second": np.ones([9, 1])}, r"pairs.*Received: .*second.shape=\(9, 1\)"),
        ({"first": np.ones(10)}, r"\[n, ...\]. Received: first.shape=\(10,\)"),
        ({"first": np.full([10, 1], np.inf)}, "finite first.*Received: NaN or Inf in 10 of 10"),
        ({"critic": "images"}, "critic='images'.*Received: first_shape"),
        ({"critic": "words"}, "Received: critic='words'"),
        ({"steps": 0}, "Received: steps=0"),
        ({"steps": 5, "average_steps": 6}, r"average_steps 1..5. Received: average_steps=6"),
        ({"average_steps": 0}, "Received: average_steps=0"),
        ({"batch_size": 1}, "Received: batch_size=1"),
        ({"learning_rate": 0.0}, "Received: learning_rate=0.0"),
        ({"ema_rate": 0.0}, "Received: ema_rate=0.0"),
        ({"clip": 100.0}, "Received: clip=100.0"),
        ({"width": -1.0}, "Received: width=-1.0"),
        ({"held_out": 1.0}, "Received: .*held_out=1.0"),
        ({"held_out": 0.9}, "Received: held_out=0.9, rows=10"),
        ({"num_negatives": 0}, "Received: num_negatives=0"),
        ({"seed": -1}, "Received: seed=-1"),
    ],
)
def test_arrays_and_settings_that_do_not_fit_are_refused(changes, message):
    arguments = {"first": np.ones([10, 1]), "second": np.ones([10, 1]), **QUICK}
    with pytest.raises(ValueError, match=message):
        evaluation.mine(**{**arguments, **changes})


def test_a_critic_that_diverges_is_named():
    with pytest.raises(ValueError, match="learning rate.*Received: a train bound of nan in step"):
        evaluation.mine(*_gaussians(50, 0.5), **{**QUICK, "learning_rate": 1e38})


@pytest.mark.parametrize(
    "batches, message",
    [
        ([], "every epoch of held_out_batches. Received: none in epoch=0"),
        ([{"views": (np.ones([4, 1]),)}], "two views in held_out_batches. Received: 1 views"),
        ([{"views": (np.ones([4, 1]), np.ones([4, 2]))}], "one kind of views.*Received"),
        ([{"views": (np.ones([1, 1]), np.ones([1, 1]))}], "at least two pairs"),
        ([{"views": (np.full([4, 1], np.nan), np.ones([4, 1]))}], "finite first"),
    ],
)
def test_batches_that_do_not_fit_are_refused(batches, message):
    def train(epoch):
        return [{"views": (np.ones([4, 1]), np.ones([4, 1]))}]

    with pytest.raises(ValueError, match=message):
        evaluation.mine_batches(train, lambda epoch: batches, steps=2, width=0.05)
