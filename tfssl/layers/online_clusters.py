"""Online clusters: pseudo-labels and centroids that follow a feature bank from step to step.

InterCLR, Xie et al., arXiv 2008.11702, section 3.2: mini-batch k-means. Centroids are kept as
running sums, which cost the batch and not the bank.
"""

from typing import Dict, Optional

import tensorflow as tf

from tfssl import ops
from tfssl.layers.feature_bank import BankUpdate
from tfssl.layers.mirrored_state import mirrored_state
from tfssl.layers.normalization import at_least_float32
from tfssl.layers.small_clusters import Clustering, replace_small

_ASSIGNMENTS = ("l2", "dot")


class OnlineClusters(tf.keras.layers.Layer):
    """A label for every record, and for every cluster its centroid, sum and size.

    After every update sums and sizes are those of all rows of the bank with a label: a step takes
    the batch's old rows off and adds the new ones. Float32 drifts by about 1e-5 an epoch;
    `recompute` makes it exact again.

    Args:
        num_records: N.
        num_clusters: k.
        dim: width of the bank's rows.
        assign: which centroid a row belongs to, the nearest ("l2", the paper) or the one with the
            largest dot product ("dot", the released code); they differ where lengths do.
        min_cluster: `replace_small` dissolves clusters with fewer rows and splits the largest one
            instead; at most half the mean size, num_records / num_clusters; 0 for never.
        publish_every: updates after which centroids follow the sums; 1 in the paper, 10 in the
            code.
        name: the layer's name.

    Attributes:
        labels: `[num_records]` int32.
        sums: `[num_clusters, dim]` float32, of the rows of each cluster.
        sizes: `[num_clusters]` int32.
        centroids: `[num_clusters, dim]` float32, the recorded means. An empty cluster keeps its
            last one.
        num_updates: int64 scalar, updates so far.

    Raises:
        ValueError: an argument out of range.
    """

    def __init__(
        self,
        num_records: int,
        num_clusters: int,
        dim: int,
        *,
        assign: str = "l2",
        publish_every: int = 1,
        min_cluster: int = 0,
        name: Optional[str] = None,
    ):
        """Makes the variables; `recompute` gives them a meaning."""
        super().__init__(name=name)
        if not 1 <= num_clusters <= num_records or dim < 1 or publish_every < 1:
            raise ValueError(
                "expected 1 <= num_clusters <= num_records, dim >= 1 and publish_every >= 1. "
                f"Received: {num_clusters=}, {num_records=}, {dim=}, {publish_every=}."
            )
        if not 0 <= 2 * min_cluster * num_clusters <= num_records:
            raise ValueError(
                "expected min_cluster from 0 to half the mean size of a cluster, "
                f"num_records / num_clusters. Received: {min_cluster=}, {num_records=}, "
                f"{num_clusters=}."
            )
        if assign not in _ASSIGNMENTS:
            raise ValueError(f"expected assign to be one of {_ASSIGNMENTS}. Received: {assign=}.")
        self.assign, self.publish_every = assign, publish_every
        self.num_clusters, self.min_cluster = num_clusters, min_cluster
        self.labels = mirrored_state(tf.range(num_records) % num_clusters, "labels")
        self.sums = mirrored_state(tf.zeros([num_clusters, dim], at_least_float32()), "sums")
        self.sizes = mirrored_state(tf.zeros([num_clusters], tf.int32), "sizes")
        self.centroids = mirrored_state(
            tf.zeros([num_clusters, dim], at_least_float32()), "centroids"
        )
        self.num_updates = mirrored_state(tf.constant(0, tf.int64), "num_updates")

    def labels_of(self, indices: tf.Tensor) -> tf.Tensor:
        """Recorded labels, int32, of the shape of `indices`."""
        return tf.gather(self.labels, indices)

    def follow(self, change: BankUpdate) -> tf.Tensor:
        """Labels the rows of a bank's update anew and moves their sums.

        Returns:
            The share of the batch's records that changed their label, float32.
        """
        # Read here: on replicas a traced function keeps the variable it was first called with.
        centroids = tf.convert_to_tensor(self.centroids)
        return self.relabel(change, _assign(change.new, centroids, self.assign))

    def relabel(self, change: BankUpdate, labels: tf.Tensor) -> tf.Tensor:
        """Gives the rows of a bank's update labels and moves their sums: the cost of the batch.

        Args:
            change: the update; every update must come here or to `follow`, once.
            labels: `[batch]` int32, equal for equal indices.

        Returns:
            As `follow`.
        """
        before = self.labels_of(change.indices)
        self.labels.scatter_update(tf.IndexedSlices(labels, change.indices))
        touched = tf.concat([before, labels], axis=0)
        sums, sizes, means = _moved(
            touched,
            change.old,
            change.new,
            change.counted,
            self.num_clusters,
            tf.gather(self.sums, touched),
            tf.gather(self.sizes, touched),
            tf.gather(self.centroids, touched),
        )
        self.sums.scatter_update(tf.IndexedSlices(sums, touched))
        self.sizes.scatter_update(tf.IndexedSlices(sizes, touched))
        self.num_updates.assign_add(1)
        if self.publish_every == 1:
            self.centroids.scatter_update(tf.IndexedSlices(means, touched))
        else:
            due = self.num_updates % self.publish_every == 0
            tf.cond(due, self._publish, lambda: tf.constant(0))
        counted = tf.cast(change.counted, tf.float32)
        changed = tf.cast(before != labels, tf.float32) * counted
        return tf.reduce_sum(changed) / tf.reduce_sum(counted)

    def step(self, change: BankUpdate, features: tf.Tensor) -> Dict[str, tf.Tensor]:
        """`follow`, then `replace_small`; figures of the clusters, for logs."""
        changed = self.follow(change)
        self.replace_small(features)
        return {"changed-labels": changed, **self.figures()}

    def figures(self) -> Dict[str, tf.Tensor]:
        """Sizes of the smallest and the largest cluster, float32."""
        sizes = tf.cast(tf.convert_to_tensor(self.sizes), tf.float32)
        return {
            "smallest-cluster": tf.reduce_min(sizes),
            "largest-cluster": tf.reduce_max(sizes),
        }

    def replace_small(self, features: tf.Tensor) -> None:
        """Dissolves small clusters where there are any; `features` is the bank."""
        if self.min_cluster:
            tf.cond(
                tf.reduce_any(self.sizes < self.min_cluster),
                # The bank is read only where it must be: a variable that is written in rows is
                # copied when it is read as a whole.
                lambda: self._replace_small(tf.convert_to_tensor(features)),
                lambda: tf.constant(0),
            )

    def recompute(self, features: tf.Tensor, labels: Optional[tf.Tensor] = None) -> None:
        """Sums, sizes and centroids from all rows of a bank.

        Args:
            features: `[num_records, dim]`.
            labels: `[num_records]` integers in [0, num_clusters), to set; None keeps the recorded.
        """
        # Written in any case: afterwards all replicas have the labels that the sums are of.
        self.labels.assign(self.labels if labels is None else tf.cast(labels, tf.int32))
        sums, sizes = ops.cluster_totals(
            ops.at_least_float32(features), self.labels, self.num_clusters
        )
        self.sums.assign(sums)
        self.sizes.assign(sizes)
        self._publish()

    def cluster(self, features: tf.Tensor, *, num_iterations: int, seed: int) -> None:
        """Labels all rows of a bank by k-means, see `ops.kmeans`, and recomputes the rest."""
        _, labels = ops.kmeans(
            features, num_clusters=self.num_clusters, num_iterations=num_iterations, seed=seed
        )
        self.recompute(features, labels)

    def _replace_small(self, features: tf.Tensor) -> tf.Tensor:
        state = (self.labels, self.sums, self.sizes, self.centroids)
        values = replace_small(features, Clustering(*map(tf.identity, state)), self.min_cluster)
        for variable, value in zip(state, values):
            variable.assign(value)
        # Where every update is published no centroid lags behind, not even of a cluster that only
        # received rows.
        return self._publish() if self.publish_every == 1 else tf.constant(0)

    def _publish(self) -> tf.Tensor:
        """All centroids follow their sums; 0, for tf.cond."""
        self.centroids.assign(_means(self.sums, self.sizes, self.centroids))
        return tf.constant(0)


@tf.function(autograph=False)
def _assign(rows, centroids, kind):
    """The cluster of each row; of equally good ones the first."""
    scores = tf.matmul(rows, centroids, transpose_b=True)
    if kind == "l2":
        scores -= tf.reduce_sum(centroids * centroids, axis=1) / 2
    return ops.first_largest(scores)[0]


@tf.function(jit_compile=True, autograph=False)
def _moved(touched, old, new, counted, number, sums, sizes, centroids):
    """Sums, sizes and means of the touched clusters after the batch's rows have moved."""
    signs = tf.concat([-tf.cast(counted, tf.int32), tf.cast(counted, tf.int32)], axis=0)
    rows = tf.concat([old, new], axis=0) * tf.cast(signs, old.dtype)[:, tf.newaxis]
    sizes += ops.sums_of_equals(touched, signs, number)
    sums += ops.sums_of_equals(touched, rows, number)
    # An empty cluster starts anew from an exact 0.
    sums = tf.where((sizes > 0)[:, tf.newaxis], sums, 0.0)
    return sums, sizes, _means(sums, sizes, centroids)


def _means(sums, sizes, centroids):
    """Means of clusters; an empty one keeps its centroid."""
    means = sums / tf.cast(tf.maximum(sizes, 1), sums.dtype)[:, tf.newaxis]
    return tf.where((sizes > 0)[:, tf.newaxis], means, centroids)
