"""A network trained end to end on labels or targets: what linear read-outs are compared with."""

from typing import Any, Dict

import numpy as np
import tensorflow as tf

from tfssl.evaluation.accuracy import top_accuracies
from tfssl.evaluation.features import extract
from tfssl.evaluation.regression import distance_figures


def supervised(
    encoder: tf.keras.Model,
    train: tf.data.Dataset,
    test: tf.data.Dataset,
    *,
    train_answers: np.ndarray,
    test_answers: np.ndarray,
    learning_rate: float = 1e-3,
    seed: int = 0,
) -> Dict[str, Any]:
    """Trains an encoder with a linear layer behind it, and judges it after the last step.

    Adam, with a cosine of the steps to 0. Classes are told by a softmax and its cross-entropy,
    points by the mean squared error in units of their deviations.

    Args:
        encoder: a fresh backbone, images -> `[batch, dim]`; it is trained.
        train: all batches of all epochs, `{"views": (images,), "index", ...}`, of known number.
        test: the same, each record once; rows whose "mask" is False are padding.
        train_answers: by record index `[N]` integers, classes, or `[N, t]` floats, points.
        test_answers: the same of the test records.
        learning_rate: Adam's first, > 0.
        seed: of the last layer's weights.

    Returns:
        `{"protocol": "supervised", ...}` with "top1" and "top5", fractions, or with the distances
        of `regression`; and every setting.

    Raises:
        ValueError: a learning rate out of range.
    """
    if not 0 < learning_rate < np.inf:
        raise ValueError(f"expected learning_rate > 0. Received: learning_rate={learning_rate}.")
    classes, steps = train_answers.ndim == 1, int(train.cardinality())
    middle, spread = np.zeros(1), np.ones(1)
    if classes:
        outputs = 1 + int(max(train_answers.max(), test_answers.max()))
        answers = tf.constant(train_answers, tf.int64)
        loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    else:
        outputs = train_answers.shape[1]
        middle, spread = train_answers.mean(axis=0), np.maximum(train_answers.std(axis=0), 1e-6)
        answers = tf.constant((train_answers - middle) / spread, tf.float32)
        loss = tf.keras.losses.MeanSquaredError()
    uniform = tf.keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform", seed)
    head = tf.keras.layers.Dense(outputs, kernel_initializer=uniform, dtype="float32")
    model = tf.keras.Sequential([encoder, head])
    rate = tf.keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    model.compile(tf.keras.optimizers.Adam(rate), loss)
    model.fit(train.map(lambda b: (b["views"][0], tf.gather(answers, b["index"]))), verbose=0)
    found = extract(model, test)
    told = found.features * spread + middle
    wanted = test_answers[found.index]
    figures = top_accuracies(told, wanted) if classes else distance_figures(told, wanted)
    return {
        "protocol": "supervised",
        **figures,
        "lr": float(learning_rate),
        "steps": steps,
        "seed": int(seed),
        "num_test": len(wanted),
    }
