"""Softmax regression by stochastic gradient descent: the classifier of the linear protocols."""

from typing import NamedTuple, Sequence

import numpy as np
import tensorflow as tf


class Classifier(NamedTuple):
    """A linear classifier and its momentum buffers, or their values.

    Attributes:
        kernel: `[dim, classes]` float32. bias: `[classes]` float32.
        kernel_buffer, bias_buffer: momentum of the same shapes.
    """

    kernel: tf.Tensor
    bias: tf.Tensor
    kernel_buffer: tf.Tensor
    bias_buffer: tf.Tensor


def start(dim: int, num_classes: int, seed: int) -> Classifier:
    """Kernel from N(0, 0.01), the standard deviation; bias and momentum 0. Seeded."""
    kernel = tf.random.stateless_normal([dim, num_classes], [seed, 0], stddev=0.01)
    bias = tf.zeros([num_classes])
    return Classifier(kernel, bias, tf.zeros_like(kernel), tf.zeros_like(bias))


def update(
    state: Classifier,
    features: tf.Tensor,
    labels: tf.Tensor,
    lr: tf.Tensor,
    momentum: float,
    weight_decay: float,
) -> tuple[Classifier, tf.Tensor]:
    """One step of SGD with PyTorch's momentum on the mean cross-entropy of a batch.

    The gradient is written out, because the loop over steps then needs no tape:
    `features^T (softmax(logits) - onehot) / batch`.

    Args:
        state: the classifier.
        features: `[batch, dim]` float32. labels: `[batch]` int64.
        lr: scalar learning rate, outside the momentum buffer.
        momentum: 0 <= momentum < 1.
        weight_decay: coupled, on the kernel and not on the bias.

    Returns:
        The new classifier, and the mean cross-entropy before the step in nats.
    """
    logits = tf.matmul(features, state.kernel) + state.bias
    log_probabilities = tf.nn.log_softmax(logits)
    target = tf.one_hot(labels, tf.shape(logits)[1])
    loss = -tf.reduce_mean(tf.reduce_sum(target * log_probabilities, axis=1))
    error = (tf.exp(log_probabilities) - target) / tf.cast(tf.shape(logits)[0], tf.float32)
    slope = tf.matmul(features, error, transpose_a=True) + weight_decay * state.kernel
    kernel_buffer = momentum * state.kernel_buffer + slope
    bias_buffer = momentum * state.bias_buffer + tf.reduce_sum(error, axis=0)
    kernel = state.kernel - lr * kernel_buffer
    bias = state.bias - lr * bias_buffer
    return Classifier(kernel, bias, kernel_buffer, bias_buffer), loss


@tf.function(reduce_retracing=True)
def fit(
    features: tf.Tensor,
    labels: tf.Tensor,
    state: Classifier,
    learning_rates: tf.Tensor,
    batch_size: tf.Tensor,
    momentum: tf.Tensor,
    weight_decay: tf.Tensor,
    seed: tf.Tensor,
) -> Classifier:
    """All epochs in one graph: each visits the rows in a new seeded order, in whole batches.

    Args:
        features: `[n, dim]` float32. labels: `[n]` int64.
        state: where to start.
        learning_rates: `[epochs]` float32, one an epoch.
        batch_size: int32 scalar <= n; the rows that do not fill a batch wait for another epoch.
        momentum, weight_decay: float32 scalars.
        seed: int32 scalar, of the orders.

    Returns:
        The classifier after the last step.
    """
    rows = tf.shape(features)[0]
    for epoch in tf.range(tf.size(learning_rates)):
        keys = tf.random.stateless_uniform([rows], tf.stack([seed, epoch + 1]))
        order = tf.argsort(keys, stable=True)
        for step in tf.range(rows // batch_size):
            chosen = order[step * batch_size : (step + 1) * batch_size]
            state, _ = update(
                state,
                tf.gather(features, chosen),
                tf.gather(labels, chosen),
                learning_rates[epoch],
                momentum,
                weight_decay,
            )
    return state


def scores(state: Classifier, features: np.ndarray) -> np.ndarray:
    """Logits `[n, classes]` of features `[n, dim]`."""
    return (tf.matmul(features, state.kernel) + state.bias).numpy()


def rates(
    learning_rate: float, epochs: int, milestones: Sequence[int], factor: float
) -> np.ndarray:
    """One learning rate an epoch: a cosine to 0, or times `factor` at each milestone.

    Args:
        learning_rate: rate of the first epoch.
        epochs: number of epochs E.
        milestones: epochs done when the rate drops; empty for
            `learning_rate 0.5 (1 + cos(pi e / E))`, e = 0, 1, ...
        factor: what multiplies the rate at a milestone.

    Returns:
        `[epochs]` float32.
    """
    epoch = np.arange(epochs)
    if milestones:
        passed = (epoch[:, None] >= np.asarray(milestones)[None, :]).sum(axis=1)
        return (learning_rate * np.power(float(factor), passed)).astype(np.float32)
    return (learning_rate * 0.5 * (1 + np.cos(np.pi * epoch / epochs))).astype(np.float32)
