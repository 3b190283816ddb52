"""View families by name or from settings."""

import dataclasses
from typing import Any, Optional, Sequence, Union

from tfssl.views.channel_map import ChannelMap
from tfssl.views.clip import ClipFamily
from tfssl.views.colour import ColorJitter
from tfssl.views.family import ViewFamily
from tfssl.views.jigsaw import Jigsaw
from tfssl.views.rand_augment import RandAugment
from tfssl.views.recipes import FAMILIES, Step, ViewRecipe, jitter_times
from tfssl.views.settings import ViewsConfig, area_of


def build(
    family: str,
    *,
    image_size: int,
    mean: Optional[Sequence[float]] = None,
    std: Optional[Sequence[float]] = None,
    xla: bool = True,
    **options: Any,
) -> Union[ViewFamily, ClipFamily]:
    """Builds a view family by name.

    Args:
        family: a name in `FAMILIES`.
        image_size: side of the full-size views in pixels, >= 1.
        mean, std: channel statistics of crops in their colour space; None for the family's own, or
            for those of the space.
        xla: whether the work after decoding is compiled.
        **options: other settings of `ViewsConfig` by name, such as `local_crops=6`.

    Returns:
        The view family.

    Raises:
        SettingsError: an unknown family, or a value out of range or without effect.
    """
    config = ViewsConfig(family, image_size=image_size, views_xla=xla, **options)
    colors = config.channel_map()
    colors = dataclasses.replace(
        colors, mean=tuple(mean or colors.mean), std=tuple(std or colors.std)
    )
    return _build(config, colors, config.groups())


def build_from(
    config: ViewsConfig, *, family: Optional[str] = None, **options: Any
) -> Union[ViewFamily, ClipFamily]:
    """Builds the family that settings describe.

    Args:
        config: the settings.
        family: another family at the same image size, in the same colours and with the same channel
            statistics, for example "eval" or "linear" to evaluate what was trained, with all
            channels in one view and without patches; None for the chosen one.
        **options: other settings of that other family, such as `crop_min_area`.

    Returns:
        The view family.
    """
    if family is None:
        return _build(config, config.channel_map(), config.groups())
    if family == "eval":
        resize = {"eval_resize": config.eval_resize, "interpolation": config.eval_interpolation}
        options = {**resize, **options}
    other = ViewsConfig(family, image_size=config.image_size, views_xla=config.views_xla, **options)
    colors = config.channel_map()
    return _build(other, colors, (colors.channels,))


def _build(
    config: ViewsConfig, colors: ChannelMap, groups: Sequence[int]
) -> Union[ViewFamily, ClipFamily]:
    """The family of checked settings, in other colours and groups than theirs where asked."""
    recipe, size = FAMILIES[config.views], config.image_size
    if recipe.clips:
        return ClipFamily(config.views, size, colors, xla=config.views_xla)
    # Equal views stay one object, so that they share layers and compiled code.
    full = {view: _adapt(view, config) for view in recipe.views}
    chosen = recipe.views[: config.num_views]
    chosen += recipe.views[-1:] * ((config.num_views or 0) - len(chosen))
    views = [(full[view], size) for view in chosen]
    if recipe.local is not None:
        local = _resampled(recipe.local, config)
        local = dataclasses.replace(local, steps=tuple(_jittered(s, config) for s in local.steps))
        count = recipe.local_crops if config.local_crops is None else config.local_crops
        views += [(local, config.local_size or recipe.local_size)] * count
    patches = None
    if config.jigsaw:
        patches = _resampled(recipe.jigsaw, config), Jigsaw.scaled(size, config.jigsaw_patch)
    return ViewFamily(
        config.views,
        views,
        channel_map=colors,
        groups=groups,
        xla=config.views_xla,
        jigsaw=patches,
    )


def _adapt(view: ViewRecipe, config: ViewsConfig) -> ViewRecipe:
    """The recipe of a full-size view as the settings change it."""
    steps = tuple(_jittered(step, config) for step in view.steps)
    if config.rand_augment:
        steps += ((RandAugment, {}),)
    return dataclasses.replace(
        _resampled(view, config),
        area=area_of(view, config.crop_min_area, config.crop_max_area),
        steps=steps,
        resize_to=config.eval_resize if config.views == "eval" else None,
        distance=config.patch_distance if config.views == "patches" else view.distance,
    )


def _jittered(step: Step, config: ViewsConfig) -> Step:
    """A step of a recipe; colour jitter as strong as the settings say."""
    layer, arguments = step
    if layer is not ColorJitter or (config.jitter_strength, config.jitter_hue) == (None, None):
        return step
    hue = arguments["hue"] if config.jitter_hue is None else config.jitter_hue
    factor = 1.0 if config.jitter_strength is None else config.jitter_strength
    return jitter_times((layer, {**arguments, "hue": hue}), factor)


def _resampled(view: ViewRecipe, config: ViewsConfig) -> ViewRecipe:
    """A recipe with the interpolation of the settings."""
    return dataclasses.replace(view, interpolation=config.interpolation or view.interpolation)
