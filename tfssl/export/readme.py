"""The page that travels with an exported backbone."""

from typing import Any

_PAGE = """# An image encoder

Images in, features out. Written by tfssl {tfssl} with TensorFlow {tensorflow}. It needs TensorFlow
only; tfssl does not have to be installed.

Preprocessing is inside: the shorter side is resized to {resize_to} pixels ({interpolation}),
the centre {image_size} x {image_size} is cut out{conversion}, and each
channel is normalised.{own_size}
Give pixels as they are; do not normalise.

* mean {mean}
* std {std}

## Signatures

| signature | input `images` `[batch, height, width, {channels}]` | outputs, float32 |
|---|---|---|
| `uint8`, `serving_default` | uint8, 0..255, any size | `features` `[batch, {dim}]` |
| `float` | float32, [0, 1], any size | `features` `[batch, {dim}]` |
| `stages_uint8` | as `uint8` | `features` and the maps below |
| `stages_float` | as `float` | `features` and the maps below |

Maps, for images of {image_size} x {image_size} after preprocessing (no pooling):

{stages}

All images of a batch have one size. Inference mode: normalisation uses its moving statistics.

```python
import tensorflow as tf

encoder = tf.saved_model.load("{name}")
images = tf.io.decode_jpeg(tf.io.read_file("image.jpg"), channels={channels})[tf.newaxis]
features = encoder.signatures["uint8"](images=images)["features"]
```

## Fine-tuning

With the Keras API the model takes float images in [0, 1] and is trainable; `training=True` makes
normalisation use and update batch statistics. TensorFlow 2.16 and newer need the package
`tf-keras` and `TF_USE_LEGACY_KERAS=1` in the environment.

```python
import tensorflow as tf

encoder = tf.keras.models.load_model("{name}", compile=False)
model = tf.keras.Sequential([encoder, tf.keras.layers.Dense(10)])
model.compile("sgd", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(images_0_to_1, labels)  # uint8 images: divide by 255 first
```

`encoder.get_layer("backbone")` is the network without preprocessing: normalised images of any size
-> `features` and all maps, by name. Without Keras, `tf.saved_model.load("{name}")` has
`trainable_variables` and is called as `encoder(images, training=True)`.
"""


_CONVERSION = ", RGB becomes {color} ({color_about})"
_OWN_SIZE = " Images that are {image_size} x {image_size} already are not\nresized."


def readme(name: str, description: dict[str, Any]) -> str:
    """The page for a model saved in a folder called `name`, from its `export.json`."""
    stages = description["stages"]
    rows = [f"* `{stage}` {shape}" for stage, shape in stages.items()]
    values = {**description, **description["versions"], "name": name}
    values["own_size"] = _OWN_SIZE.format(**description) if description["keeps_own_size"] else ""
    converted = description["color"] != "rgb"
    values["conversion"] = _CONVERSION.format(**description) if converted else ""
    values["stages"] = "\n".join(rows) if rows else "* none"
    for key in ("mean", "std"):
        values[key] = ", ".join(f"{value:g}" for value in description[key])
    return _PAGE.format(**values)
