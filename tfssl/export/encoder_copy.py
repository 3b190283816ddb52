"""A float32 copy of a backbone, made of built-in layers only, with its stages as outputs."""

from typing import Any

import tensorflow as tf

# Keras lives in one of these packages, depending on the TensorFlow version.
_BUILT_IN = ("keras", "tf_keras")


def copy_encoder(backbone: tf.keras.Model) -> tf.keras.Model:
    """Copies a functional backbone, weights included, with float32 arithmetic.

    The copy shares nothing with the original, so it can be made of a model that lives on several
    replicas or computes in half precision.

    Args:
        backbone: functional model, images -> `[batch, dim]`; where it has the attribute
            `stage_outputs` (name -> symbolic map), the stages become outputs too.

    Returns:
        A functional model named "backbone", images -> `{"features": [batch, dim], stage: map}`.

    Raises:
        ValueError: not a functional model, or a layer that is not built into Keras.
    """
    if not isinstance(backbone, tf.keras.Model) or not getattr(backbone, "inputs", None):
        raise ValueError(
            "expected a functional Keras model, because a SavedModel must load without this "
            f"library. Received: {type(backbone).__name__}."
        )
    foreign = sorted(
        {type(layer).__name__ for layer in _layers(backbone) if not _is_built_in(layer)}
    )
    if foreign:
        raise ValueError(
            "expected built-in Keras layers only, because a SavedModel must load without this "
            f"library. Received: {', '.join(foreign)} in {backbone.name}."
        )
    stages = dict(getattr(backbone, "stage_outputs", {}))
    outputs = {"features": backbone.outputs[0], **stages}
    original = tf.keras.Model(backbone.inputs, outputs, name="backbone")
    copy = tf.keras.Model.from_config(_for_one_device(original.get_config()))
    for layer in original.layers:
        copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


def _layers(model: tf.keras.Model) -> list:
    """All layers inside a model, at any depth."""
    return [m for m in model.submodules if isinstance(m, tf.keras.layers.Layer)]


def _is_built_in(layer: tf.keras.layers.Layer) -> bool:
    return type(layer).__module__.split(".")[0] in _BUILT_IN


def _for_one_device(config: Any) -> Any:
    """A Keras configuration in float32 whose normalisation asks no other replica."""
    if isinstance(config, dict):
        if config.get("class_name") in ("Policy", "PolicyV1"):
            return "float32"
        alone = {"synchronized": False} if "synchronized" in config else {}
        return {**{key: _for_one_device(value) for key, value in config.items()}, **alone}
    if isinstance(config, (list, tuple)):
        return type(config)(_for_one_device(value) for value in config)
    return config
