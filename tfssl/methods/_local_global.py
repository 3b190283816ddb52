"""Several views without a memory: features of one view against places in another's maps."""

import dataclasses
import math
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import tensorflow as tf

from tfssl import layers, losses, ops
from tfssl.methods._bank import BankSettings
from tfssl.methods._multiview import ViewNetworks, shares
from tfssl.methods._multiview_contrast import Term
from tfssl.settings import SettingsError, setting


@dataclasses.dataclass(frozen=True)
class PatchSettings(BankSettings):
    """Settings of the loss that has no memory, beside those of a bank."""

    patch_layer: str = setting(
        "conv3", "Of loss patch: the layer whose map has the places, a stage of the backbone."
    )
    patch_anchors: str = setting(
        "features",
        "Of loss patch: what looks for places, the features, or every place of the last map, "
        "which the features are the mean of; the loss is the mean over them then. For "
        "alexnet_crops.",
        choices=("features", "places"),
    )
    patch_heads: str = setting(
        "linear",
        "Of loss patch: linear maps of features and places, as the paper writes it, or dim: the "
        "heads of Deep InfoMax, with --cmc_projection_dim=2048.",
        choices=("linear", "dim"),
    )
    patch_mask: str = setting(
        "leave_out",
        "Of loss patch: other places of the own image are left out, or a constant in the "
        "denominator, as in the code of Deep InfoMax.",
        choices=("leave_out", "constant"),
    )


def head_of(settings: PatchSettings) -> Callable:
    """Function that makes the head of so many features which the settings name."""
    if settings.patch_heads == "linear":
        return lambda features: layers.projector(
            features, hidden_dims=(), output_dim=settings.projection_dim
        )
    return lambda features: layers.residual_projector(features, output_dim=settings.projection_dim)


class LocalGlobalContrast(tf.keras.layers.Layer):
    """The loss of CMC's section B.2 for every direction.

    Args:
        settings: see `PatchSettings`.
        views: the networks; their heads make the global features.
        terms: the directions of the loss.

    Raises:
        SettingsError: the encoders have no layer of that name.
    """

    def __init__(self, settings: PatchSettings, views: ViewNetworks, terms: Sequence[Term]):
        """Makes the heads of places."""
        super().__init__(name="contrast")
        self._settings, self._terms = settings, tuple(terms)
        encoders = views.encoders
        name = settings.patch_layer
        if name not in encoders[0].stage_outputs:
            raise SettingsError(
                f"patch_layer: expected one of {', '.join(encoders[0].stage_outputs)}. Received: "
                f"{name!r}.",
                "patch_layer",
            )
        outputs = [
            {"features": _anchors(settings, e), "map": e.stage_outputs[name]} for e in encoders
        ]
        models = [tf.keras.Model(e.inputs, o) for e, o in zip(encoders, outputs)]
        heads = [network.layers[1] for network in views.networks]
        self.place_heads = [head_of(settings)(o["map"].shape[-1]) for o in outputs]
        # Behind a function Keras does not track encoders and heads a second time.
        parts = [views.of_views(part) for part in (models, heads, self.place_heads)]
        self._networks = lambda: list(zip(*parts))

    @property
    def statistics(self) -> Tuple[str, ...]:
        """Names of the logs, of each direction.

        Its loss, the mean over places and images, and the bound log(k + 1) - L of the information,
        in nats, that a view and a place share, with the k places of other images.
        """
        kinds = ("loss", "information")
        return tuple(f"{kind}/{term.name}" for kind in kinds for term in self._terms)

    def loss(
        self, views: Sequence[tf.Tensor], present: Optional[tf.Tensor] = None
    ) -> Tuple[tf.Tensor, Dict[str, tf.Tensor]]:
        """The weighted sum of the directions' means.

        Args:
            views: `[batch, height, width, channels]`, this replica's rows of each.
            present: `[batch, views]` bool, which views there are; None: all.

        Returns:
            The loss, and a scalar for each name in `statistics`.
        """
        found = [self._embed(*networks, view) for networks, view in zip(self._networks(), views)]
        anchors = [features for features, _ in found]
        maps = [ops.cross_replica_concat(places) for _, places in found]
        batch = anchors[0].shape[0]
        own = tf.range(batch) + ops.row_offset(batch)
        there = None if present is None else ops.cross_replica_concat(present)
        each = [
            losses.local_global(
                *(anchors[term.anchor], maps[term.key], own),
                other_places=self._settings.patch_mask,
                counts=None
                if there is None
                else tf.tile(there[:, term.key][tf.newaxis], [batch, 1]),
                reduction="none",
            )
            for term in self._terms
        ]
        each = tf.stack(each, axis=1)
        pairs = [(term.anchor, term.key) for term in self._terms]
        share = shares(present, pairs, each)
        means = tf.reduce_sum(share * each, axis=0)
        total = tf.add_n([term.weight * means[t] for t, term in enumerate(self._terms)])
        places = [maps[term.key].shape[1] for term in self._terms]
        others = tf.stack([self._others(maps, there, term.key) for term in self._terms])
        bounds = tf.math.log1p(tf.constant(places, each.dtype) * tf.cast(others, each.dtype)) - each
        logs = [means, tf.reduce_sum(share * bounds, axis=0)]
        return total, dict(zip(self.statistics, tf.unstack(tf.concat(logs, axis=0))))

    @staticmethod
    def _others(maps, there, key) -> tf.Tensor:
        """How many other images have the view of a key, for one that has it."""
        if there is None:
            return tf.constant(maps[key].shape[0] - 1)
        return tf.maximum(tf.reduce_sum(tf.cast(there[:, key], tf.int32)) - 1, 0)

    def _embed(self, encoder, head, place_head, view) -> List[tf.Tensor]:
        """Global features `[batch, anchors, dim]` and those of places `[batch, places, dim]`."""
        found = encoder(view, training=True)
        return [_projected(head, found["features"]), _projected(place_head, found["map"])]


def _anchors(settings: PatchSettings, encoder: tf.keras.Model):
    """The features of an encoder, or the map whose mean they are."""
    if settings.patch_anchors == "features":
        return encoder.output
    return list(encoder.stage_outputs.values())[-1]


def _projected(head: Callable, values: tf.Tensor) -> tf.Tensor:
    """What a head makes of every place: `[batch, ..., channels]` to `[batch, places, dim]`."""
    _, *sides, channels = values.shape
    rows = head(tf.reshape(values, [-1, channels]), training=True)
    return tf.reshape(rows, [-1, math.prod(sides), rows.shape[1]])
