"""Views of several kinds: which pairs a loss compares, and an encoder for every kind."""

from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

import tensorflow as tf

from tfssl import backbones, layers, ops
from tfssl.methods._fit import check_equal_sizes
from tfssl.methods._key_encoder import queries_and_keys
from tfssl.settings import SettingsError
from tfssl.views import ViewFamily

BuildEncoder = Callable[..., tf.keras.Model]


class Kinds(NamedTuple):
    """Which views share an encoder.

    Attributes:
        of_view: number of the encoder of each view.
        channels: channels that each encoder sees.
    """

    of_view: Tuple[int, ...]
    channels: Tuple[int, ...]


def kinds_of(channels: Sequence[int], *, share: bool) -> Kinds:
    """An encoder for every view, or one for all, which have as many channels."""
    if share:
        return Kinds((0,) * len(channels), tuple(channels[:1]))
    return Kinds(tuple(range(len(channels))), tuple(channels))


def view_pairs(num_views: int, *, paradigm: str, core_view: int = 0) -> List[Tuple[int, int]]:
    """Ordered pairs (anchor, key) of views, each pair in both directions (CMC, Eqs. 4, 7 and 8).

    Args:
        num_views: M >= 2.
        paradigm: "core", the 2 (M - 1) with the core view; "full", all M (M - 1).
        core_view: number of the core view.
    """
    pairs = [(i, j) for i in range(num_views) for j in range(num_views) if i != j]
    return pairs if paradigm == "full" else [pair for pair in pairs if core_view in pair]


def build_encoders(
    kinds: Kinds, build_encoder: BuildEncoder, **options
) -> Tuple[List[tf.keras.Model], tf.keras.Model]:
    """A fresh encoder of every kind, and all of them side by side; see `joint_encoder`."""
    encoders = [build_encoder(channels=channels, **options) for channels in kinds.channels]
    return encoders, joint_encoder(encoders, kinds)


def joint_encoder(
    encoders: Sequence[tf.keras.Model], kinds: Kinds, before: Optional[Callable] = None
) -> tf.keras.Model:
    """What evaluation uses: the only encoder, or all side by side, each on its channels.

    They may be networks, encoder and head, as well. `before`: see `backbones.concatenate`.
    """
    if len(encoders) == 1 and before is None:
        return encoders[0]
    return backbones.concatenate(encoders, kinds.channels, before=before)


def shares(
    present: Optional[tf.Tensor], pairs: Sequence[Tuple[int, int]], like: tf.Tensor
) -> tf.Tensor:
    """The share of each image in the mean of each term, over the images that have both views.

    Args:
        present: `[batch, M]` bool, which views this replica's images have; None: all.
        pairs: the two views of each term.
        like: `[batch, T]`, of the type wanted.

    Returns:
        `[batch, T]`; the mean over replicas of their sums is 1, or 0 where no image has both.
    """
    if present is None:
        return tf.ones_like(like) / like.shape[0]
    one, other = (tf.gather(present, views, axis=1) for views in zip(*pairs))
    both = tf.cast(one & other, like.dtype)
    total = tf.reduce_sum(ops.cross_replica_concat(both), axis=0)
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return replicas * both / tf.maximum(total, 1.0)


def explained(error: tf.Tensor, target: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """The share of a view's variance that a prediction explains: 1 - E[error^2] / Var(target).

    Args:
        error: `[batch, height, width, channels]`, prediction minus target.
        target: of the same shape; its variance is the mean of its channels' variances.
        share: `[batch]`, the weight of each image; see `shares`.

    Returns:
        A scalar, 1 at best, 0 for the mean of every channel.
    """
    one = tf.ones_like(target)
    parts = [
        tf.reduce_mean(values, axis=[1, 2])
        for values in (one, target, tf.square(target), tf.square(error))
    ]
    # Of an image its moments go to the other replicas, because a variance is no mean of variances.
    moments = tf.stop_gradient(share[:, tf.newaxis, tf.newaxis] * tf.stack(parts, axis=1))
    sums = tf.reduce_sum(ops.cross_replica_concat(moments), axis=0)
    mean, square, left = tf.unstack(sums[1:] / tf.maximum(sums[0], 1e-12))
    return 1 - tf.reduce_sum(left) / (tf.reduce_sum(square - tf.square(mean)) + 1e-12)


class ViewNetworks(tf.keras.layers.Layer):
    """An encoder and a head for every kind of view, and, where asked for, their slow copies.

    Args:
        kinds: which views share them.
        build_encoder: makes a fresh backbone; channels: of the images; synchronized: whether
            replicas share batch statistics.
        hidden_dim: width of a hidden layer in heads, linear and ReLU; 0: none.
        output_dim: width of an embedding.
        build_head: makes another head, number of features -> model; None for these.
        with_keys: whether there are slow copies, for the keys of MoCo.
        with_jigsaw: whether there are heads for the patches of a jigsaw.
        synchronized: see `build_encoder`.
        before: what happens to a whole image before it is divided into views, in evaluation; see
            `backbones.concatenate`.

    Attributes:
        networks: of each kind, encoder and head.
        keys: their slow copies, `Teacher` layers.
        jigsaw_heads: of each kind.
    """

    def __init__(
        self,
        kinds: Kinds,
        build_encoder: BuildEncoder,
        *,
        hidden_dim: int,
        output_dim: int,
        build_head: Optional[Callable[[int], tf.keras.Model]] = None,
        with_keys: bool = False,
        with_jigsaw: bool = False,
        synchronized: Optional[bool] = None,
        before: Optional[Callable] = None,
    ):
        """Builds all networks."""
        super().__init__(name="views")
        self._kinds = kinds

        def plain_head(features: int) -> tf.keras.Model:
            hidden = (hidden_dim,) if hidden_dim else ()
            options = {"hidden_bias": True, "hidden_norm": False}
            return layers.projector(features, hidden_dims=hidden, output_dim=output_dim, **options)

        def build(channels: int) -> tf.keras.Sequential:
            encoder = build_encoder(channels=channels, synchronized=synchronized)
            head = (build_head or plain_head)(encoder.feature_dim)
            network = tf.keras.Sequential([encoder, head])
            network.build(encoder.input_shape)
            return network

        self.networks = [build(channels) for channels in kinds.channels]
        self.keys = []
        if with_keys:
            self.keys = [
                layers.Teacher(lambda channels=channels: build(channels), network)
                for channels, network in zip(kinds.channels, self.networks)
            ]
        self.jigsaw_heads = []
        if with_jigsaw:
            self.jigsaw_heads = [
                layers.JigsawHead(
                    encoder.feature_dim,
                    hidden_dim=hidden_dim,
                    patch_dim=output_dim,
                    output_dim=output_dim,
                )
                for encoder in self.encoders
            ]
        joint = joint_encoder(self.encoders, kinds, before)
        # Behind a function Keras does not track the encoders a second time.
        self._joint, self._before = lambda: joint, lambda: before

    @property
    def encoders(self) -> List[tf.keras.Model]:
        """Of each kind, without its head."""
        return [network.layers[0] for network in self.networks]

    @property
    def joint(self) -> tf.keras.Model:
        """All encoders side by side, on an image with all channels."""
        return self._joint()

    @property
    def joint_embedding(self) -> tf.keras.Model:
        """The embeddings of all kinds side by side, on an image with all channels."""
        return joint_encoder(self.networks, self._kinds, self._before())

    def of_views(self, parts: Sequence) -> List:
        """What belongs to the kind of each view, from a list of what belongs to each kind."""
        return [parts[kind] for kind in self._kinds.of_view]

    def embed(self, views: Sequence[tf.Tensor]) -> tf.Tensor:
        """Unit rows `[batch, views, dim]`; batch statistics are those of a single view."""
        networks = self.of_views(self.networks)
        rows = [network(view, training=True) for network, view in zip(networks, views)]
        return tf.math.l2_normalize(tf.stack(rows, axis=1), axis=2)

    def embed_pairs(
        self, first: Sequence[tf.Tensor], second: Sequence[tf.Tensor], **options
    ) -> Tuple[tf.Tensor, tf.Tensor]:
        """Queries of one crop's views and keys of another's, each as `embed` gives them.

        Args:
            first, second: views of the crops.
            **options: those of `queries_and_keys`.
        """
        networks, keys = self.of_views(self.networks), self.of_views(self.keys)
        pairs = [
            queries_and_keys(network, key, crops, **options)
            for network, key, *crops in zip(networks, keys, first, second)
        ]
        queries, keys = (tf.stack(rows, axis=1) for rows in zip(*pairs))
        return queries, keys

    def embed_jigsaws(self, patches: tf.Tensor, permutations: tf.Tensor) -> tf.Tensor:
        """Unit rows `[batch, views, dim]` of shuffled patches with all channels.

        Args:
            patches: `[batch, 9, size, size, channels]`.
            permutations: `[batch, 9]`, the order of the patches in all views.
        """
        rows = [
            head(layers.patch_features(encoder, part), permutations)
            for head, encoder, part in zip(
                self.jigsaw_heads, self.encoders, tf.split(patches, self._kinds.channels, axis=-1)
            )
        ]
        return tf.math.l2_normalize(tf.stack(self.of_views(rows), axis=1), axis=2)


def check_views(method: str, family: ViewFamily, num_crops: int, *, share: bool) -> None:
    """Raises SettingsError unless views are channels of crops, or whole images of one encoder."""
    if not share:
        check_channel_views(method, family, num_crops)
        return
    if num_crops > 1:
        raise SettingsError(
            "share_encoders: expected a bank or the batch as memory. Received: a queue, whose keys "
            "come from a second crop. Remedy: --method=moco compares whole images so.",
            "share_encoders",
        )
    if len(family.groups) == 1:
        check_whole_views(method, family)
    else:
        # One encoder of a channel could not be given whole images in evaluation.
        raise SettingsError(
            "share_encoders: expected whole images as views, such as --views=patches. Received: "
            f"groups of channels of --views={family.name}.",
            "share_encoders",
        )


def check_channel_views(method: str, family: ViewFamily, num_crops: int) -> None:
    """Raises SettingsError unless the views are groups of channels of so many crops."""
    if len(family.groups) == 1:
        one = ", or --cmc_share_encoders for two and more of them" if method == "cmc" else ""
        raise SettingsError(
            f"method {method}: expected views that are groups of channels. Received: whole images "
            f"of --views={family.name}. Remedy: --views=lab, or --color_split=lab{one}."
        )
    if family.num_crops != num_crops:
        raise SettingsError(
            f"method {method}: expected {num_crops} of an image's crops with these settings. "
            f"Received: {family.num_crops}. Remedy: --num_views={num_crops}, no --local_crops."
        )
    check_equal_sizes(method, family.sizes)


def check_whole_views(method: str, family: ViewFamily) -> None:
    """Raises SettingsError unless the views are several whole images that one encoder takes."""
    if family.num_views < 2 or len(set(family.channels)) > 1:
        raise SettingsError(
            f"method {method}: expected two or more views that one encoder takes. Received: "
            f"{', '.join(map(str, family.channels))} channels. Remedy: --views=patches, or no "
            "--cmc_share_encoders."
        )
    check_equal_sizes(method, family.sizes)
