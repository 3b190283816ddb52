"""Linear classification against NumPy, scikit-learn and its own promises."""

import inspect
import json

import numpy as np
import pytest
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from tests.random_inputs import fresh_rng
from tfssl import evaluation
from tfssl.evaluation import softmax_regression

MEASURED = ("top1", "top5", "best_epoch", "best_top1", "best_top5")


def _clusters(rows, classes=5, dim=12, spread=1.5):
    rng = fresh_rng()
    centers = np.random.default_rng(7).normal(size=(classes, dim)) * spread
    labels = np.append(np.arange(classes), rng.integers(0, classes, rows - classes))
    return (centers[labels] + rng.normal(size=(rows, dim))).astype(np.float32), labels


@pytest.mark.parametrize("batch_size", [128, 1024])
def test_accuracy_is_within_a_point_of_scikit_learn(batch_size):
    train, train_labels = _clusters(2000)
    test, test_labels = _clusters(2000)
    reference = LogisticRegression(max_iter=1000).fit(train, train_labels)
    expected = reference.score(test, test_labels)
    found = evaluation.linear(train, train_labels, test, test_labels, batch_size=batch_size)
    assert expected > 0.9 and abs(found["top1"] - expected) <= 0.01
    assert found["top5"] == 1.0


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_updates_equal_a_numpy_rederivation(weight_decay):
    rng = fresh_rng()
    x, labels = rng.normal(size=(6, 8, 4)).astype(np.float32), rng.integers(0, 3, (6, 8))
    state = softmax_regression.start(4, 3, seed=1)
    kernel, bias = state.kernel.numpy().astype(np.float64), np.zeros(3)
    kernel_buffer, bias_buffer = np.zeros((4, 3)), np.zeros(3)
    for rows, row_labels, lr in zip(x, labels, np.linspace(0.5, 0.1, 6, dtype=np.float32)):
        logits = rows @ kernel + bias
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        expected_loss = -np.log(p[np.arange(8), row_labels]).mean()
        error = (p - np.eye(3)[row_labels]) / 8
        kernel_buffer = 0.9 * kernel_buffer + rows.T @ error + weight_decay * kernel
        bias_buffer = 0.9 * bias_buffer + error.sum(axis=0)
        kernel, bias = kernel - lr * kernel_buffer, bias - lr * bias_buffer
        state, loss = softmax_regression.update(
            state, tf.constant(rows), tf.constant(row_labels), tf.constant(lr), 0.9, weight_decay
        )
        np.testing.assert_allclose(loss, expected_loss, rtol=1e-5)
    np.testing.assert_allclose(state.kernel, kernel, atol=1e-5)
    np.testing.assert_allclose(state.bias, bias, atol=1e-5)


def test_the_written_out_gradient_is_the_gradient():
    rng = fresh_rng()
    x, labels = tf.constant(rng.normal(size=(8, 4)).astype(np.float32)), rng.integers(0, 3, 8)
    state = softmax_regression.start(4, 3, seed=1)
    kernel, bias = tf.Variable(state.kernel * 100), tf.Variable(state.bias)
    state = state._replace(kernel=kernel.value())
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels, x @ kernel + bias)
        )
    slopes = tape.gradient(loss, [kernel, bias])
    new, _ = softmax_regression.update(state, x, tf.constant(labels), 1.0, 0.0, 0.0)
    np.testing.assert_allclose(state.kernel - new.kernel, slopes[0], atol=1e-5)
    np.testing.assert_allclose(state.bias - new.bias, slopes[1], atol=1e-5)


def test_an_epoch_visits_whole_batches_of_different_rows():
    # One row a class, a kernel of zeros and no momentum: each visit leaves its mark on the bias.
    classes, state = 7, softmax_regression.start(1, 7, seed=0)
    state = state._replace(kernel=tf.zeros([1, classes]))
    labels = tf.range(classes, dtype=tf.int64)
    first, second = softmax_regression.epochs(
        tf.zeros([classes, 1]), labels, state, [1e-3, 1e-3], 3, 0.0, 0.0, seed=0
    )
    assert (first.bias.numpy() > 0).sum() == 6
    assert ((second.bias - first.bias).numpy() > 0).sum() == 6


def test_rates_are_a_cosine_over_epochs_or_drop_at_milestones():
    """Property 16 of the CMC sheet: 30, 6, 1.2 and 0.24 in epochs 60, 61, 76 and 91, from 1."""
    found = softmax_regression.rates(0.3, 100, (), 0.1)
    np.testing.assert_allclose(found, 0.15 * (1 + np.cos(np.pi * np.arange(100) / 100)), rtol=1e-6)
    found = softmax_regression.rates(30.0, 100, (60, 75, 90), 0.2)
    np.testing.assert_allclose(
        found[[59, 60, 74, 75, 89, 90, 99]], [30, 6, 6, 1.2, 1.2, 0.24, 0.24]
    )


def test_the_same_seed_gives_the_same_result_and_another_seed_another_kernel():
    train, train_labels = _clusters(300, spread=0.3)
    test, test_labels = _clusters(300, spread=0.3)
    runs = [
        evaluation.linear(train, train_labels, test, test_labels, epochs=5, batch_size=64)
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    kernels = [softmax_regression.start(50, 40, seed).kernel.numpy() for seed in (0, 0, 1)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert (kernels[0] != kernels[2]).any()
    assert kernels[0].std() == pytest.approx(0.01, rel=0.1)


def test_a_search_chooses_on_held_out_training_rows():
    train, train_labels = _clusters(400)
    test, test_labels = _clusters(200)
    result = evaluation.linear(
        train, train_labels, test, test_labels, learning_rates=(1e-6, 0.3), epochs=20, batch_size=64
    )
    assert result["lr"] == 0.3
    assert [row["lr"] for row in result["searched"]] == [1e-6, 0.3]
    assert result["searched"][1]["top1"] > result["searched"][0]["top1"]
    alone = evaluation.linear(
        train, train_labels, test, test_labels, learning_rates=(0.3,), epochs=20, batch_size=64
    )
    assert "searched" not in alone and alone["top1"] == result["top1"]
    # The test rows choose nothing: with labels of their own the choice is the same.
    shuffled = evaluation.linear(
        train,
        train_labels,
        test,
        fresh_rng().permutation(test_labels),
        learning_rates=(1e-6, 0.3),
        epochs=20,
        batch_size=64,
    )
    assert shuffled["searched"] == result["searched"] and shuffled["lr"] == 0.3


def test_standardising_takes_scale_and_offset_of_features_out():
    train, train_labels = _clusters(300)
    test, test_labels = _clusters(300)
    scale = np.float32(10.0) ** np.linspace(-3, 3, 12, dtype=np.float32)
    constant = np.full((300, 1), 5, np.float32)
    settings = {"standardize": True, "epochs": 20, "batch_size": 64}
    plain = evaluation.linear(train, train_labels, test, test_labels, **settings)
    odd = evaluation.linear(
        np.hstack([train * scale, constant]),
        train_labels,
        np.hstack([test * scale, constant + 1]),
        test_labels,
        **settings,
    )
    assert plain["top1"] > 0.85 and odd["top1"] == pytest.approx(plain["top1"], abs=0.02)


def test_top_five_of_many_classes():
    train, train_labels = _clusters(1000, classes=20, spread=0.5)
    test, test_labels = _clusters(1000, classes=20, spread=0.5)
    result = evaluation.linear(train, train_labels, test, test_labels, batch_size=128, epochs=20)
    assert result["top1"] < result["top5"] < 1.0


def test_defaults_are_frozen():
    defaults = {
        name: p.default
        for name, p in inspect.signature(evaluation.linear).parameters.items()
        if p.kind is p.KEYWORD_ONLY
    }
    assert defaults == {
        "num_classes": None,
        "learning_rates": (0.3,),
        "epochs": 100,
        "batch_size": 1024,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "milestones": (),
        "decay_factor": 0.1,
        "standardize": False,
        "validation_fraction": 0.1,
        "seed": 0,
    }
    base = (0.025, 0.05, 0.075, 0.1, 0.2, 0.3)
    np.testing.assert_allclose(evaluation.LEARNING_RATE_GRID, np.array(base) * 1024 / 256)


def test_the_result_holds_every_setting_and_is_json():
    train, train_labels = _clusters(30)
    result = evaluation.linear(
        train, train_labels, train, train_labels, epochs=2, milestones=(1,), learning_rates=(1, 2)
    )
    assert json.loads(json.dumps(result)) == result
    assert {k: v for k, v in result.items() if k not in (*MEASURED, "searched", "lr")} == {
        "protocol": "linear",
        "schedule": "milestones",
        "reported": "last epoch",
        "epochs": 2,
        "batch_size": 30,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "milestones": [1],
        "decay_factor": 0.1,
        "standardize": False,
        "seed": 0,
        "validation_fraction": 0.1,
        "num_train": 30,
        "num_test": 30,
        "num_classes": 5,
        "dim": 12,
    }


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"train_labels": None}, "expected train_labels.*Received: None"),
        ({"test_features": np.full((3, 2), np.nan)}, "3 of 3 rows"),
        ({"learning_rates": ()}, r"learning_rates=\[\]"),
        ({"learning_rates": (0.1, -1.0)}, r"learning_rates=\[0.1, -1.0\]"),
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"momentum": 1.0}, "momentum=1"),
        ({"weight_decay": -0.1}, "weight_decay=-0.1"),
        ({"milestones": (1,), "decay_factor": -1.0}, "decay_factor=-1"),
        ({"seed": -1}, "seed=-1"),
        ({"learning_rates": (0.1, 0.2), "validation_fraction": 1.0}, "validation_fraction=1"),
    ],
)
def test_arrays_and_settings_that_do_not_fit_are_refused(changes, words):
    arguments = {
        "train_features": np.ones((4, 2), np.float32),
        "train_labels": np.array([0, 1, 2, 1]),
        "test_features": np.ones((3, 2), np.float32),
        "test_labels": np.array([0, 1, 2]),
    }
    with pytest.raises(ValueError, match=words):
        evaluation.linear(**{**arguments, **changes})


@pytest.mark.slow
def test_cifar_sized_features_take_seconds():
    import time

    train, train_labels = _clusters(50000, classes=10, dim=128)
    test, test_labels = _clusters(10000, classes=10, dim=128)
    began = time.perf_counter()
    evaluation.linear(train, train_labels, test, test_labels)
    assert time.perf_counter() - began < 30
