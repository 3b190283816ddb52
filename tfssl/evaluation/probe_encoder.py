"""A part of an encoder, one of its layers or the encoder of one view, as features to judge."""

from typing import Callable, Optional

import tensorflow as tf

from tfssl.evaluation.probe_pooling import probe_features


def probe_encoder(
    encoder: tf.keras.Model,
    *,
    layer: Optional[str] = None,
    view: Optional[int] = None,
    stem: str = "imagenet",
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Features of one layer, of all views side by side or of one of them.

    CMC, Tian et al. 2019, arXiv 1906.05849: linear classifiers on every layer of two encoders.

    Args:
        encoder: a model made by `tfssl.backbones.build` or `tfssl.backbones.concatenate`.
        layer: a name in its `stage_outputs`, whose map is pooled by `probe_features`; None for the
            encoder's features.
        view: number of the view from 1, for a joint model; None for all.
        stem: see `probe_features`.

    Returns:
        Function of images `[batch, height, width, channels]`, of all channels, to `[batch, dim]`,
        in inference mode.

    Raises:
        ValueError: there is no such view or layer.
    """
    if view is not None:
        parts = getattr(encoder, "parts", ())
        if not 1 <= view <= len(parts):
            raise ValueError(
                f"view: expected the number of one of {len(parts)} views with an encoder of their "
                f"own. Received: {view}."
            )
        encoder = parts[view - 1]
    if layer is None:
        return encoder
    if layer not in encoder.stage_outputs:
        raise ValueError(
            f"layer: expected one of {', '.join(encoder.stage_outputs)}. Received: {layer!r}."
        )
    model = tf.keras.Model(encoder.inputs, encoder.stage_outputs[layer])

    def features(images: tf.Tensor) -> tf.Tensor:
        return probe_features({layer: model(images, training=False)}, stem=stem)[layer]

    return features
