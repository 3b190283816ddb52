"""Whether views and records fit a method's settings; one sentence where they do not."""

from typing import Optional, Sequence

from tfssl.settings import SettingsError
from tfssl.views import ViewFamily


def check_views(method: str, family: ViewFamily, low: int, high: Optional[int]) -> None:
    """Raises SettingsError unless a method can use all views.

    Args:
        method: its name, for the message.
        family: the family of training.
        low, high: the fewest and the most views that it looks at. None: all, of any size.
    """
    sizes = family.sizes
    if set(family.channels) - {3} or len(family.groups) > 1:
        raise SettingsError(
            f"method {method}: expected views with all three channels. Received: "
            f"{', '.join(map(str, family.channels))} channels of {family.color}. Remedy: "
            "--color_groups=3, another --views, or a method of several views such as cmc."
        )
    if len(sizes) < low:
        raise SettingsError(
            f"method {method}: expected a view family with at least {low} views. Received: "
            f"{len(sizes)}. Remedy: choose another --views."
        )
    if high is None:
        return
    if len(sizes) > high:
        raise SettingsError(
            f"method {method}: expected a view family with at most {high} views, because it does "
            f"not look at others. Received: {len(sizes)}. Remedy: --num_views={high}, no "
            "--local_crops."
        )
    check_equal_sizes(method, sizes)


def check_clips(method: str, wanted: bool, family: ViewFamily) -> None:
    """Raises SettingsError where views are a clip and a frame, and should not be, or the reverse.

    Args:
        method: its name, for the message.
        wanted: whether its first view is a clip.
        family: the family of training.
    """
    if family.clips != wanted:
        kinds = {True: "a clip and a frame", False: "images"}
        remedy = "--views=clip_frame" if wanted else "--method=clip_contrast, or other --views"
        raise SettingsError(
            f"method {method}: expected views that are {kinds[wanted]}. Received: "
            f"{kinds[family.clips]}, of --views={family.name}. Remedy: {remedy}."
        )


def check_equal_sizes(method: str, sizes: Sequence[int]) -> None:
    """Raises SettingsError where views are of several sizes."""
    if len(set(sizes)) > 1:
        raise SettingsError(
            f"method {method}: expected views of one size. Received: "
            f"{', '.join(map(str, sizes))}. Remedy: choose another --views, no --local_crops."
        )


def check_patches(method: str, needed: bool, patch_size: Optional[int]) -> None:
    """Raises SettingsError where patches are missing or would have no effect."""
    if needed and patch_size is None:
        raise SettingsError(
            f"method {method}: expected views with the patches of a jigsaw. Received: none. "
            "Remedy: --jigsaw."
        )
    if patch_size is not None and not needed:
        raise SettingsError(
            f"method {method}: expected views without patches, which it does not use. Received: "
            "--jigsaw. Remedy: drop it, or choose a method such as pirl."
        )


def check_labelled(method: str, needed: bool, given: Sequence[str]) -> None:
    """Raises SettingsError where flags of labelled records, those given, would have no effect."""
    if given and not needed:
        raise SettingsError(
            f"method {method}: expected no flags of labelled records, which it does not use with "
            f"these settings. Received: {', '.join(given)}. Remedy: drop them, or "
            "--method=view_learning --view_learning_objective=semi_supervised."
        )


def check_clusters(num_clusters: int, num_records: int, min_cluster: int = 0) -> None:
    """Raises SettingsError where there are too few images for the clusters.

    Args:
        num_clusters: k.
        num_records: N.
        min_cluster: smaller clusters are replaced; 0: none. With more than half the mean size
            most clusters are small, and replacing them tears all others apart.
    """
    if num_clusters > num_records:
        raise SettingsError(
            f"num_clusters: expected at most the number of images, {num_records}. Received: "
            f"{num_clusters}.",
            "num_clusters",
        )
    if 2 * min_cluster * num_clusters > num_records:
        mean = num_records / num_clusters
        raise SettingsError(
            f"min_cluster: expected at most half the mean size of a cluster, {mean:g} with "
            f"{num_records} images and num_clusters={num_clusters}. Received: {min_cluster}. "
            f"Remedy: about a sixth, {mean / 6:.0f}; 0 for none; or fewer clusters.",
            "min_cluster",
        )


def check_warm_start(epochs: int, steps_per_epoch: int, total_steps: int) -> None:
    """Raises SettingsError where a run would end within its warm start, of so many epochs."""
    if epochs and epochs * steps_per_epoch >= total_steps:
        raise SettingsError(
            "warm_start_epochs: expected fewer than the epochs of the run, "
            f"{total_steps / steps_per_epoch:g}. Received: {epochs}.",
            "warm_start_epochs",
        )
