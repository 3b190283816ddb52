"""The two splits of a run, and smaller samples of a source."""

import copy
from typing import Optional, Tuple

import numpy as np
from absl import logging

from tfssl.data.settings import DataConfig
from tfssl.data.source import NoSuchSplit, Source, open_source


def open_splits(config: DataConfig) -> Tuple[Source, Optional[Source]]:
    """Opens the training and the test split.

    Returns:
        `(train, test)`; test is None where the name is empty, or where none was given and the
        data has no split called "test": then nothing is measured on it.

    Raises:
        SettingsError: see `open_source`.
    """
    train = open_source(config, config.train_split)
    if config.test_split is not None:
        return train, open_source(config, config.test_split) if config.test_split else None
    try:
        return train, open_source(config, "test")
    except NoSuchSplit as error:
        logging.info("No test split: %s", error)
        return train, None


def hold_out(source: Source, every: int) -> Tuple[Source, Source]:
    """Two sources of the same records, of which the second draws every so-manyth alone.

    Args:
        source: any source; it is not changed.
        every: >= 2, and at most the images that may be drawn.

    Returns:
        `(most, held_out)`; records keep their indices, and nothing is drawn from both.

    Raises:
        ValueError: one of the two would have no image.
    """
    if not 2 <= every <= len(source.drawable):
        raise ValueError(
            "expected every >= 2 and at least so many images. Received: "
            f"every={every}, {len(source.drawable)} images of {source.name}."
        )
    most, held_out = copy.copy(source), copy.copy(source)
    chosen = np.arange(len(source.drawable)) % every == every - 1
    most.drawable, held_out.drawable = source.drawable[~chosen], source.drawable[chosen]
    return most, held_out


def thin(source: Source, limit: int) -> Source:
    """The same source with at most `limit` drawable records, spread evenly over it.

    Args:
        source: any source; it is not changed.
        limit: >= 1.

    Returns:
        A source whose records keep their indices.
    """
    if limit >= len(source.drawable):
        return source
    thinned = copy.copy(source)
    places = np.linspace(0, len(source.drawable) - 1, limit).round().astype(np.int64)
    thinned.drawable = source.drawable[places]
    return thinned
