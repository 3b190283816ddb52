"""Where records come from, and how they become batches of views."""

from tfssl.data.class_lists import IMAGENET100, read_class_list
from tfssl.data.image_bytes import as_jpeg_or_png, decode_rgb
from tfssl.data.image_check import DamagedImage, damage_explained
from tfssl.data.labelled_batches import check_labelled_rows, with_labelled_batches
from tfssl.data.pipeline import (
    distribute,
    epoch_order,
    evaluation_batches,
    steps_per_epoch,
    training_batches,
)
from tfssl.data.settings import DataConfig
from tfssl.data.source import PixelSource, Source, open_source
from tfssl.data.splits import hold_out, labelled, open_splits, thin

__all__ = [
    "IMAGENET100",
    "DamagedImage",
    "DataConfig",
    "PixelSource",
    "Source",
    "as_jpeg_or_png",
    "check_labelled_rows",
    "damage_explained",
    "decode_rgb",
    "distribute",
    "epoch_order",
    "evaluation_batches",
    "hold_out",
    "labelled",
    "open_source",
    "open_splits",
    "read_class_list",
    "steps_per_epoch",
    "thin",
    "training_batches",
    "with_labelled_batches",
]
