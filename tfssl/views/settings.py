"""The settings of views, and the families they build."""

import dataclasses
from typing import Optional, Sequence

from tfssl.settings import Settings, SettingsError, setting
from tfssl.views.family import ViewFamily
from tfssl.views.jigsaw import Jigsaw
from tfssl.views.recipes import FAMILIES, ViewRecipe
from tfssl.views.resample import INTERPOLATIONS


@dataclasses.dataclass(frozen=True)
class ViewsConfig(Settings):
    """What may be chosen about views; `build_from` makes the family."""

    views: str = setting(
        "mira", "View family: how views are cut from an image and changed.", choices=tuple(FAMILIES)
    )
    num_views: Optional[int] = setting(
        None, "Make only the first so many full-size views of the family. Unset: all.", low=1
    )
    image_size: int = setting(224, "Side of the full-size views, in pixels.", low=1)
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
        False, "Also nine patches of each image, from a 3x3 grid, for methods that ask for them."
    )
    jigsaw_patch: Optional[int] = setting(
        None,
        "Side of the patches, in pixels; the grid follows. Unset: 64 / 224 of the image size.",
        low=1,
    )

    def check(self) -> None:
        """Local crops and crop areas must fit the family."""
        recipe = FAMILIES[self.views]
        if self.num_views is not None and self.num_views > len(recipe.views):
            raise SettingsError(
                f"num_views: expected at most the {len(recipe.views)} full-size views of "
                f"{self.views}. Received: {self.num_views}.",
                "num_views",
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
        for view in recipe.views:
            _area(view, self.crop_min_area, self.crop_max_area)


def build_from(config: ViewsConfig, *, family: Optional[str] = None) -> ViewFamily:
    """Builds the family that settings describe.

    Args:
        config: the settings.
        family: another family at the same image size and with the same channel statistics, for
            example "eval" or "linear" to evaluate what was trained, without patches; None for the
            chosen one.

    Returns:
        The view family.
    """
    if family is None or family == config.views:
        values = dataclasses.asdict(config)
        return build(values.pop("views"), xla=values.pop("views_xla"), **values)
    chosen = FAMILIES[config.views]
    return build(
        family,
        image_size=config.image_size,
        mean=chosen.mean,
        std=chosen.std,
        xla=config.views_xla,
    )


def build(
    family: str,
    *,
    image_size: int,
    num_views: Optional[int] = None,
    local_crops: Optional[int] = None,
    local_size: Optional[int] = None,
    crop_min_area: Optional[float] = None,
    crop_max_area: Optional[float] = None,
    interpolation: Optional[str] = None,
    mean: Optional[Sequence[float]] = None,
    std: Optional[Sequence[float]] = None,
    xla: bool = True,
    jigsaw: bool = False,
    jigsaw_patch: Optional[int] = None,
) -> ViewFamily:
    """Builds a view family by name.

    Args:
        family: a name in `FAMILIES`.
        image_size: side of the full-size views in pixels, >= 1.
        num_views: make only the first so many full-size views; None for all.
        local_crops: number of small views, >= 0; None for the family's own number.
        local_size: side of the small views in pixels; None for the family's own.
        crop_min_area, crop_max_area: bounds in (0, 1] of the part of the image's area in a
            full-size view; None for the family's own. Small views keep theirs.
        interpolation: "bilinear" or "bicubic" for all crops; None for the family's own.
        mean, std: channel statistics of images in [0, 1]; None for the family's own.
        xla: whether the work after decoding is compiled.
        jigsaw: whether the family also gives the patches of a jigsaw.
        jigsaw_patch: side of the patches in pixels, >= 1; None for 64 / 224 of `image_size`.

    Returns:
        The view family.

    Raises:
        SettingsError: an unknown family, or a value out of range or without effect.
    """
    if family not in FAMILIES:
        raise SettingsError(
            f"views: expected one of {', '.join(FAMILIES)}. Received: {family!r}.", "views"
        )
    # Checks ranges and combinations, with the same messages as the command line.
    ViewsConfig(
        family,
        num_views,
        image_size,
        local_crops,
        local_size,
        crop_min_area,
        crop_max_area,
        interpolation,
        xla,
        jigsaw,
        jigsaw_patch,
    )
    recipe = FAMILIES[family]
    # Equal views stay one object, so that they share layers and compiled code.
    full = {v: _adapt(v, crop_min_area, crop_max_area, interpolation) for v in recipe.views}
    views = [(full[v], image_size) for v in recipe.views[:num_views]]
    if recipe.local is not None:
        local = _adapt(recipe.local, None, None, interpolation)
        count = recipe.local_crops if local_crops is None else local_crops
        views += [(local, local_size or recipe.local_size)] * count
    patches = None
    if jigsaw:
        whole = _adapt(recipe.jigsaw, None, None, interpolation)
        patches = whole, Jigsaw.scaled(image_size, jigsaw_patch)
    statistics = {"mean": mean or recipe.mean, "std": std or recipe.std}
    return ViewFamily(family, views, **statistics, xla=xla, jigsaw=patches)


def _adapt(
    view: ViewRecipe,
    min_area: Optional[float],
    max_area: Optional[float],
    interpolation: Optional[str],
) -> ViewRecipe:
    """A recipe with another crop."""
    return dataclasses.replace(
        view,
        area=_area(view, min_area, max_area),
        interpolation=interpolation or view.interpolation,
    )


def _area(
    view: ViewRecipe, min_area: Optional[float], max_area: Optional[float]
) -> Optional[tuple[float, float]]:
    """The area range of a recipe after overriding its bounds; raises SettingsError."""
    if min_area is None and max_area is None:
        return view.area
    if view.area is None:
        raise SettingsError(
            "crop_min_area, crop_max_area: expected a family with random crops. "
            "Received: a centre crop."
        )
    low = view.area[0] if min_area is None else min_area
    high = view.area[1] if max_area is None else max_area
    if low > high:
        raise SettingsError(
            f"crop_min_area: expected at most crop_max_area={high:g}. Received: {low:g}.",
            "crop_min_area",
        )
    return low, high
