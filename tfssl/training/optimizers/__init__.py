"""Optimizers with PyTorch's semantics, their settings, and the learning rate over a run."""

from tfssl.training.optimizers.adamw import AdamW
from tfssl.training.optimizers.build import build_grouped_optimizer, build_optimizer
from tfssl.training.optimizers.config import (
    OptimizerConfig,
    learning_rate_at,
    peak_learning_rate,
)
from tfssl.training.optimizers.grouped import GroupedOptimizer
from tfssl.training.optimizers.lars import LARS
from tfssl.training.optimizers.sgd import SGD

__all__ = [
    "LARS",
    "SGD",
    "AdamW",
    "GroupedOptimizer",
    "OptimizerConfig",
    "build_grouped_optimizer",
    "build_optimizer",
    "learning_rate_at",
    "peak_learning_rate",
]
