"""Optimizers and learning rates from settings."""

import dataclasses
import importlib.util

import numpy as np
import pytest
import tensorflow as tf

from tfssl.settings import SettingsError
from tfssl.training.optimizers import (
    LARS,
    SGD,
    AdamW,
    OptimizerConfig,
    build_optimizer,
    learning_rate_at,
    peak_learning_rate,
)

HAS_ADDONS = importlib.util.find_spec("tensorflow_addons") is not None


def test_settings_reach_lars():
    config = OptimizerConfig(
        momentum=0.8,
        weight_decay=1e-4,
        exclude_rank_below=0,
        trust_coefficient=0.02,
        lars_adaptation="larc",
        clip_norm=3.0,
    )
    found = build_optimizer(config, 0.7).get_config()
    expected = LARS(
        0.7, 0.8, 1e-4, 0.02, exclude_rank_below=0, adaptation="larc", global_clipnorm=3.0
    ).get_config()
    assert found == expected


def test_settings_reach_sgd():
    config = OptimizerConfig(
        optimizer="sgd", momentum=0.8, nesterov=True, weight_decay=1e-4, exclude_rank_below=1
    )
    expected = SGD(0.7, 0.8, 1e-4, nesterov=True, exclude_rank_below=1).get_config()
    assert build_optimizer(config, 0.7).get_config() == expected


@pytest.mark.parametrize("name, kind", [("adamw", AdamW), ("adam", tf.keras.optimizers.Adam)])
def test_settings_reach_the_adams(name, kind):
    decay = {"weight_decay": 0.05 if name == "adamw" else 0.0}
    config = OptimizerConfig(
        optimizer=name, adam_beta_1=0.5, adam_beta_2=0.9, adam_epsilon=1e-4, clip_norm=2.0, **decay
    )
    optimizer = build_optimizer(config, 0.7)
    found = optimizer.get_config()
    assert isinstance(optimizer, kind) and found["jit_compile"] is False
    names = ("beta_1", "beta_2", "epsilon", "global_clipnorm")
    assert [found[n] for n in names] == [0.5, 0.9, 1e-4, 2.0]
    assert name == "adam" or (found["weight_decay"], found["exclude_rank_below"]) == (0.05, 2)


@pytest.mark.parametrize("name", ["lamb", "novograd", "radam"])
def test_addons_train_where_they_exist_and_say_so_where_they_do_not(name):
    config = OptimizerConfig(optimizer=name)
    if not HAS_ADDONS:
        with pytest.raises(ImportError, match="expects tensorflow-addons.*Remedy"):
            build_optimizer(config, 0.1)
        return
    optimizer = build_optimizer(config, 0.1)
    variable = tf.Variable(tf.ones([3, 3]))
    optimizer.build([variable])
    optimizer.apply_gradients([(tf.ones([3, 3]), variable)])
    assert (variable.numpy() < 1).all()


def test_addons_exclude_by_rank_or_refuse_to_decay():
    if not HAS_ADDONS:
        with pytest.raises(ImportError, match="Remedy"):
            build_optimizer(OptimizerConfig(optimizer="lamb"), 0.1)
        return
    lamb = build_optimizer(OptimizerConfig(optimizer="lamb", weight_decay=0.1), 0.1)
    kernel, bias = tf.Variable(tf.ones([2, 2])), tf.Variable(tf.ones([2]))
    lamb.apply_gradients([(tf.zeros([2, 2]), kernel), (tf.zeros([2]), bias)])
    assert (kernel.numpy() < 1).all()
    np.testing.assert_array_equal(bias, [1.0, 1.0])
    with pytest.raises(ValueError, match="decays every variable"):
        build_optimizer(OptimizerConfig(optimizer="novograd", weight_decay=0.1), 0.1)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "lars", "nesterov": True},
        {"optimizer": "sgd", "trust_coefficient": 0.02},
        {"optimizer": "sgd", "adam_beta_1": 0.5},
        {"optimizer": "adamw", "momentum": 0.5},
        {"optimizer": "lamb", "clip_norm": 1.0},
        {"optimizer": "adam", "weight_decay": 0.1},
        {"optimizer": "sgd", "nesterov": True, "momentum": 0.0},
        {"warmup_start_lr": 0.3},
        {"lr_schedule": "steps"},
        {"lr_decay_epochs": "10"},
        {"lr_schedule": "steps", "lr_decay_epochs": "10,10"},
        {"lr_schedule": "steps", "lr_decay_epochs": "0,10"},
        {"lr_schedule": "steps", "lr_decay_epochs": "ten"},
        {"lr_schedule": "steps", "lr_decay_epochs": "nan"},
        {"lr_schedule": "constant", "min_lr": 0.1},
        {"lr_decay_factor": 0.5},
        {"optimizer": "larz"},
        {"lr": -1.0},
        {"exclude_rank_below": 3},
    ],
)
def test_settings_without_effect_or_out_of_range_are_refused(changes):
    with pytest.raises(SettingsError, match="Received"):
        OptimizerConfig(**changes)


def test_every_setting_explains_itself():
    for field in dataclasses.fields(OptimizerConfig):
        assert len(field.metadata["help"]) > 10


@pytest.mark.parametrize(
    "scaling, batch_size, expected",
    [("none", 4096, 0.3), ("linear", 4096, 4.8), ("sqrt", 4096, 4.8), ("linear", 512, 0.6)],
)
def test_peak_learning_rate(scaling, batch_size, expected):
    config = OptimizerConfig(lr_scaling=scaling)
    assert peak_learning_rate(config, batch_size) == pytest.approx(expected)


SIZES = {"batch_size": 512, "steps_per_epoch": 10, "total_steps": 1000}


def test_the_default_schedule_is_warmup_and_cosine():
    config = OptimizerConfig(
        lr_scaling="linear", warmup_epochs=10, warmup_start_lr=0.3, min_lr=0.003
    )
    found = [learning_rate_at(t, config, **SIZES) for t in (0, 99, 100, 550, 1000)]
    ramp = [0.3 + 1 / 101 * 0.3, 0.3 + 100 / 101 * 0.3]
    np.testing.assert_allclose(found, [*ramp, 0.6, (0.6 + 0.006) / 2, 0.006])


def test_cosine_by_epochs_counts_them_from_one():
    config = OptimizerConfig(lr=0.03, lr_schedule="cosine_epochs", min_lr=3e-5)
    found = [learning_rate_at(t, config, **SIZES) for t in (0, 9, 10, 999)]
    epochs = np.array([1, 1, 2, 100])
    expected = 3e-5 + (0.03 - 3e-5) * (1 + np.cos(np.pi * epochs / 100)) / 2
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert found[-1] == pytest.approx(3e-5)


def test_steps_drop_after_their_epochs():
    config = OptimizerConfig(lr=0.03, lr_schedule="steps", lr_decay_epochs="12, 16")
    found = [learning_rate_at(t, config, **SIZES) for t in (119, 120, 159, 160)]
    np.testing.assert_allclose(found, [0.03, 0.003, 0.003, 0.0003])


@pytest.mark.parametrize(
    "config",
    [
        OptimizerConfig(lr_scaling="sqrt", warmup_epochs=2.5, warmup_start_lr=0.1, min_lr=0.01),
        OptimizerConfig(lr_schedule="cosine_epochs", warmup_epochs=3, warmup_start_lr=0.01),
        OptimizerConfig(lr_schedule="steps", lr_decay_epochs="12,16", warmup_epochs=1),
        OptimizerConfig(lr_schedule="constant", warmup_epochs=1),
    ],
)
def test_every_schedule_is_the_same_in_python_and_in_a_graph(config):
    graph = tf.function(lambda t: learning_rate_at(t, config, **SIZES), autograph=False)
    for step in (0, 9, 24, 25, 29, 30, 119, 120, 500, 999, 1000):
        found = graph(tf.constant(step, tf.int64))
        np.testing.assert_allclose(found, learning_rate_at(step, config, **SIZES), rtol=1e-6)
    assert graph.experimental_get_tracing_count() == 1


def test_a_warm_up_as_long_as_the_run_is_refused():
    with pytest.raises(SettingsError, match="warmup_epochs=100"):
        learning_rate_at(0, OptimizerConfig(warmup_epochs=100), **SIZES)
