"""Layers around an encoder: heads, prototypes and the state that is checkpointed with a model."""

from tfssl.layers.coupling_flow import CouplingFlow
from tfssl.layers.decoder import decoder
from tfssl.layers.dropout import keyed_dropout
from tfssl.layers.feature_bank import BankUpdate, FeatureBank
from tfssl.layers.ghost_groups import in_groups, in_shuffled_groups
from tfssl.layers.jigsaw_head import JigsawHead, patch_features
from tfssl.layers.mirrored_state import mirrored_state
from tfssl.layers.online_clusters import OnlineClusters
from tfssl.layers.projector import projector
from tfssl.layers.prototypes import Prototypes
from tfssl.layers.queue import Queue
from tfssl.layers.residual_projector import residual_projector
from tfssl.layers.teacher import Teacher

__all__ = [
    "BankUpdate",
    "CouplingFlow",
    "FeatureBank",
    "JigsawHead",
    "OnlineClusters",
    "Prototypes",
    "Queue",
    "Teacher",
    "decoder",
    "in_groups",
    "in_shuffled_groups",
    "keyed_dropout",
    "mirrored_state",
    "patch_features",
    "projector",
    "residual_projector",
]
