"""From records to views: stateless augmentation layers and the families that chain them."""

from tfssl.views.blur import GaussianBlur
from tfssl.views.builder import build, build_from
from tfssl.views.channel_map import ChannelMap, color_map
from tfssl.views.color_conversion import ColorConversion
from tfssl.views.colour import ColorJitter, Grayscale, Solarize
from tfssl.views.colour_spaces import COLOR_SPACES, ColorSpace, convert_color
from tfssl.views.crop import CentreCrop, RandomResizedCrop
from tfssl.views.family import ViewFamily
from tfssl.views.flip import HorizontalFlip
from tfssl.views.frequency import FrequencySplit
from tfssl.views.jigsaw import Jigsaw
from tfssl.views.layer import VIEW_LAYERS, ViewLayer
from tfssl.views.levels import Levels
from tfssl.views.normalize import Normalize
from tfssl.views.patches import PatchPair, RandomCrop
from tfssl.views.rand_augment import RandAugment
from tfssl.views.recipes import FAMILIES, FamilyRecipe, ViewRecipe
from tfssl.views.rotate import Rotation
from tfssl.views.settings import ViewsConfig

__all__ = [
    "COLOR_SPACES",
    "FAMILIES",
    "VIEW_LAYERS",
    "CentreCrop",
    "ChannelMap",
    "ColorConversion",
    "ColorJitter",
    "ColorSpace",
    "FamilyRecipe",
    "FrequencySplit",
    "GaussianBlur",
    "Grayscale",
    "HorizontalFlip",
    "Jigsaw",
    "Levels",
    "Normalize",
    "PatchPair",
    "RandAugment",
    "RandomCrop",
    "RandomResizedCrop",
    "Rotation",
    "Solarize",
    "ViewFamily",
    "ViewLayer",
    "ViewRecipe",
    "ViewsConfig",
    "build",
    "build_from",
    "color_map",
    "convert_color",
]
