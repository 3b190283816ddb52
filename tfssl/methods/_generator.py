"""A frozen generator of views, as `tfssl.export.export_generator` has written it."""

import functools
import json
import pathlib
from typing import Any, Dict

import tensorflow as tf

from tfssl.methods._fit import check_equal_sizes
from tfssl.settings import SettingsError
from tfssl.views import ViewFamily

# Channels of the two views: InfoMin, Tian et al. 2020, arXiv 2005.10243, section B.5.
CHANNELS = (1, 2)
_FORMAT = "tfssl view generator"


def load_generator(path: str) -> tf.keras.Model:
    """The generator, images -> standardised channels, none of whose weights is trained.

    Raises:
        SettingsError: no generator there.
    """
    describe(path)
    generator = tf.keras.models.load_model(path, compile=False)
    generator.trainable = False
    return generator


@functools.lru_cache(maxsize=None)
def describe(path: str) -> Dict[str, Any]:
    """The images that a generator is for; raises SettingsError where there is none."""
    try:
        found = json.loads((pathlib.Path(path) / "export.json").read_text())
    except (OSError, ValueError):
        found = {}
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise SettingsError(
            "generator: expected the folder of a view generator, <run_dir>/generator of a finished "
            f"run of view_learning. Received: {path}.",
            "generator",
        )
    return found


def check_generated_views(method: str, path: str, family: ViewFamily, num_crops: int) -> None:
    """Raises SettingsError unless the views are whole images as the generator knows them."""
    known = describe(path)
    if family.groups != (3,) or family.num_views != num_crops:
        raise SettingsError(
            f"method {method}: expected {num_crops} whole images as views with a generator, which "
            f"divides them itself. Received: {family.num_views} views of "
            f"{', '.join(map(str, family.channels))} channels. Remedy: --color_groups=3, "
            f"--num_views={num_crops}."
        )
    check_equal_sizes(method, family.sizes)
    own = {"color": family.color, "mean": list(family.mean), "std": list(family.std)}
    if any(own[name] != known[name] for name in own):
        raise SettingsError(
            f"generator: expected images as it was trained on, {_words(known)}. Received: "
            f"{_words(own)}. Remedy: --views and --color_split of its run.",
            "generator",
        )


def _words(images: Dict[str, Any]) -> str:
    mean, std = (", ".join(f"{v:g}" for v in images[name]) for name in ("mean", "std"))
    return f"{images['color']} with mean {mean} and deviation {std}"
