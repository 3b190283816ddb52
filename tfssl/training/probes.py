"""What is measured on the encoder while it trains: spread, rank and neighbours of its features."""

import math
from typing import Callable, Dict, List, Optional

import numpy as np
import tensorflow as tf
from absl import logging

from tfssl import data, evaluation, ops, views
from tfssl.training.experiment import Experiment

Probe = Callable[[int], Dict[str, float]]

# Steps in a row near the chance level before it is worth a warning, and how near (relative).
_PATIENCE = 200
_NEAR = 0.005
# Spread of features, relative to evenly spread ones, that is worth a warning.
_COLLAPSED = 0.02


def make_probes(experiment: Experiment) -> List[Probe]:
    """The probes that the settings ask for; each maps an epoch number to named figures."""
    run = experiment.config.training
    probes: List[Probe] = [CollapseGauge(experiment)]
    if experiment.method.pseudo_labels is not None and experiment.train.labels is not None:
        probes.append(ClusterPurity(experiment))
    if run.online_knn:
        probes.append(OnlineKNN(experiment, every=run.online_knn))
    elif not experiment.train.may_have_labels:
        logging.info("No labels: kNN accuracy is not measured.")
    return probes


class Extractor:
    """Features of records under the evaluation view, in the order of the source."""

    def __init__(self, experiment: Experiment):
        self._family = views.build_from(experiment.config.views, family="eval")
        self._batch_size = min(256, experiment.plan.batch_size)

    def __call__(
        self,
        features: Callable,
        source: data.Source,
        limit: Optional[int] = None,
        *,
        with_labels: bool = True,
    ) -> evaluation.Features:
        """Runs `features` over a source, or over `limit` records spread evenly over it.

        Of a source of clips it sees the single frames.
        """
        source = source.still()
        if limit:
            source = data.thin(source, limit)
        batches = data.evaluation_batches(
            source,
            self._family,
            batch_size=self._batch_size,
            with_labels=with_labels,
        )
        return evaluation.extract(features, batches)


def record_embeddings(experiment: Experiment) -> Callable[[tf.keras.layers.Layer], tf.Tensor]:
    """The function that methods embed all records with: network -> `[num_records, dim]` float32.

    Rows are in the order of the record indices. An unreadable record repeats the row of the next
    readable one: a bank holds no row that is of no image.
    """

    def extract(network: tf.keras.layers.Layer) -> tf.Tensor:
        found = Extractor(experiment)(network, experiment.train, with_labels=False)
        place = np.searchsorted(found.index, np.arange(experiment.plan.num_records))
        return tf.convert_to_tensor(found.features[np.minimum(place, len(found.index) - 1)])

    return extract


class ClusterPurity:
    """How well a method's pseudo-labels agree with the labels, where there are any.

    Purity: the share of records that have the most frequent label of their cluster. It is 1 with a
    cluster for every record, so compare it at one number of clusters.
    """

    def __init__(self, experiment: Experiment):
        self._method = experiment.method
        labels = np.asarray(experiment.train.labels)
        self._readable = np.asarray(experiment.train.drawable)
        self._labels = np.unique(labels[self._readable], return_inverse=True)[1]

    def __call__(self, epoch: int) -> Dict[str, float]:
        """The purity (fraction) after an epoch."""
        del epoch
        clusters = np.asarray(self._method.pseudo_labels)[self._readable]
        table = np.zeros([clusters.max() + 1, self._labels.max() + 1], np.int64)
        np.add.at(table, (clusters, self._labels), 1)
        return {"clusters/purity": float(table.max(axis=1).sum() / len(clusters))}


class CollapseGauge:
    """Feature standard deviation and effective rank on a fixed set of training records.

    Unit-length features in d dimensions that are spread evenly have a standard deviation of
    1/sqrt(d); a collapsed encoder has 0. The effective rank falls to 1 with it.
    """

    def __init__(self, experiment: Experiment):
        self._method = experiment.method
        self._source = experiment.train
        self._limit = experiment.config.training.gauge_records
        self._extract = Extractor(experiment)
        self._warned = False

    def __call__(self, epoch: int) -> Dict[str, float]:
        """The gauges after an epoch."""
        del epoch
        features = self._extract(
            self._method.evaluated_encoder, self._source, self._limit, with_labels=False
        ).features
        std, rank = float(ops.feature_std(features)), float(ops.effective_rank(features))
        even = 1 / math.sqrt(features.shape[1])
        if not self._warned and std < _COLLAPSED * even:
            self._warned = True
            logging.warning(
                "Features of different images hardly differ: their standard deviation is %.2g, "
                "evenly spread ones would have %.2g. The encoder has collapsed, or is about to. "
                "Levers: a lower learning rate, a longer warm-up, a slower teacher.",
                std,
                even,
            )
        return {"collapse/feature_std": std, "collapse/effective_rank": rank}


class OnlineKNN:
    """kNN accuracy on the test split every few epochs."""

    def __init__(self, experiment: Experiment, *, every: int):
        self._experiment = experiment
        self._every = every
        self._extract = Extractor(experiment)

    def __call__(self, epoch: int) -> Dict[str, float]:
        """The accuracy (fraction) after an epoch that is due, else nothing."""
        if epoch % self._every:
            return {}
        return {"eval/knn_top1": self._accuracy()}

    def _accuracy(self) -> float:
        encoder = self._experiment.method.evaluated_encoder
        limit = self._experiment.config.training.knn_records
        train = self._extract(encoder, self._experiment.train, limit)
        test = self._extract(encoder, self._experiment.test)
        arrays = (train.features, train.labels, test.features, test.labels)
        k = min(evaluation.EvaluationConfig.k, len(train.labels))
        return evaluation.knn(*arrays, k=k)["top1"]


class ChanceWatch:
    """Warns, once, when the loss stays at the level of a model that has learned nothing."""

    def __init__(self, chance: Optional[float]):
        self._chance = chance
        self._since: Optional[int] = None

    def see(self, step: int, loss: float) -> None:
        """Takes note of the mean loss at a step."""
        if self._chance is None or abs(loss - self._chance) > _NEAR * self._chance:
            self._since = None
            return
        self._since = step if self._since is None else self._since
        if step - self._since >= _PATIENCE:
            logging.warning(
                "Loss %.4f has been at its chance level %.4f for %d steps: nothing is learned. "
                "Levers: a lower teacher temperature, fewer prototypes, a longer frozen head, "
                "another learning rate.",
                loss,
                self._chance,
                step - self._since,
            )
            self._chance = None


def raw_pixels(images: tf.Tensor) -> tf.Tensor:
    """Pixels as features, images larger than 32 x 32 reduced to that: the baseline of kNN."""
    if images.shape[1] > 32:
        images = tf.image.resize(images, [32, 32], method="area")
    return evaluation.raw_pixels(images)
