"""How much two views share, in nats: lower bounds, by a softmax and by a trained critic (MINE)."""

from tfssl.evaluation.mutual_information.info_nce_bound import (
    info_nce_bound,
    info_nce_bound_of_embeddings,
)
from tfssl.evaluation.mutual_information.mine import mine, mine_batches

__all__ = ["info_nce_bound", "info_nce_bound_of_embeddings", "mine", "mine_batches"]
