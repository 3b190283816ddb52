"""An optimizer from its settings."""

from typing import Any, Union

import tensorflow as tf

from tfssl.training.optimizers.adamw import AdamW
from tfssl.training.optimizers.addons import build_addon
from tfssl.training.optimizers.config import OptimizerConfig
from tfssl.training.optimizers.lars import LARS
from tfssl.training.optimizers.sgd import SGD


def build_optimizer(
    config: OptimizerConfig,
    learning_rate: Union[float, tf.keras.optimizers.schedules.LearningRateSchedule],
) -> Any:
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
