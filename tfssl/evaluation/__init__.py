"""Evaluation protocols on arrays, or on a `features(images)` callable.

Each protocol returns a plain dictionary with its settings inside, ready for JSON.
"""

from tfssl.evaluation import mutual_information
from tfssl.evaluation.average_precision import average_precision
from tfssl.evaluation.depth_pooling import pool_depths
from tfssl.evaluation.features import Features, extract, raw_pixels
from tfssl.evaluation.knn import knn
from tfssl.evaluation.linear import LEARNING_RATE_GRID, linear
from tfssl.evaluation.linear_augmented import linear_augmented
from tfssl.evaluation.mlp import mlp
from tfssl.evaluation.mutual_information import (
    info_nce_bound,
    info_nce_bound_of_embeddings,
    mine,
    mine_batches,
)
from tfssl.evaluation.probe_encoder import probe_encoder
from tfssl.evaluation.probe_pooling import probe_features
from tfssl.evaluation.regression import regression
from tfssl.evaluation.settings import EMBEDDING, PROTOCOLS, READOUTS, EvaluationConfig
from tfssl.evaluation.supervised import supervised
from tfssl.evaluation.svm import low_shot_rows, low_shot_svm, svm

__all__ = [
    "EMBEDDING",
    "LEARNING_RATE_GRID",
    "PROTOCOLS",
    "READOUTS",
    "EvaluationConfig",
    "Features",
    "average_precision",
    "extract",
    "info_nce_bound",
    "info_nce_bound_of_embeddings",
    "knn",
    "linear",
    "linear_augmented",
    "low_shot_rows",
    "low_shot_svm",
    "mine",
    "mine_batches",
    "mlp",
    "mutual_information",
    "pool_depths",
    "probe_encoder",
    "probe_features",
    "raw_pixels",
    "regression",
    "supervised",
    "svm",
]
