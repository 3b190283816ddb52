"""Contrast of an image's global features with single places of its maps.

CMC, Tian, Krishnan, Isola 2020, arXiv 1906.05849, section B.2; Deep InfoMax, Hjelm et al. 2019,
arXiv 1808.06670, and its code.
"""

from typing import Optional

import tensorflow as tf

from tfssl.losses.checks import counted_logits, reduced, widest

# What the code of Deep InfoMax writes over the scores of an image's other places.
_MASKED = -10.0


def local_global(
    anchors: tf.Tensor,
    maps: tf.Tensor,
    own: tf.Tensor,
    *,
    other_places: str = "leave_out",
    counts: Optional[tf.Tensor] = None,
    reduction: str = "mean",
) -> tf.Tensor:
    """-log of a place's share of the softmax over it and all places of other images, batch mean.

    With s(n; n', p) = anchor n . place p of image n', for each image n and place p
    -s(n; n, p) + log( exp s(n; n, p) + sum over n' != n and p' of exp s(n; n', p') ),
    averaged over places, and over an image's anchors where it has several.

    Args:
        anchors: `[batch, dim]` or `[batch, anchors, dim]` floating, global features of one view,
            not normalised.
        maps: `[images, places, dim]` floating, local features of another view, of all images.
        own: `[batch]` integers, which of the images each anchor is of.
        other_places: of the own image. "leave_out": neither positive nor negative. "constant": they
            and the positive count as scores of -10 in the denominator, as in the code of Deep
            InfoMax.
        counts: `[batch, images]` numbers >= 0 or bool, how often an image's places count as
            negatives. None: once. The own image never does.
        reduction: "mean" of the batch, or "none": `[batch]`.

    Returns:
        Scalar in nats, >= 0; float32 (float64 where an argument is). Where all scores are 0 it is
        log(1 + (images - 1) places).

    Raises:
        ValueError: shapes that do not fit, or an unknown choice.

    Notes:
        Gradients flow to anchors and maps. Costs one product `[batch * anchors, images * places]`.
    """
    anchors, maps = tf.convert_to_tensor(anchors), tf.convert_to_tensor(maps)
    _check(anchors, maps, other_places)
    dtype = widest(anchors, maps)
    anchors, maps = tf.cast(anchors, dtype), tf.cast(maps, dtype)
    if anchors.shape.rank == 2:
        anchors = anchors[:, tf.newaxis]
    # b: batch, g: anchors of an image, n: images, p: places, d: dim.
    scores = tf.einsum("bgd,npd->bgnp", anchors, maps)
    positive = tf.gather(scores, own, axis=2, batch_dims=1)
    counted = tf.cast(tf.range(maps.shape[0]) != tf.cast(own, tf.int32)[:, tf.newaxis], dtype)
    if counts is not None:
        counted *= tf.stop_gradient(tf.cast(counts, dtype))
    sums = counted_logits(
        tf.reduce_logsumexp(scores, axis=3),
        tf.broadcast_to(counted[:, tf.newaxis], scores.shape[:3]),
    )
    if other_places == "constant":
        constant = tf.math.log(tf.cast(maps.shape[1], dtype)) + _MASKED
        sums = tf.concat([sums, tf.fill([*sums.shape[:2], 1], constant)], axis=2)
    others = tf.reduce_logsumexp(sums, axis=2, keepdims=True)
    return reduced(tf.reduce_mean(tf.math.softplus(others - positive), axis=[1, 2]), reduction)


def _check(anchors: tf.Tensor, maps: tf.Tensor, other_places: str) -> None:
    """Raises ValueError where shapes or choices do not fit."""
    if other_places not in ("leave_out", "constant"):
        raise ValueError(
            f"expected other_places 'leave_out' or 'constant'. Received: {other_places=}."
        )
    floating = anchors.dtype.is_floating and maps.dtype.is_floating
    fits = anchors.shape.rank in (2, 3) and maps.shape.rank == 3
    if not floating or not fits or anchors.shape[-1] != maps.shape[-1]:
        raise ValueError(
            "expected floating anchors [batch, dim] or [batch, anchors, dim] and maps [images, "
            f"places, dim]. Received: anchors.shape={anchors.shape}, "
            f"dtype={anchors.dtype.name}, maps.shape={maps.shape}, dtype={maps.dtype.name}."
        )
