"""What becomes of a crop's colours before they are normalised and divided into views."""

import dataclasses
from typing import Any, Callable, Optional, Sequence

from tfssl.views.color_conversion import ColorConversion
from tfssl.views.colour_spaces import COLOR_SPACES, convert_color
from tfssl.views.frequency import FrequencySplit, split_frequencies
from tfssl.views.layer import ViewLayer


@dataclasses.dataclass(frozen=True)
class ChannelMap:
    """A map of RGB crops in [0, 1] to channels that views are groups of.

    Attributes:
        name: for results and the description of an export.
        about: in words, where the name does not say it all.
        mean, std: of each channel, to normalise the result with.
        layers: view layers without draws that compute it.
        of_images: the same of symbolic images `[batch, size, size, 3]`, made of operations that
            a SavedModel holds without this library.
    """

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layers: tuple[ViewLayer, ...] = ()
    of_images: Callable[[Any], Any] = lambda images: images
    about: str = "no change"

    @property
    def channels(self) -> int:
        """How many channels come out."""
        return len(self.mean)


def color_map(
    space: str, mean: Optional[Sequence[float]] = None, std: Optional[Sequence[float]] = None
) -> ChannelMap:
    """Another colour space.

    Args:
        space: a name in `COLOR_SPACES`; "rgb" changes nothing.
        mean, std: of its channels; None for those of the table.
    """
    statistics = COLOR_SPACES[space]
    numbers = tuple(mean or statistics.mean), tuple(std or statistics.std)
    if space == "rgb":
        return ChannelMap(space, *numbers)
    return ChannelMap(
        space,
        *numbers,
        layers=(ColorConversion(space),),
        of_images=lambda images: convert_color(images, space),
        about="the definition of scikit-image",
    )


def frequency_map(sigma: float, mean: Sequence[float], std: Sequence[float]) -> ChannelMap:
    """Low frequencies, then high ones; see `FrequencySplit`.

    Args:
        sigma: see `FrequencySplit`.
        mean, std: of RGB in [0, 1]. Low frequencies are normalised with both, high ones, whose mean
            is 0, with the deviations: the two views add up to the normalised image.
    """
    return ChannelMap(
        f"frequency, sigma {sigma:g}",
        mean=(*mean, *(0.0 for _ in mean)),
        std=(*std, *std),
        layers=(FrequencySplit(sigma),),
        of_images=lambda images: split_frequencies(images, sigma),
        about="three channels of the blurred image, then three of what the blur took away",
    )
