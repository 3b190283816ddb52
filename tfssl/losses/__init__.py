"""Losses: pure functions of tensors. They never communicate between replicas; methods gather."""

from tfssl.losses.cosine_regression import cosine_regression
from tfssl.losses.info_nce import decomposed_info_nce, info_nce, info_nce_from_scores
from tfssl.losses.local_aggregation import local_aggregation
from tfssl.losses.local_global import local_global
from tfssl.losses.nce import decomposed_nce, nce, nce_partition
from tfssl.losses.nt_xent import nt_xent
from tfssl.losses.softmax_nce import softmax_nce
from tfssl.losses.swapped_prediction import swapped_prediction

__all__ = [
    "cosine_regression",
    "decomposed_info_nce",
    "decomposed_nce",
    "info_nce",
    "info_nce_from_scores",
    "local_aggregation",
    "local_global",
    "nce",
    "nce_partition",
    "nt_xent",
    "softmax_nce",
    "swapped_prediction",
]
