"""The recipes of all view families, as data. A new family is one more entry of `FAMILIES`."""

import dataclasses
from typing import Any, Mapping, Optional

from tfssl.views.blur import GaussianBlur
from tfssl.views.colour import ColorJitter, Grayscale, Solarize
from tfssl.views.crop import CentreCrop, Crop, RandomResizedCrop
from tfssl.views.flip import HorizontalFlip
from tfssl.views.layer import ViewLayer
from tfssl.views.levels import Levels
from tfssl.views.normalize import CIFAR_MEAN, CIFAR_STD, IMAGENET_MEAN, IMAGENET_STD
from tfssl.views.patches import PatchPair, RandomCrop
from tfssl.views.rand_augment import RandAugment
from tfssl.views.rand_augment_operations import INFOMIN_OPERATIONS
from tfssl.views.rotate import Rotation

Step = tuple[type[ViewLayer], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, eq=False)
class ViewRecipe:
    """How one view is made: a crop, then layers in order. Normalisation is added at the end.

    Attributes:
        area: (smallest, largest) fraction of the image's area of a random resized crop; None for
            a crop that keeps the size of pixels, or the centre crop of evaluation.
        interpolation: "bilinear" or "bicubic".
        steps: (layer class, its arguments), in order of application.
        resize_to: pixels of the short side before a centre crop; None for that of `CentreCrop`.
        pixels: whether it is a square of pixels as they are, at a random place.
        patch: which of a pair of such squares, 0 or 1.
        distance: pixels between the two, right and down.
    """

    area: Optional[tuple[float, float]]
    interpolation: str = "bilinear"
    steps: tuple[Step, ...] = ()
    resize_to: Optional[int] = None
    pixels: bool = False
    patch: Optional[int] = None
    distance: int = 64

    @property
    def place(self) -> tuple:
        """Views of equal places are cropped by one layer."""
        crop = self.area, self.interpolation, self.resize_to
        return *crop, self.pixels, self.patch, self.distance

    def crop(self, size: int, stream: int) -> Crop:
        """The layer that crops to `size` pixels."""
        arguments = {"interpolation": self.interpolation, "stream": stream}
        if self.patch is not None:
            return PatchPair(size, patch=self.patch, distance=self.distance, **arguments)
        if self.pixels:
            return RandomCrop(size, **arguments)
        if self.area is None:
            return CentreCrop(size, resize_to=self.resize_to, **arguments)
        return RandomResizedCrop(size, area=self.area, **arguments)


_FLIP: Step = (HorizontalFlip, {"probability": 0.5})
# PIRL, Misra and van der Maaten 2020, arXiv 1912.01991: patches keep the image's colours.
_JIGSAW = ViewRecipe((0.6, 1.0), "bilinear", (_FLIP,))


@dataclasses.dataclass(frozen=True, eq=False)
class FamilyRecipe:
    """The views of a family.

    Attributes:
        views: recipes of the views of full size.
        local: recipe of the small views, where the family has them.
        local_crops: how many small views there are by default.
        local_size: their default side in pixels.
        mean, std: channel statistics, of images in [0, 1].
        color: the space whose first channel and whose other two are views of their own; None for
            views that are RGB images.
        frequencies: whether low and high frequencies of a crop are views of their own.
        jigsaw: recipe of the crop that a jigsaw cuts patches from; None for the families of
            evaluation, which never have patches.
        clips: whether records are clips; their two views are cut neither in place nor in time.
    """

    views: tuple[ViewRecipe, ...]
    local: Optional[ViewRecipe] = None
    local_crops: int = 0
    local_size: int = 96
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    color: Optional[str] = None
    frequencies: bool = False
    jigsaw: Optional[ViewRecipe] = _JIGSAW
    clips: bool = False


def _jitter(
    brightness: float, contrast: float, saturation: float, hue: float, probability: float = 0.8
) -> Step:
    strengths = {
        "brightness": brightness,
        "contrast": contrast,
        "saturation": saturation,
        "hue": hue,
    }
    return ColorJitter, {"probability": probability, **strengths}


def _blur(probability: float) -> Step:
    return GaussianBlur, {"probability": probability, "sigma": (0.1, 2.0)}


_GREY: Step = (Grayscale, {"probability": 0.2})
_SOLARIZE: Step = (Solarize, {"probability": 0.2, "threshold": 128})

# BYOL's two views, Grill et al. 2020, arXiv 2006.07733, Table 6: always blurred, or rarely blurred
# and sometimes solarised. MIRA's code uses the same with its own crops.
_BYOL = (
    (_jitter(0.4, 0.4, 0.2, 0.1), _GREY, _blur(1.0), _FLIP),
    (_jitter(0.4, 0.4, 0.2, 0.1), _GREY, _blur(0.1), _SOLARIZE, _FLIP),
)
_BYOL_LOCAL = (_jitter(0.4, 0.4, 0.2, 0.1), _GREY, _blur(0.5), _FLIP)
# SimCLR, Chen et al. 2020, arXiv 2002.05709, Appendix A, strength 1.
_SIMCLR = ViewRecipe(
    (0.08, 1.0), "bilinear", (_FLIP, _jitter(0.8, 0.8, 0.8, 0.2), _GREY, _blur(0.5))
)
# MoCo v2, Chen et al. 2020, arXiv 2003.04297, Section 3.
_MOCO = ViewRecipe((0.2, 1.0), "bilinear", (_jitter(0.4, 0.4, 0.4, 0.1), _GREY, _blur(0.5), _FLIP))
# NPID, Wu et al. 2018, arXiv 1805.01978, and NPIDv2 of InterCLR, Xie et al., arXiv 2008.11702: one
# view, whose colours always change.
_NPID = (_GREY, _jitter(0.4, 0.4, 0.4, 0.4, probability=1.0), _FLIP)
_NPID_V2 = (_GREY, _jitter(0.4, 0.4, 1.0, 0.5, probability=1.0), _blur(0.5), _FLIP)
# The paper names saturation and hue alone: the reading without the other two.
_NPID_V2_HUE = (_GREY, _jitter(0.0, 0.0, 1.0, 0.5, probability=1.0), _blur(0.5), _FLIP)
# DeepCluster and ODC as OpenMMLab's mmselfsup trains them: one view, turned a little.
_DEEPCLUSTER = (
    _FLIP,
    (Rotation, {"degrees": 2.0}),
    _jitter(0.4, 0.4, 1.0, 0.5, probability=1.0),
    _GREY,
)
# CMC, Tian, Krishnan, Isola 2020, arXiv 1906.05849, section 4.1: no more than crop and flip. 0.2 is
# for the AlexNets and ImageNet-100; ResNets on ImageNet crop down to 0.08.
_CMC = ViewRecipe((0.2, 1.0), "bilinear", (_FLIP,))
# HobbitLong/PyContrast's recipe for it: colours always change first.
_CMC_JITTER = ViewRecipe(
    (0.08, 1.0), "bilinear", (_FLIP, _jitter(0.4, 0.4, 0.4, 0.1, probability=1.0))
)
# InfoMin, Tian et al. 2020, arXiv 2005.10243, Figure 4, in the mechanics of HobbitLong/PyContrast:
# each layer takes and gives pixels of 8 bits.
_LEVELS: Step = (Levels, {})
_INFOMIN_JITTER: Step = (ColorJitter, {**_jitter(0.8, 0.8, 0.8, 0.2)[1], "levels": True})
_INFOMIN_BLUR: Step = (GaussianBlur, {**_blur(0.5)[1], "window": 23, "levels": True})
_INFOMIN_RANDOM: Step = (RandAugment, {"operations": INFOMIN_OPERATIONS})
_INFOMIN_GREY: Step = (Grayscale, {"probability": 0.2, "levels": True})


def jitter_times(step: Step, factor: float) -> Step:
    """Colour jitter with all strengths multiplied, the hue shift at most half a turn."""
    layer, arguments = step
    names = ("brightness", "contrast", "saturation", "hue")
    strengths = {name: factor * arguments[name] for name in names}
    strengths["hue"] = min(strengths["hue"], 0.5)
    return layer, {**arguments, **strengths}


def _infomin(*members: Step) -> FamilyRecipe:
    """A family of the ladder: crop, flip, its members, greyscale; twice."""
    view = ViewRecipe((0.2, 1.0), "bilinear", (_LEVELS, _FLIP, *members, _INFOMIN_GREY))
    patches = ViewRecipe((0.6, 1.0), "bilinear", (_LEVELS, _FLIP))
    return FamilyRecipe(views=(view, view), jigsaw=patches)


_DIGITS = (_jitter(0.4, 0.4, 0.6, 0.2), (Grayscale, {"probability": 0.8}))
_CIFAR = (_jitter(0.4, 0.4, 0.2, 0.1), _GREY)

FAMILIES: dict[str, FamilyRecipe] = {
    # MIRA, Lee et al. 2022, arXiv 2211.02284, with the crops of the authors' code.
    "mira": FamilyRecipe(
        views=tuple(ViewRecipe((0.14, 1.0), "bicubic", steps) for steps in _BYOL),
        local=ViewRecipe((0.05, 0.14), "bicubic", _BYOL_LOCAL),
    ),
    "simclr": FamilyRecipe(views=(_SIMCLR, _SIMCLR)),
    "mocov2": FamilyRecipe(views=(_MOCO, _MOCO)),
    "npid": FamilyRecipe(views=(ViewRecipe((0.2, 1.0), "bilinear", _NPID),)),
    # MoCo v1: NPID's recipe twice.
    "mocov1": FamilyRecipe(views=(ViewRecipe((0.2, 1.0), "bilinear", _NPID),) * 2),
    "npidv2": FamilyRecipe(views=(ViewRecipe((0.2, 1.0), "bilinear", _NPID_V2),)),
    "npidv2_hue": FamilyRecipe(views=(ViewRecipe((0.2, 1.0), "bilinear", _NPID_V2_HUE),)),
    "deepcluster": FamilyRecipe(views=(ViewRecipe((0.08, 1.0), "bilinear", _DEEPCLUSTER),)),
    "byol": FamilyRecipe(views=tuple(ViewRecipe((0.08, 1.0), "bicubic", steps) for steps in _BYOL)),
    # MIRA's code for CIFAR-10 and CIFAR-100: no blur, solarisation on the second view only.
    "cifar": FamilyRecipe(
        views=(
            ViewRecipe((0.2, 1.0), "bilinear", (*_CIFAR, _FLIP)),
            ViewRecipe((0.2, 1.0), "bilinear", (*_CIFAR, _SOLARIZE, _FLIP)),
        ),
        mean=CIFAR_MEAN,
        std=CIFAR_STD,
    ),
    # The embedded digits: written characters are not flipped, a crop keeps most of one, and
    # mostly grey views leave the shape as what two views share.
    "digits": FamilyRecipe(
        views=(ViewRecipe((0.5, 1.0), "bilinear", _DIGITS),) * 2,
        mean=CIFAR_MEAN,
        std=CIFAR_STD,
        jigsaw=ViewRecipe((0.6, 1.0), "bilinear"),
    ),
    "infomin": _infomin(_INFOMIN_JITTER, _INFOMIN_BLUR, _INFOMIN_RANDOM),
    # The ladder of its Figure 4: the weaker ones, and the strongest under the name it has there.
    "cj_0.125": _infomin(jitter_times(_INFOMIN_JITTER, 0.125)),
    "cj_0.25": _infomin(jitter_times(_INFOMIN_JITTER, 0.25)),
    "cj_0.5": _infomin(jitter_times(_INFOMIN_JITTER, 0.5)),
    "cj": _infomin(_INFOMIN_JITTER),
    "ra": _infomin(_INFOMIN_RANDOM),
    "cj_blur": _infomin(_INFOMIN_JITTER, _INFOMIN_BLUR),
    "ra_cj": _infomin(_INFOMIN_JITTER, _INFOMIN_RANDOM),
    "ra_cj_blur": _infomin(_INFOMIN_JITTER, _INFOMIN_BLUR, _INFOMIN_RANDOM),
    "lab": FamilyRecipe(views=(_CMC,), color="lab"),
    "ydbdr": FamilyRecipe(views=(_CMC,), color="ydbdr"),
    # Its crops of STL-10: 64 of 96 pixels, as they are.
    "lab_pixels": FamilyRecipe(
        views=(ViewRecipe(None, "bilinear", (_FLIP,), pixels=True),), color="lab"
    ),
    "ydbdr_jitter": FamilyRecipe(views=(_CMC_JITTER,), color="ydbdr"),
    # InfoMin, section B.3: what a blur leaves of a crop, and what it takes away.
    "frequency": FamilyRecipe(views=(_CMC,), frequencies=True),
    # CMC's Figure 5, right: two patches of an image, at a distance.
    "patches": FamilyRecipe(
        views=tuple(ViewRecipe(None, "bilinear", patch=i) for i in (0, 1)), jigsaw=None
    ),
    # InfoMin, Tian et al. 2020, arXiv 2005.10243, section B.4: frames 1 to 10, and a single one.
    "clip_frame": FamilyRecipe(views=(ViewRecipe(None),) * 2, jigsaw=None, clips=True),
    # A crop alone, for characters and other things with a left and a right.
    "crop": FamilyRecipe(views=(ViewRecipe((0.2, 1.0), "bilinear"),)),
    # Training of classifiers on frozen features, as in torchvision's reference.
    "linear": FamilyRecipe(views=(ViewRecipe((0.08, 1.0), "bilinear", (_FLIP,)),), jigsaw=None),
    # The same with InfoMin's RandAugment behind it.
    "linear_rand_augment": FamilyRecipe(
        views=(ViewRecipe((0.08, 1.0), "bilinear", (_LEVELS, _FLIP, _INFOMIN_RANDOM)),), jigsaw=None
    ),
    # Evaluation; bicubic as in the kNN protocol of DINO, Caron et al. 2021, arXiv 2104.14294.
    "eval": FamilyRecipe(views=(ViewRecipe(None, "bicubic"),), jigsaw=None),
}
