"""Losses: pure functions of tensors. They never communicate between replicas; methods gather."""

from tfssl.losses.swapped_prediction import swapped_prediction

__all__ = ["swapped_prediction"]
