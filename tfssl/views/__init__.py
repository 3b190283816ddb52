"""From records to views: stateless augmentation layers and the families that chain them."""

from tfssl.views.blur import GaussianBlur
from tfssl.views.colour import ColorJitter, Grayscale, Solarize
from tfssl.views.crop import CentreCrop, RandomResizedCrop
from tfssl.views.family import ViewFamily
from tfssl.views.flip import HorizontalFlip
from tfssl.views.jigsaw import Jigsaw
from tfssl.views.layer import VIEW_LAYERS, ViewLayer
from tfssl.views.normalize import Normalize
from tfssl.views.recipes import FAMILIES, FamilyRecipe, ViewRecipe
from tfssl.views.rotate import Rotation
from tfssl.views.settings import ViewsConfig, build, build_from

__all__ = [
    "FAMILIES",
    "VIEW_LAYERS",
    "CentreCrop",
    "ColorJitter",
    "FamilyRecipe",
    "GaussianBlur",
    "Grayscale",
    "HorizontalFlip",
    "Jigsaw",
    "Normalize",
    "RandomResizedCrop",
    "Rotation",
    "Solarize",
    "ViewFamily",
    "ViewLayer",
    "ViewRecipe",
    "ViewsConfig",
    "build",
    "build_from",
]
