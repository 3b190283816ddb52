"""Several encoders as one: each sees its channels of the image, their features stand in a row."""

from typing import Callable, Mapping, Optional, Sequence

import tensorflow as tf


def concatenate(
    encoders: Sequence[tf.keras.Model],
    channels: Sequence[int],
    *,
    before: Optional[Callable] = None,
) -> tf.keras.Model:
    """Joins one encoder per group of channels into one model of the whole image.

    Tian et al. 2019, arXiv 1906.05849 (CMC): an image is represented by the features of all views,
    side by side, and at every depth by the maps of all encoders, side by side along the channels.

    Call it in the scope of the strategy that the encoders were built in. The model is made of the
    encoders' own layers, built-in layers and TensorFlow operations: weights are shared, not copied,
    and it can be exported like a backbone.

    Args:
        encoders: models made by `tfssl.backbones.build`, with the same names in `stage_outputs`,
            and with maps of the same size where these are used; or models without that attribute.
        channels: number of channels that each encoder takes, in their order in the image.
        before: what happens to a symbolic image before it is divided, of built-in layers and
            TensorFlow operations; it keeps the number of channels. None: nothing.

    Returns:
        A functional model, `[batch, height, width, sum(channels)]` to `[batch, feature_dim]`, with
        the attributes `feature_dim` and `stage_outputs` of a backbone, and `parts`: a tuple of
        functional models of the whole image, one per encoder, that give its features alone and have
        the same two attributes.

    Raises:
        ValueError: numbers of channels that are not those of the encoders, or encoders of
            different stages.
    """
    _check(encoders, channels)
    images = tf.keras.Input((None, None, sum(channels)), name="images")
    groups = tf.split(before(images) if before else images, list(channels), axis=-1)
    outputs = [
        _with_stages(encoder, f"view{index}")(group)
        for index, (encoder, group) in enumerate(zip(encoders, groups), start=1)
    ]
    names = list(_stages(encoders[0]))
    parts = tuple(
        _model(images, values["features"], {name: values[name] for name in names}, encoder.name)
        for encoder, values in zip(encoders, outputs)
    )
    features = _side_by_side("features", outputs)
    stages = {name: _side_by_side(name, outputs) for name in names}
    joint = _model(images, features, stages, "joint")
    # Past Keras' own __setattr__, which would count the parts among the layers of the model.
    object.__setattr__(joint, "parts", parts)
    return joint


def _with_stages(encoder: tf.keras.Model, name: str) -> tf.keras.Model:
    """The encoder under a name of its own, which a layer needs, with its stages as outputs."""
    outputs = {"features": encoder.outputs[0], **_stages(encoder)}
    return tf.keras.Model(encoder.inputs, outputs, name=name)


def _stages(encoder: tf.keras.Model) -> Mapping[str, tf.Tensor]:
    """Its maps by name; none of a network that ends in a head."""
    return getattr(encoder, "stage_outputs", {})


def _side_by_side(name: str, outputs: list):
    """One output of all encoders, joined along the channels.

    An operation, unlike a layer, keeps the dtype of each output under every policy, and in copies.
    """
    return tf.concat([output[name] for output in outputs], axis=-1)


def _model(images, features, stages: Mapping[str, tf.Tensor], name: str) -> tf.keras.Model:
    """A functional model with the attributes of a backbone."""
    model = tf.keras.Model(images, features, name=name)
    model.feature_dim = int(features.shape[-1])
    model.stage_outputs = dict(stages)
    return model


def _check(encoders: Sequence[tf.keras.Model], channels: Sequence[int]) -> None:
    own = [int(encoder.inputs[0].shape[-1]) for encoder in encoders]
    if not own or own != list(channels):
        raise ValueError(
            f"channels: expected those of at least one encoder, here {own}. Received: "
            f"channels={list(channels)}."
        )
    stages = [tuple(_stages(encoder)) for encoder in encoders]
    if len(set(stages)) > 1:
        raise ValueError(f"encoders: expected the same stages of all. Received: stages={stages}.")
