"""Numerical kernels: pure functions of tensors, at least in float32, and the gather of replicas."""

from tfssl.ops.assignment import AssignmentInfo, mira_assignment, mira_assignment_with_info
from tfssl.ops.collectives import cross_replica_concat, local_rows, row_offset
from tfssl.ops.keyed_random import fold_key, keyed_uniform
from tfssl.ops.knn import knn_vote
from tfssl.ops.reduced_assignment import mira_assignment_reduced
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

__all__ = [
    "AssignmentInfo",
    "constant",
    "cosine",
    "cross_replica_concat",
    "effective_rank",
    "feature_std",
    "fold_key",
    "keyed_uniform",
    "knn_vote",
    "local_rows",
    "marginal_entropy",
    "mean_entropy",
    "mean_kl",
    "mira_assignment",
    "mira_assignment_reduced",
    "mira_assignment_with_info",
    "mutual_information",
    "row_offset",
    "sinkhorn_knopp",
    "step_decay",
    "warmup",
    "warmup_cosine",
]
