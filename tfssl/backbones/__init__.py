"""Encoders: functional Keras models from images to pooled features, built by name."""

from tfssl.backbones.builder import NAMES, BackboneConfig, build
from tfssl.backbones.dense_map import dense_map
from tfssl.backbones.joint import concatenate
from tfssl.backbones.torch_weights import load_torch_state, torch_state

__all__ = [
    "NAMES",
    "BackboneConfig",
    "build",
    "concatenate",
    "dense_map",
    "load_torch_state",
    "torch_state",
]
