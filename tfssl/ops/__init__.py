"""Numerical kernels: pure functions of tensors, at least in float32, and the gather of replicas."""

from tfssl.ops.adaptive_pooling import adaptive_average_pool, adaptive_max_pool
from tfssl.ops.assignment import AssignmentInfo, mira_assignment, mira_assignment_with_info
from tfssl.ops.balanced_draws import balanced_draws
from tfssl.ops.bank_losses import DecomposedLoss, RowLoss, bank_losses
from tfssl.ops.bank_scores import bank_scores
from tfssl.ops.checks import at_least_float32
from tfssl.ops.cluster_members import cluster_members
from tfssl.ops.collectives import cross_replica_concat, local_rows, row_offset
from tfssl.ops.keyed_random import (
    fold_key,
    keyed_integers,
    keyed_permutations,
    keyed_uniform,
)
from tfssl.ops.knn import knn_vote
from tfssl.ops.largest import first_largest, largest_mask
from tfssl.ops.lloyd import cluster_totals, kmeans, nearest_centroid
from tfssl.ops.negatives import (
    SAMPLERS,
    Negatives,
    pool_negatives,
    random_negatives,
    sample_negatives,
    subset_negatives,
)
from tfssl.ops.reduced_assignment import mira_assignment_reduced
from tfssl.ops.rows_by_index import last_of_equals, places_of, sums_of_equals
from tfssl.ops.schedules import constant, cosine, step_decay, warmup, warmup_cosine
from tfssl.ops.sinkhorn import sinkhorn_knopp
from tfssl.ops.statistics import (
    effective_rank,
    feature_std,
    marginal_entropy,
    mean_entropy,
    mean_kl,
    mutual_information,
)
from tfssl.ops.weighted_draws import AliasTable, alias_table, keyed_weighted_integers
from tfssl.ops.whitening import pca_whiten

__all__ = [
    "SAMPLERS",
    "AliasTable",
    "AssignmentInfo",
    "DecomposedLoss",
    "Negatives",
    "RowLoss",
    "adaptive_average_pool",
    "adaptive_max_pool",
    "alias_table",
    "at_least_float32",
    "balanced_draws",
    "bank_losses",
    "bank_scores",
    "cluster_members",
    "cluster_totals",
    "constant",
    "cosine",
    "cross_replica_concat",
    "effective_rank",
    "feature_std",
    "first_largest",
    "fold_key",
    "keyed_integers",
    "keyed_permutations",
    "keyed_uniform",
    "keyed_weighted_integers",
    "kmeans",
    "knn_vote",
    "largest_mask",
    "local_rows",
    "last_of_equals",
    "marginal_entropy",
    "mean_entropy",
    "mean_kl",
    "mira_assignment",
    "mira_assignment_reduced",
    "mira_assignment_with_info",
    "mutual_information",
    "nearest_centroid",
    "pca_whiten",
    "places_of",
    "pool_negatives",
    "random_negatives",
    "row_offset",
    "sample_negatives",
    "sinkhorn_knopp",
    "step_decay",
    "subset_negatives",
    "sums_of_equals",
    "warmup",
    "warmup_cosine",
]
