"""Methods that tell images apart, in the form that InterCLR extends.

One step: embeddings, the loss and its gradients from the state before the step, then the batch is
remembered in queue or bank, then the optimizer.
"""

import math
from typing import List, NamedTuple, Optional, Tuple

import tensorflow as tf

from tfssl import layers, ops
from tfssl.methods._method import Method
from tfssl.methods._plan import Batch, Logs, Plan
from tfssl.settings import Settings


class Embeddings(NamedTuple):
    """What one forward pass gives of this replica's rows.

    Attributes:
        anchors: for each view that learns, `[batch, dim]` unit rows with gradient; of views that
            have encoders of their own, all in one `[batch, views, dim]`. Empty where features of
            places are compared.
        stored: unit rows without gradient, what queue or bank keep of the images: `[batch, dim]`,
            or `[batch, views, dim]`. None where nothing is kept.
    """

    anchors: List[tf.Tensor]
    stored: Optional[tf.Tensor]


class InstanceMethod(Method):
    """A method whose loss comes from each image alone; subclasses write `forward` and `remember`.

    Attributes:
        forwards: int64 scalar, forward passes done. Draws are keyed by it, because an optimizer
            step may have several.
    """

    def __init__(self, settings: Settings, plan: Plan):
        super().__init__(settings, plan)
        self.forwards = tf.Variable(
            0,
            dtype=tf.int64,
            trainable=False,
            name="forwards",
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def forward(self, batch: Batch) -> Tuple[tf.Tensor, Logs, Embeddings]:
        """The loss, a scalar for each name in `statistics`, and the embeddings of the batch."""
        raise AttributeError(f"{type(self).__name__} must write forward.")

    def remember(self, batch: Batch, embeddings: Embeddings) -> Optional[layers.BankUpdate]:
        """Writes the batch into queue or bank, after losses and gradients have read them.

        Returns:
            What changed in the method's bank; None where it has none.
        """
        del batch, embeddings
        return None

    @property
    def embedding_dim(self) -> int:
        """Width of the embeddings."""
        return self.settings.projection_dim

    @property
    def embedding_network(self) -> tf.keras.layers.Layer:
        """The network behind what a bank stores: images -> `[batch, dim]`, not normalised."""
        raise AttributeError(f"{type(self).__name__} must say which network embeds.")

    def compute(self, batch: Batch) -> Tuple[tf.Tensor, Logs]:
        """See `Method.compute`."""
        return self.forward(batch)[:2]

    def compute_and_keep(self, batch: Batch) -> Tuple[tf.Tensor, Logs, Embeddings]:
        """See `Method.compute_and_keep`; the embeddings are kept."""
        return self.forward(batch)

    def after_pass(self, batch: Batch, kept: Embeddings) -> Logs:
        """See `Method.after_pass`."""
        self.remember(batch, kept)
        self.forwards.assign_add(1)
        return {}

    def draw_keys(self, purpose: int, rows: tf.Tensor) -> tf.Tensor:
        """Keys `[batch]` for draws of this pass, the same whatever the number of replicas.

        Args:
            purpose: which draw of the pass.
            rows: this replica's rows, for their number.
        """
        batch = rows.shape[0]
        numbers = tf.range(batch, dtype=tf.int64) + tf.cast(ops.row_offset(batch), tf.int64)
        return ops.fold_key(self.plan.seed, self.forwards, purpose, numbers)

    def draw_key(self, purpose: int) -> tf.Tensor:
        """One key, the same on every replica."""
        return ops.fold_key(self.plan.seed, self.forwards, purpose)


def softmax_level(num_negatives: int, log_odds: float) -> float:
    """ln(1 + K exp(x)) for any x: a softmax whose positive lies x below each of K negatives."""
    x = math.log(num_negatives) + log_odds
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))
