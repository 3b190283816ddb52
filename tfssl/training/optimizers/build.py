"""An optimizer from its settings."""

import dataclasses
from typing import Any, Callable, Iterable, Tuple, Union

import tensorflow as tf

from tfssl.training.optimizers.adamw import AdamW
from tfssl.training.optimizers.addons import build_addon
from tfssl.training.optimizers.config import OptimizerConfig
from tfssl.training.optimizers.grouped import GroupedOptimizer
from tfssl.training.optimizers.lars import LARS
from tfssl.training.optimizers.sgd import SGD

Rate = Union[float, tf.keras.optimizers.schedules.LearningRateSchedule]


def build_optimizer(config: OptimizerConfig, learning_rate: Rate) -> Any:
    """The optimizer that the settings name.

    Args:
        config: the settings.
        learning_rate: a number, or a schedule such as `FollowStep`; the settings' own `lr` is not
            read here, because it still has to be scaled and scheduled (`learning_rate_at`).

    Returns:
        A `tf.keras.optimizers.Optimizer`; for the optimizers of tensorflow-addons a
        `tf.keras.optimizers.legacy.Optimizer` with a `build(variables)` added.

    Raises:
        ImportError: tensorflow-addons is needed and cannot be imported.
        ValueError: a combination that the optimizer cannot do.
    """
    decay = {
        "weight_decay": config.decay,
        "exclude_rank_below": config.exclude_rank_below,
    }
    clip = {"global_clipnorm": config.clip_norm}
    if config.optimizer == "lars":
        return LARS(
            learning_rate,
            config.momentum,
            trust_coefficient=config.trust_coefficient,
            adaptation=config.lars_adaptation,
            **decay,
            **clip,
        )
    if config.optimizer == "sgd":
        return SGD(learning_rate, config.momentum, nesterov=config.nesterov, **decay, **clip)
    moments = {
        "beta_1": config.adam_beta_1,
        "beta_2": config.adam_beta_2,
        "epsilon": config.adam_epsilon,
    }
    if config.optimizer == "adamw":
        return AdamW(learning_rate, **decay, **moments, **clip)
    if config.optimizer == "adam":
        return tf.keras.optimizers.Adam(learning_rate, jit_compile=False, **moments, **clip)
    return build_addon(config.optimizer, learning_rate, **decay, **moments)


def build_grouped_optimizer(
    config: OptimizerConfig,
    learning_rate: Callable[[float], Rate],
    groups: Iterable[Tuple[float, Iterable[tf.Variable]]],
) -> GroupedOptimizer:
    """The optimizer that the settings name, once for each group of variables and for the rest.

    Args:
        config: the settings; the largest norm is that of all gradients of a step together.
        learning_rate: maps a factor to the learning rate times it, a number or a schedule.
        groups: pairs of a factor and the variables it is for; 1 for all others.

    Raises:
        ImportError, ValueError: see `build_optimizer`.
    """
    alone = dataclasses.replace(config, clip_norm=None)
    return GroupedOptimizer(
        build_optimizer(alone, learning_rate(1.0)),
        [(build_optimizer(alone, learning_rate(factor)), own) for factor, own in groups],
        clip_norm=config.clip_norm,
    )
