"""The settings of views."""

import dataclasses
from typing import Optional

from tfssl.settings import Settings, SettingsError, setting
from tfssl.views.channel_map import ChannelMap, color_map, frequency_map
from tfssl.views.colour import ColorJitter
from tfssl.views.colour_spaces import COLOR_SPACES
from tfssl.views.rand_augment import RandAugment
from tfssl.views.recipes import FAMILIES, ViewRecipe
from tfssl.views.resample import INTERPOLATIONS


@dataclasses.dataclass(frozen=True)
class ViewsConfig(Settings):
    """What may be chosen about views; `tfssl.views.build_from` makes the family."""

    views: str = setting(
        "mira", "View family: how views are cut from an image and changed.", choices=tuple(FAMILIES)
    )
    num_views: Optional[int] = setting(
        None,
        "Full-size crops: only the first of the family's, or, where they are all alike, more of "
        "them. Unset: the family's.",
        low=1,
    )
    image_size: int = setting(224, "Side of the full-size views, in pixels.", low=1)
    eval_resize: Optional[int] = setting(
        None,
        "Shorter side of images in evaluation and export before the centre is cut out, in pixels. "
        "Unset: 256/224 of the image size, and images of that size, up to 64, as they are.",
        low=1,
    )
    eval_interpolation: str = setting(
        "bicubic",
        "How they are resized then, antialiased.",
        choices=INTERPOLATIONS,
    )
    local_crops: Optional[int] = setting(
        None, "Small views beside the full-size ones. Unset: as many as the family has.", low=0
    )
    local_size: Optional[int] = setting(
        None, "Side of the small views, in pixels. Unset: the family's.", low=1
    )
    crop_min_area: Optional[float] = setting(
        None,
        "Smallest part of the image's area in a full-size view. Unset: the family's.",
        above=0.0,
        high=1.0,
    )
    crop_max_area: Optional[float] = setting(
        None,
        "Largest part of the image's area in a full-size view. Unset: the family's.",
        above=0.0,
        high=1.0,
    )
    interpolation: Optional[str] = setting(
        None,
        "Interpolation of the crops in training, antialiased. Unset: the family's.",
        choices=INTERPOLATIONS,
    )
    views_xla: bool = setting(
        True, "Compile the views with XLA: several times faster after some seconds of compilation."
    )
    jigsaw: bool = setting(
        False,
        "Also nine patches of each image, from a 3x3 grid, for methods that ask for them. They are "
        "the smallest images an encoder sees: the fc6 of an AlexNet is as large as their map.",
    )
    jigsaw_patch: Optional[int] = setting(
        None,
        "Side of the patches, in pixels; the grid follows. Unset: 64 / 224 of the image size.",
        low=1,
    )

    color_split: Optional[str] = setting(
        None,
        "Colour space of the views, whose channels are views of their own. Unset: the family's, "
        "which for most is whole RGB images.",
        choices=tuple(COLOR_SPACES),
    )
    color_groups: Optional[str] = setting(
        None,
        "How the three channels are divided into views: '1,2' (the default), '2,1', '1,1,1', or "
        "'3' for whole images in that colour space.",
    )
    rand_augment: bool = setting(
        False, "RandAugment without colours (CMC's settings) at the end of every full-size view."
    )
    jitter_strength: Optional[float] = setting(
        None,
        "What multiplies all strengths of the family's colour jitter: InfoMin's CJ(x). The hue "
        "shift stays at most half a turn. Unset: 1.",
        low=0.0,
    )
    jitter_hue: Optional[float] = setting(
        None,
        "Hue strength of the family's colour jitter before that, in turns; 0.4 is what InfoMin's "
        "Figure 4 prints. Unset: the family's.",
        low=0.0,
        high=0.5,
    )
    frequency_sigma: float = setting(
        1.0,
        "Standard deviation of the blur that divides low from high frequencies, in pixels of the "
        "crop. Only with frequency.",
        low=0.0,
    )
    patch_distance: int = setting(
        64,
        "From one patch of an image to the other, right and down, in pixels; less in images that "
        "are too small for it. Only with patches.",
        low=0,
    )

    def check(self) -> None:
        """Local crops, crop areas, colours and patches must fit the family."""
        recipe = FAMILIES[self.views]
        more = self.num_views is not None and self.num_views > len(recipe.views)
        if more and len(set(recipe.views)) > 1:
            raise SettingsError(
                f"num_views: expected at most the {len(recipe.views)} full-size views of "
                f"{self.views}. Received: {self.num_views}.",
                "num_views",
            )
        if self.eval_resize is not None and self.eval_resize < self.image_size:
            raise SettingsError(
                f"eval_resize: expected at least image_size={self.image_size}. Received: "
                f"{self.eval_resize}.",
                "eval_resize",
            )
        if recipe.local is None:
            for name in ("local_crops", "local_size"):
                if getattr(self, name):
                    raise SettingsError(
                        f"{name}: expected a family with small views, such as mira. "
                        f"Received: views={self.views}.",
                        name,
                    )
        elif self.local_size and not (self.local_crops or recipe.local_crops):
            raise SettingsError(
                "local_size: expected local_crops >= 1. Received: no small views.", "local_size"
            )
        if self.jigsaw and recipe.jigsaw is None:
            raise SettingsError(
                f"jigsaw: expected a family for training. Received: views={self.views}.", "jigsaw"
            )
        if self.jigsaw_patch is not None and not self.jigsaw:
            raise SettingsError(
                f"jigsaw_patch: expected --jigsaw beside it. Received: {self.jigsaw_patch} alone.",
                "jigsaw_patch",
            )
        layers = {layer for view in recipe.views for layer, _ in view.steps}
        if ColorJitter not in layers:
            self.refuse("the family has no colour jitter", "jitter_strength", "jitter_hue")
        if RandAugment in layers:
            self.refuse("the family has one of its own", "rand_augment")
        if not recipe.frequencies:
            self.refuse("only the family frequency divides them", "frequency_sigma")
        if recipe.clips:
            reason = f"the views of {self.views} are a clip and a frame as they are"
            self.refuse(reason, "num_views", "interpolation", "color_split", "color_groups")
        if self.views != "patches":
            self.refuse("only the family patches has pairs of them", "patch_distance")
        if self.rand_augment and recipe.jigsaw is None:
            raise SettingsError(
                f"rand_augment: expected a family of crops for training. Received: "
                f"views={self.views}.",
                "rand_augment",
            )
        for view in recipe.views:
            area_of(view, self.crop_min_area, self.crop_max_area)
        self.groups()

    def channel_map(self) -> ChannelMap:
        """What becomes of a crop's colours."""
        family = FAMILIES[self.views]
        color = self.color_split or family.color or "rgb"
        if family.frequencies:
            return frequency_map(self.frequency_sigma, family.mean, family.std)
        if color == "rgb":
            return color_map(color, family.mean, family.std)
        return color_map(color)

    def groups(self) -> tuple[int, ...]:
        """Channels of each view of a crop; raises SettingsError."""
        if FAMILIES[self.views].frequencies:
            self.refuse("the views are frequencies", "color_split", "color_groups")
            return (3, 3)
        divided = self.color_split or FAMILIES[self.views].color
        if not divided:
            self.refuse("the views are whole RGB images; --color_split divides", "color_groups")
            return (3,)
        words = (self.color_groups or "1,2").split(",")
        numbers = tuple(int(word) if word.strip().isdigit() else 0 for word in words)
        if min(numbers) < 1 or sum(numbers) != 3:
            raise SettingsError(
                "color_groups: expected numbers of channels >= 1, 3 in all, such as 1,2. "
                f"Received: {self.color_groups!r}.",
                "color_groups",
            )
        return numbers


def area_of(
    view: ViewRecipe, min_area: Optional[float], max_area: Optional[float]
) -> Optional[tuple[float, float]]:
    """The area range of a recipe after overriding its bounds; raises SettingsError."""
    if min_area is None and max_area is None:
        return view.area
    if view.area is None:
        raise SettingsError(
            "crop_min_area, crop_max_area: expected a family whose crops are random parts of "
            "an image. Received: crops of a fixed size."
        )
    low = view.area[0] if min_area is None else min_area
    high = view.area[1] if max_area is None else max_area
    if low > high:
        raise SettingsError(
            f"crop_min_area: expected at most crop_max_area={high:g}. Received: {low:g}.",
            "crop_min_area",
        )
    return low, high
