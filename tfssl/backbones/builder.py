"""Backbones by name: their settings, the checks of the arguments, and the assembly."""

import dataclasses
from typing import Optional

import tensorflow as tf

from tfssl.backbones.alexnet import ALEXNETS, CHANNELS_UNIT, alexnet_maps, smallest_image
from tfssl.backbones.alexnet_crops import CROPS, SMALLEST_IMAGE, STRIDE, crops_fit, crops_maps
from tfssl.backbones.convnet import CHANNELS_UNIT as CONVNET_UNIT
from tfssl.backbones.convnet import CONVNET, convnet_maps
from tfssl.backbones.resnet import ARCHITECTURES, STAGES_STRIDE, resnet_maps
from tfssl.backbones.sobel import sobel_gradients
from tfssl.backbones.stems import STEMS
from tfssl.backbones.tiny import tiny_maps
from tfssl.layers.normalization import at_least_float32
from tfssl.settings import Settings, SettingsError, setting

_ALEXNETS = (*ALEXNETS, CROPS)
NAMES = (*ARCHITECTURES, *_ALEXNETS, CONVNET, "tiny")

# What networks without stems have no choice of, at the defaults of `build`.
_STEMLESS = (*_ALEXNETS, CONVNET)
_UNUSED_BY_STEMLESS = {
    "stem": "imagenet",
    "stem_channels": None,
    "stem_padding": None,
    "zero_init_residual": True,
}


def build(
    name: str,
    *,
    image_size: int,
    stem: str = "imagenet",
    width: float = 1.0,
    channels: int = 3,
    sobel: bool = False,
    stem_channels: Optional[int] = None,
    stem_padding: Optional[int] = None,
    zero_init_residual: bool = True,
    synchronized: Optional[bool] = None,
) -> tf.keras.Model:
    """Builds a backbone: images to globally average-pooled features.

    Build it inside the scope of the strategy it will train under. The model is made of built-in
    Keras layers only, so that a SavedModel of it needs nothing of this library.

    Args:
        name: one of `NAMES`.
        image_size: side in pixels of the smallest images it is meant for. It is checked against
            the network's total stride and fixes nothing: the model takes images of any size. An
            AlexNet is the exception: the kernel of its fc6 is the whole last map of images of this
            size, so its weights grow with it and smaller images cannot be had; of larger ones
            fc7 is averaged over the positions. "alexnet_crops" has no such kernel and takes 32, 40,
            48 and so on; of images of another size it does not see the last rows and columns.
        stem: "imagenet" (7x7 of stride 2 and max pool), "cifar" (3x3, no max pool) or
            "cifar_stride2" (the same with stride 2).
        width: factor on the number of channels of every layer; 64 * width must be whole, for an
            AlexNet 32 * width, for "convnet" 8 * width. CMC's half networks are those of width 0.5.
        channels: number of channels of the images.
        sobel: the stem sees the two gradients of the grey image, and no colours.
        stem_channels: channels of the stem. None means 64 * width; CMC keeps 64 at every width
            (Tian et al. 2019, arXiv 1906.05849).
        stem_padding: padding of the stem's convolution in pixels. None means the stem's own, 3 for
            "imagenet", 2 for "cifar", 1 for "cifar_stride2". The small stems take 1 or 2.
        zero_init_residual: start the last gamma of every residual branch at 0, so that a block
            starts as the identity. "tiny" has no residual branch. AlexNets and "convnet" have
            neither residual branches nor a choice of stem: they refuse `stem`, `stem_channels`,
            `stem_padding` and this one at other values than the defaults.
        synchronized: batch statistics of the global batch. None means: under a strategy with more
            than one replica.

    Returns:
        A functional model, `[batch, height, width, channels]` to `[batch, feature_dim]` float32
        (float64 under a float64 policy), with the plain attributes `feature_dim` and
        `stage_outputs`: the unpooled symbolic maps by name, first to last, "stem", before
        its max pool, and "stage1" to "stage4" ("tiny": "stem" and "stage1"; "convnet": no
        "stem"; AlexNets: "conv1" to
        "conv5", after their max pools, "fc6" and "fc7"; "alexnet_crops": "fold", a place for every
        patch, and "global"), so that
        `tf.keras.Model(backbone.inputs, backbone.stage_outputs)` works. Maps have the policy's
        compute dtype.

    Raises:
        ValueError: an argument is out of its range, or the images are smaller than the stride.
    """
    _check_choice("backbone", name, NAMES)
    _check_choice("stem", stem, tuple(STEMS))
    _check_unused(
        name,
        stem=stem,
        stem_channels=stem_channels,
        stem_padding=stem_padding,
        zero_init_residual=zero_init_residual,
    )
    _check_channels(name, width=width, channels=channels, stem_channels=stem_channels)
    _check_padding(stem, stem_padding)
    _check_image_size(name, stem, image_size)
    images = tf.keras.Input((None, None, channels), name="images")
    options = {"width": width, "synchronized": synchronized}
    stem_options = {"stem": stem, "stem_channels": stem_channels, "stem_padding": stem_padding}
    seen = sobel_gradients(images, channels) if sobel else images
    if name in ALEXNETS:
        maps = alexnet_maps(seen, name, image_size=image_size, **options)
    elif name == CROPS:
        maps = crops_maps(seen, **options)
    elif name == CONVNET:
        maps = convnet_maps(seen, **options)
    elif name == "tiny":
        maps = tiny_maps(seen, **stem_options, **options)
    else:
        options["zero_init_residual"] = zero_init_residual
        maps = resnet_maps(seen, name, **stem_options, **options)
    # The mean over a map is taken in float32: a half-precision sum loses or overflows.
    pool = tf.keras.layers.GlobalAveragePooling2D(dtype=at_least_float32(), name="avgpool")
    features = pool(list(maps.values())[-1])
    model = tf.keras.Model(images, features, name=name)
    model.feature_dim = int(features.shape[-1])
    model.stage_outputs = maps
    return model


def _check_choice(label: str, value: str, choices: tuple) -> None:
    if value not in choices:
        raise ValueError(f"{label}: expected one of {', '.join(choices)}. Received: {value!r}.")


def _check_unused(name: str, **options: object) -> None:
    """Raises ValueError where a network without a stem is given what it has no choice of."""
    if name not in _STEMLESS:
        return
    for label, value in options.items():
        default = _UNUSED_BY_STEMLESS[label]
        if value != default:
            raise ValueError(
                f"{label}: expected the default, {default!r}, because {name} has no such choice. "
                f"Received: {label}={value!r}."
            )


def _check_channels(
    name: str, *, width: float, channels: int = 3, stem_channels: Optional[int] = None
) -> None:
    """Raises ValueError where a layer would not get a whole, positive number of channels."""
    unit = {CONVNET: CONVNET_UNIT, **dict.fromkeys(_ALEXNETS, CHANNELS_UNIT)}.get(name, 64)
    base = unit * width
    if not base >= 1 or base % 1 != 0:
        raise ValueError(
            f"width: expected a positive number for which {unit} * width is whole. Received: "
            f"{width!r}."
        )
    if name in ARCHITECTURES and ARCHITECTURES[name].inner_channels(round(base)) < 1:
        raise ValueError(f"width: expected at least 1/8 for {name}. Received: {width!r}.")
    for label, value in (("channels", channels), ("stem_channels", stem_channels)):
        if value is not None and (isinstance(value, bool) or value != int(value) or value < 1):
            raise ValueError(f"{label}: expected a whole number >= 1. Received: {value!r}.")


def _check_padding(stem: str, stem_padding: Optional[int]) -> None:
    allowed = STEMS[stem].paddings
    if stem_padding is not None and stem_padding not in allowed:
        wanted = " or ".join(map(str, allowed))
        raise ValueError(
            f"stem_padding: expected {wanted} for the stem {stem!r}. Received: {stem_padding!r}."
        )


def _check_image_size(name: str, stem: str, image_size: int) -> None:
    """Raises ValueError for images that end as less than one pixel of the last map.

    Patches of a size besides have to fill the images that they are cut from.
    """
    if name == CROPS and not crops_fit(image_size):
        raise ValueError(
            f"image_size: expected {SMALLEST_IMAGE} pixels or a multiple of {STRIDE} more for "
            f"{name}, small views and patches included. Received: image_size={image_size!r}."
        )
    network, remedy = f"{name} with the stem {stem!r}", ""
    if name in ALEXNETS:
        network, smallest = name, smallest_image(name)
        if name == "alexnet":
            remedy = " Remedy: 'alexnet_small', for small images."
    else:
        smallest = (
            1 if name in (CROPS, CONVNET, "tiny") else STEMS[stem].total_stride * STAGES_STRIDE
        )
        if stem == "imagenet":
            remedy = " Remedy: the stem 'cifar', for small images."
    if image_size < smallest:
        raise ValueError(
            f"image_size: expected at least {smallest} pixels for {network}, small views and "
            f"patches included. Received: image_size={image_size!r}.{remedy}"
        )


@dataclasses.dataclass(frozen=True)
class BackboneConfig(Settings):
    """What may be chosen about the backbone; `build` makes it."""

    backbone: str = setting("resnet50", "Network that turns an image into features.", choices=NAMES)
    stem: str = setting(
        "imagenet",
        "First layers. imagenet: 7x7 of stride 2 and max pool. cifar, cifar_stride2: 3x3 of stride "
        "1 or 2 without max pool. AlexNets and convnet have first layers of their own, and refuse "
        "another value than the default here and in the other settings of stems.",
        choices=tuple(STEMS),
    )
    width: float = setting(1.0, "Factor on the number of channels of every layer.", above=0.0)
    stem_channels: Optional[int] = setting(
        None, "Channels of the stem; by default 64 times the width.", low=1
    )
    stem_padding: Optional[int] = setting(
        None,
        "Padding of the first convolution in pixels; by default 2 for the stem cifar and 1 for "
        "cifar_stride2, which both take 1 or 2, and 3 for imagenet.",
        low=1,
    )
    zero_init_residual: bool = setting(
        True, "Start every residual block as the identity (last gamma at 0)."
    )

    def check(self) -> None:
        """Raises SettingsError on what the backbone or the other choices do not allow."""
        try:
            _check_unused(
                self.backbone, **{label: getattr(self, label) for label in _UNUSED_BY_STEMLESS}
            )
            _check_channels(self.backbone, width=self.width)
            _check_padding(self.stem, self.stem_padding)
        except ValueError as error:
            raise SettingsError(str(error)) from None

    def build(
        self,
        *,
        image_size: int,
        channels: int = 3,
        sobel: bool = False,
        synchronized: Optional[bool] = None,
    ) -> tf.keras.Model:
        """Builds the backbone of these settings; see `tfssl.backbones.build`."""
        return build(
            self.backbone,
            image_size=image_size,
            stem=self.stem,
            width=self.width,
            channels=channels,
            sobel=sobel,
            stem_channels=self.stem_channels,
            stem_padding=self.stem_padding,
            zero_init_residual=self.zero_init_residual,
            synchronized=synchronized,
        )
