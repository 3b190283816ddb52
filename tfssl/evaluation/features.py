"""Features of a stream of images, as arrays."""

from typing import Any, Callable, Iterable, NamedTuple, Optional

import numpy as np
import tensorflow as tf


class Features(NamedTuple):
    """Extracted arrays, row by row in the order of the stream.

    Attributes:
        features: `[n, dim]` float32.
        labels: `[n]` int64, or None where the batches have none.
        index: `[n]` int64, each row's record number.
    """

    features: np.ndarray
    labels: Optional[np.ndarray]
    index: np.ndarray


def extract(
    features: Callable[[tf.Tensor], tf.Tensor], batches: Iterable[dict[str, Any]]
) -> Features:
    """Runs an encoder over all batches, in inference mode, and drops padded rows.

    The encoder is traced once, whatever the size of the last batch. A Keras model is called with
    `training=False`; any other callable has to see to that itself.

    Args:
        features: images `[batch, height, width, channels]` -> `[batch, dim]`.
        batches: dictionaries `{"views": (images,), "index", "label"?, "mask"?}` with
            `[batch, ...]` entries; rows whose mask is False are padding.

    Returns:
        `Features`: unpacks as `(features, labels, index)`.

    Raises:
        ValueError: no rows at all, more than one view in a batch, or features that are not
            `[batch, dim]`.
    """
    run, parts = None, []
    for batch in batches:
        (images,) = _only_view(batch["views"])
        run = run or traced(features, images)
        rows = np.asarray(run(images))
        if rows.ndim != 2:
            raise ValueError(f"expected features [batch, dim]. Received: shape={rows.shape}.")
        keep = np.asarray(batch["mask"], bool) if "mask" in batch else np.ones(len(rows), bool)
        label = np.asarray(batch["label"], np.int64)[keep] if "label" in batch else None
        parts.append(Features(rows[keep], label, np.asarray(batch["index"], np.int64)[keep]))
    if not sum(len(part.index) for part in parts):
        raise ValueError("expected at least one row to extract features of. Received: no rows.")
    labelled = all(part.labels is not None for part in parts)
    return Features(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.labels for part in parts]) if labelled else None,
        np.concatenate([part.index for part in parts]),
    )


def traced(features: Callable, images: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor]:
    """A graph function of one trace: images like these, of any batch size, -> float32 features."""
    images = tf.convert_to_tensor(images)
    options = {"training": False} if isinstance(features, tf.keras.layers.Layer) else {}

    def run(batch: tf.Tensor) -> tf.Tensor:
        return tf.cast(features(batch, **options), tf.float32)

    specification = tf.TensorSpec([None, *images.shape[1:]], images.dtype)
    # With autograph: the function is the caller's, and may branch on tensors.
    return tf.function(run, input_signature=[specification])


def raw_pixels(images: tf.Tensor) -> tf.Tensor:
    """The pixels themselves as features: the baseline beside which kNN figures are printed.

    Use it with `knn(..., center=True)`: pixels are all positive, and without centring their
    cosines say little more than that.

    Args:
        images: `[batch, height, width, channels]` uint8 (divided by 255) or float.

    Returns:
        `[batch, height * width * channels]` float32.
    """
    if images.dtype == tf.uint8:
        images = tf.cast(images, tf.float32) / 255.0
    width = int(np.prod(images.shape[1:]))
    return tf.cast(tf.reshape(images, [-1, width]), tf.float32)


def _only_view(views: Any) -> tuple:
    """The one view of an evaluation batch."""
    views = tuple(views) if isinstance(views, (tuple, list)) else (views,)
    if len(views) != 1:
        raise ValueError(f"expected one view in an evaluation batch. Received: {len(views)} views.")
    return views
