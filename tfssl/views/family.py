"""A view family: from images and keys to a tuple of views."""

from typing import Any, ClassVar, Optional, Sequence, Union

import tensorflow as tf

from tfssl.ops.keyed_random import fold_key
from tfssl.views.channel_map import ChannelMap
from tfssl.views.crop import Crop
from tfssl.views.decode import decode_part, open_image
from tfssl.views.jigsaw import Jigsaw
from tfssl.views.layer import ViewLayer
from tfssl.views.normalize import Normalize
from tfssl.views.recipes import ViewRecipe
from tfssl.views.resample import Window, resize_windows

Views = tuple[tf.Tensor, ...]

# Up to this side a dense product with every pixel of the image is cheaper than cutting the crop
# out of it first.
_DENSE_SIDE = 96


class ViewMaker:
    """The layers of one view recipe at one size, and the compiled function that chains them.

    With a jigsaw the last layer's image is cut into patches.
    """

    def __init__(
        self,
        recipe: ViewRecipe,
        crop: Crop,
        finish: Sequence[ViewLayer],
        *,
        channels: int,
        xla: bool,
        jigsaw: Optional[Jigsaw] = None,
    ):
        """Builds the layers; their position in the recipe is their random stream.

        `finish` are layers without draws that end every view, colours and normalisation, and leave
        so many `channels`.
        """
        self.crop, self._channels = crop, channels
        self.jigsaw = jigsaw
        self.layers: tuple[ViewLayer, ...] = tuple(
            layer(stream=i, **arguments) for i, (layer, arguments) in enumerate(recipe.steps, 1)
        ) + tuple(finish)
        self.finish = tf.function(self._finish, autograph=False, jit_compile=xla)
        self.make = tf.function(self._make, autograph=False, jit_compile=xla)

    @property
    def crop_shape(self) -> tuple[int, ...]:
        """Shape of one crop."""
        return self.crop.size, self.crop.size, 3

    def _finish(self, crops: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        """Everything after the crop, for a batch."""
        return self._chain(crops, keys, self.layers)

    def _make(self, images: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        """The whole recipe, for a batch of small images of one size."""
        return self._chain(images, keys, (self.crop, *self.layers))

    def _chain(self, images: tf.Tensor, keys: tf.Tensor, layers: Sequence[ViewLayer]) -> tf.Tensor:
        """Layers on images `[batch, height, width, 3]`, one image after the other.

        One image passes all layers while it is in the cache, and layers that do not fire cost
        nothing; compiled, this is several times faster than layer after layer over the batch.
        """

        def one(element):
            image, key = element
            image = tf.transpose(_unit_range(image), [2, 0, 1])[tf.newaxis]
            for layer in layers:
                image = layer.transform(image, key[tf.newaxis])
            image = tf.transpose(image[0], [1, 2, 0])
            if self.jigsaw is None:
                return image
            return self.jigsaw.cut(image, self.jigsaw.offsets(key, stream=len(self.layers)))

        shape = (self.crop.size, self.crop.size, self._channels)
        if self.jigsaw is not None:
            shape = self.jigsaw.shape(self._channels)
        return tf.map_fn(one, (images, keys), fn_output_signature=tf.TensorSpec(shape, tf.float32))


class ViewFamily:
    """Makes the views of images; the same images and keys always give the same views.

    With groups of channels a crop gives several views, one for each group, crop after crop.

    A family with a jigsaw gives one tensor more, behind the views: the patches
    `[batch, 9, patch_size, patch_size, channels]`, float32 and normalised as the views are, in
    raster order.

    Attributes:
        name: the family's name.
        sizes: side of each view in pixels.
        channels: channels of each view.
        num_views: how many views an image gives, without the patches.
        num_crops: how many crops they come from.
        patch_size: side of the patches in pixels; None without a jigsaw. They have all channels.
        channel_map: what becomes of the colours of views and patches.
        color: its name; a colour space in most families.
        mean, std: its channel statistics, which the views are normalised with.
        clips: its records are images and no clips.
    """

    clips: ClassVar[bool] = False

    def __init__(
        self,
        name: str,
        views: Sequence[tuple[ViewRecipe, int]],
        *,
        channel_map: ChannelMap,
        groups: Sequence[int] = (3,),
        xla: bool = True,
        jigsaw: Optional[tuple[ViewRecipe, Jigsaw]] = None,
    ):
        """Builds the layers of all views.

        Args:
            name: the family's name.
            views: (recipe, size in pixels) of each view. Views that share both share layers.
            channel_map: what becomes of a crop's colours.
            groups: numbers of channels, all of the map's, in which a crop is split into views.
            xla: whether colour and blur are compiled, which is faster after a compilation of some
                seconds for each recipe and batch size.
            jigsaw: (recipe of the crop, sizes) of patches; None for views alone.
        """
        self.name = name
        self.groups = tuple(groups)
        self.sizes = tuple(size for _, size in views for _ in groups)
        self.channels = self.groups * len(views)
        self.num_crops, self.num_views = len(views), len(self.sizes)
        self.channel_map, self.color = channel_map, channel_map.name
        self.mean, self.std = channel_map.mean, channel_map.std
        ending = [*channel_map.layers, Normalize(self.mean, self.std)]
        common = {"channels": channel_map.channels, "xla": xla}
        crops: dict[Any, Crop] = {}
        makers: dict[Any, ViewMaker] = {}
        for recipe, size in views:
            # Views that are cropped alike share the layer, so that all are planned at once.
            place = (recipe.place, size)
            if place not in crops:
                crops[place] = recipe.crop(size, stream=0)
            if (recipe, size) not in makers:
                makers[recipe, size] = ViewMaker(recipe, crops[place], ending, **common)
        self._views = tuple(makers[view] for view in views)
        self.patch_size = None
        if jigsaw is not None:
            recipe, sizes = jigsaw
            crop = crops["jigsaw"] = recipe.crop(sizes.crop, stream=0)
            self._views += (ViewMaker(recipe, crop, ending, jigsaw=sizes, **common),)
            self.patch_size = sizes.patch
        # Each crop layer, with the numbers of its views; the patches count as one.
        self._crops = [
            (crop, [i for i, view in enumerate(self._views) if view.crop is crop])
            for crop in crops.values()
        ]

    def __call__(self, images: tf.Tensor, keys: tf.Tensor) -> Views:
        """Makes the views of a batch of images of one size.

        Args:
            images: `[batch, height, width, 3]`, uint8 or float in [0, 1]; one channel is repeated
                and a fourth is dropped.
            keys: int64 `[batch]`, see `tfssl.ops.fold_key`.

        Returns:
            For each view `[batch, size, size, channels]` float32, normalised; with a jigsaw, the
            patches behind them.
        """
        images = _three_channels(images)
        joint = any(crop.joint for crop, _ in self._crops)
        if joint or None in images.shape[1:3] or max(images.shape[1:3]) > _DENSE_SIDE:
            crops = tf.map_fn(
                lambda element: self.crop(*element),
                (images, keys),
                fn_output_signature=tuple(tf.TensorSpec(v.crop_shape) for v in self._views),
            )
            return self.finish(crops, keys)
        view_keys = self._keys(keys)
        return self._split([v.make(images, k) for v, k in zip(self._views, view_keys)])

    def crop(self, image: Union[tf.Tensor, bytes], key: tf.Tensor) -> Views:
        """Decodes one image once and cuts the crops of all views out of it.

        Of a JPEG only the part that some crop needs is decoded.

        Args:
            image: scalar string with the bytes of a JPEG, PNG, GIF or BMP file, or pixels
                `[height, width, channels]`, uint8 or float in [0, 1], of any size.
            key: int64 scalar, see `tfssl.ops.fold_key`.

        Returns:
            Crops `[size, size, 3]` float32 in [0, 1], for `finish` after batching; with a jigsaw,
            its crop behind them.
        """
        image = tf.convert_to_tensor(image)
        keys = fold_key(key, tf.range(len(self._views)))
        if image.dtype != tf.string:
            pixels, origin = _three_channels(image), tf.zeros([2], tf.int32)
            windows = self._windows(keys, tf.shape(pixels)[:2])
        else:
            shape, pixels = open_image(image)
            windows = self._windows(keys, shape)
            low = tf.reduce_min(tf.concat([w.start for w in windows], 0), 0)
            high = tf.reduce_max(tf.concat([w.start + w.length for w in windows], 0), 0)
            pixels, origin = decode_part(image, shape, pixels, low, high)
        # Rows of pixels to columns of channels: a plain matrix transposition, which is fast.
        shape = tf.shape(pixels)
        columns = tf.transpose(tf.reshape(pixels, [shape[0], shape[1] * 3]))
        columns = tf.reshape(columns, [shape[1], 3, shape[0]])
        crops = {}
        for (crop, numbers), window in zip(self._crops, windows):
            window = window._replace(start=window.start - origin)
            resized = resize_windows(
                columns, window, size=crop.size, interpolation=crop.interpolation
            )
            crops.update(zip(numbers, resized))
        return tuple(crops[i] for i in range(len(self._views)))

    def finish(self, crops: Sequence[tf.Tensor], keys: tf.Tensor) -> Views:
        """Makes the views of batched crops.

        Args:
            crops: what `crop` returns, `[batch, size, size, 3]` float32 in [0, 1] each.
            keys: int64 `[batch]`, the keys given to `crop`.

        Returns:
            As `__call__`.
        """
        view_keys = self._keys(keys)
        return self._split([v.finish(c, k) for v, c, k in zip(self._views, crops, view_keys)])

    def _split(self, made: Sequence[tf.Tensor]) -> Views:
        """The views in crops of all channels; patches stay whole."""
        if len(self.groups) == 1:
            return tuple(made)
        crops, patches = made[: self.num_crops], made[self.num_crops :]
        views = [view for crop in crops for view in tf.split(crop, self.groups, axis=-1)]
        return (*views, *patches)

    def _keys(self, keys: tf.Tensor) -> list[tf.Tensor]:
        """The keys of each view: record keys with the number of the view folded in."""
        return [fold_key(keys, view) for view in range(len(self._views))]

    def _windows(self, keys: tf.Tensor, shape: tf.Tensor) -> list[Window]:
        """The windows of each crop layer's views in an image; keys `[views]`."""
        return [
            crop.window(
                tf.gather(keys, [0] * len(numbers) if crop.joint else numbers), shape[0], shape[1]
            )
            for crop, numbers in self._crops
        ]


def _unit_range(image: tf.Tensor) -> tf.Tensor:
    """Pixels as float32 in [0, 1]."""
    scale = 1.0 / 255.0 if image.dtype == tf.uint8 else 1.0
    return tf.cast(image, tf.float32) * scale


def _three_channels(images: tf.Tensor) -> tf.Tensor:
    """Repeats a single channel; keeps the first three of more."""
    if images.shape[-1] == 1:
        return tf.repeat(images, 3, axis=-1)
    if images.shape[-1] not in (None, 3, 4):
        raise ValueError(
            f"expected images with 1, 3 or 4 channels. Received: images.shape={images.shape}."
        )
    return images[..., :3]
