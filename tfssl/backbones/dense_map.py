"""The last features of a backbone at every position, for fully convolutional use."""

import tensorflow as tf

from tfssl.backbones.alexnet import CONNECTED_LAYERS


def dense_map(backbone: tf.keras.Model):
    """Gives the last features of a backbone at every position of its last convolutional map.

    For an AlexNet the layers fc6 and fc7 themselves, not copies, slide over the map of the last
    max pool, with zeros around it so that its size is kept. For the other backbones it is the last
    of `stage_outputs`. `tf.keras.Model(backbone.inputs, dense_map(backbone))` is the fully
    convolutional network.

    Args:
        backbone: a model made by `tfssl.backbones.build`.

    Returns:
        Symbolic map `[batch, height, width, feature_dim]` in the policy's compute dtype.

    Raises:
        ValueError: a joint model of AlexNets, or a part of one: its encoders have to be taken one
            by one.

    Notes:
        With k the kernel of fc6, (k - 1) // 2 zeros stand before the map and k // 2 after it: 3 and
        3 for k = 7, 2 and 3 for k = 6. For images of the `image_size` that the backbone was built
        for, the cell at row and column (k - 1) // 2 sees the whole map and no zero: it is the
        backbone's own fc7. In training mode the normalisation of fc6 and fc7 sees all positions,
        and keeps moving statistics of all positions.
    """
    stages = backbone.stage_outputs
    if "fc6" not in stages:
        return list(stages.values())[-1]
    if not any(layer.name == "fc6" for layer in backbone.layers):
        raise ValueError(
            "expected an AlexNet of its own; take the encoders of a joint model one by one. "
            f"Received: backbone={backbone.name!r}."
        )
    size = backbone.get_layer("fc6").kernel_size[0]
    edge = ((size - 1) // 2, size // 2)
    x = tf.keras.layers.ZeroPadding2D((edge, edge))(stages["conv5"])
    for name in CONNECTED_LAYERS:
        x = backbone.get_layer(name)(x)
    return x
