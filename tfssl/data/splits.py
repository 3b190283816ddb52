"""The two splits of a run, and smaller samples of a source."""

import copy
from typing import Optional, Tuple

import numpy as np
from absl import logging

from tfssl.data.settings import DataConfig
from tfssl.data.source import NoSuchSplit, Source, open_source
from tfssl.ops.keyed_random import fold_key
from tfssl.settings import SettingsError

# Keeps the choice of labelled records apart from other draws of a run.
_LABELLED = 0x1ABE1


def open_splits(config: DataConfig) -> Tuple[Source, Optional[Source]]:
    """Opens the training and the test split.

    Returns:
        `(train, test)`; test is None where the name is empty, or where none was given and the
        data has no split of the usual name: then nothing is measured on it.

    Raises:
        SettingsError: see `open_source`.
    """
    train = open_source(config, config.train_split)
    if config.test_split is not None:
        return train, open_source(config, config.test_split) if config.test_split else None
    try:
        return train, open_source(config, config.usual_test_split)
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


def labelled(source: Source, limit: Optional[int], *, seed: int) -> Source:
    """The same source with only records drawable whose label is known, or some of them.

    Args:
        source: any source; it is not changed.
        limit: how many, of every class as many as of another, or one more; of a class that has too
            few, all. None: all records with a label.
        seed: the run's; another one chooses other records.

    Returns:
        A source whose records keep their indices.

    Raises:
        SettingsError: there are no labels, or fewer than asked for.
    """
    known = source.known_labels
    if known is None:
        raise SettingsError(
            f"labelled_records: expected training records with a label in {source.name}. Received: "
            "none.",
            "labelled_records",
        )
    records = source.drawable[known[source.drawable] >= 0]
    if limit is not None and limit > len(records):
        raise SettingsError(
            f"labelled_records: expected at most {len(records)}, the records of {source.name} with "
            f"a label. Received: {limit}.",
            "labelled_records",
        )
    order = np.argsort(fold_key(seed, _LABELLED, records).numpy(), kind="stable")
    records = records[order]
    # The first of every class in this order, then the second of every class, and so on.
    ranks = np.empty(len(records), np.int64)
    for label in np.unique(known[records]):
        own = known[records] == label
        ranks[own] = np.arange(own.sum())
    chosen = copy.copy(source)
    chosen.drawable = np.sort(records[np.argsort(ranks, kind="stable")][:limit])
    return chosen
