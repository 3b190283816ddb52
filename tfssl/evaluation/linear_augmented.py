"""Linear classification of a frozen encoder whose training images are augmented anew each epoch."""

from typing import Any, Callable, Iterable, Sequence

import numpy as np
import tensorflow as tf

from tfssl.evaluation import softmax_regression
from tfssl.evaluation.accuracy import last_and_best, top_accuracies
from tfssl.evaluation.checks import check_features, check_labels
from tfssl.evaluation.features import extract, traced
from tfssl.evaluation.linear import check_recipe, rates_of

Batches = Iterable[dict[str, Any]]


def linear_augmented(
    features: Callable[[tf.Tensor], tf.Tensor],
    train_batches: Callable[[int], Batches],
    test_batches: Batches,
    *,
    num_classes: int,
    learning_rate: float = 0.3,
    epochs: int = 100,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    milestones: Sequence[int] = (),
    decay_factor: float = 0.1,
    seed: int = 0,
) -> dict[str, Any]:
    """Accuracy of softmax regression trained on augmented images, after the last epoch.

    The published ImageNet protocol: random resized crops of area (0.08, 1) and flips in training,
    the centre crop in the test; which crops is up to `train_batches`. The encoder only computes:
    a Keras model is called with `training=False`, and no gradient is taken through it, so its
    weights and normalisation statistics stay as they are.

    Args:
        features: images `[batch, height, width, channels]` -> `[batch, dim]`.
        train_batches: epoch number 0, 1, ... -> batches `{"views": (images,), "label", "mask"?}`
            of that epoch, shuffled and augmented. Every batch is one step.
        test_batches: as `extract` takes them, with labels.
        num_classes: number of classes.
        learning_rate: final, at the batch size that `train_batches` has.
        epochs: >= 1.
        momentum: 0 <= momentum < 1.
        weight_decay: >= 0, coupled, on the kernel only.
        milestones: epochs done when the rate drops by `decay_factor`; empty for a cosine to 0.
        decay_factor: > 0, read with milestones only.
        seed: of the kernel.

    Returns:
        `{"protocol": "linear_augmented", "top1", "top5", ...}` with accuracies as fractions, those
        of the best epoch beside those of the last (`last_and_best`), and every setting.

    Raises:
        ValueError: labels missing or out of range, features that are not finite, an epoch without
            batches, or a setting out of range.
    """
    recipe = {
        "epochs": int(epochs),
        "momentum": float(momentum),
        "weight_decay": float(weight_decay),
        "milestones": [int(m) for m in milestones],
        "decay_factor": float(decay_factor) if milestones else None,
        "seed": int(seed),
    }
    check_recipe([learning_rate], {**recipe, "batch_size": 1})
    test = extract(features, test_batches)
    test_features = check_features("test_features", test.features)
    test_labels = check_labels("test_labels", test.labels, len(test_features))
    _check_below(num_classes, "test_labels", test_labels)
    state = softmax_regression.start(test_features.shape[1], num_classes, seed)
    trainer = _Trainer(features, state, momentum, weight_decay, num_classes)
    accuracies, test_rows = [], tf.constant(test_features)
    for epoch, rate in enumerate(rates_of(learning_rate, recipe)):
        steps = sum(trainer.step(batch, rate) for batch in train_batches(epoch))
        if not steps:
            raise ValueError(f"expected batches in every epoch. Received: none in epoch {epoch}.")
        scores = softmax_regression.scores(trainer.state, test_rows)
        accuracies.append(top_accuracies(scores, test_labels))
    return {
        "protocol": "linear_augmented",
        **last_and_best(accuracies),
        "lr": float(learning_rate),
        "schedule": "milestones" if milestones else "cosine, one rate an epoch",
        **recipe,
        "batch_size": trainer.batch_size,
        "steps": trainer.steps,
        "num_test": len(test_labels),
        "num_classes": int(num_classes),
        "dim": test_features.shape[1],
    }


class _Trainer:
    """The classifier in training: one traced function for the encoder, one for the update."""

    def __init__(self, features, state, momentum: float, weight_decay: float, num_classes: int):
        self.state = state
        self.steps = 0
        self.batch_size = 0
        self._features = features
        self._encode = None
        self._num_classes = num_classes

        @tf.function(reduce_retracing=True, autograph=False)
        def update(state, rows, labels, rate):
            return softmax_regression.update(state, rows, labels, rate, momentum, weight_decay)

        self._update = update

    def step(self, batch: dict[str, Any], rate: float) -> int:
        """One step on a batch; returns the number of steps made, 0 where all rows are padding."""
        images = batch["views"][0]
        self._encode = self._encode or traced(self._features, images)
        rows, labels = self._encode(images).numpy(), batch.get("label")
        if "mask" in batch and labels is not None:
            keep = np.asarray(batch["mask"], bool)
            if not keep.any():
                return 0
            rows, labels = rows[keep], np.asarray(labels)[keep]
        labels = check_labels("label", labels, len(rows))
        _check_below(self._num_classes, "label", labels)
        rows = tf.constant(check_features("train_features", rows))
        self.state, _ = self._update(self.state, rows, tf.constant(labels), tf.constant(rate))
        self.batch_size = max(self.batch_size, len(labels))
        self.steps += 1
        return 1


def _check_below(num_classes: int, name: str, labels: np.ndarray) -> None:
    """Raises ValueError where a label is not a class."""
    if labels.max() >= num_classes:
        raise ValueError(
            f"expected {name} below num_classes. Received: a label of {labels.max()}, "
            f"num_classes={num_classes}."
        )
