"""Layers around an encoder: heads, prototypes and the state that is checkpointed with a model."""

from tfssl.layers.projector import projector
from tfssl.layers.prototypes import Prototypes
from tfssl.layers.teacher import Teacher

__all__ = ["Prototypes", "Teacher", "projector"]
