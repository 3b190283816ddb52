"""Softmax regression by stochastic gradient descent: the classifier of the linear protocols."""

from typing import Iterator, NamedTuple, Sequence

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


def epochs(
    features: tf.Tensor,
    labels: tf.Tensor,
    state: Classifier,
    learning_rates: Sequence[float],
    batch_size: int,
    momentum: float,
    weight_decay: float,
    seed: int,
) -> Iterator[Classifier]:
    """The classifier after every epoch; each visits the rows in a new seeded order.

    Args:
        features: `[n, dim]` float32. labels: `[n]` int64.
        state: where to start.
        learning_rates: one an epoch.
        batch_size: <= n; the rows that do not fill a batch wait for another epoch.
        momentum: 0 <= momentum < 1. weight_decay: >= 0, on the kernel.
        seed: of the orders.
    """
    settings = tf.constant(batch_size), tf.constant(momentum), tf.constant(weight_decay)
    for epoch, rate in enumerate(learning_rates):
        order_seed = tf.constant([seed, epoch + 1])
        state = _epoch(features, labels, state, tf.constant(rate), *settings, order_seed)
        yield state


@tf.function(reduce_retracing=True)
def _epoch(features, labels, state, rate, batch_size, momentum, weight_decay, order_seed):
    """All steps of an epoch in one graph."""
    rows = tf.shape(features)[0]
    order = tf.argsort(tf.random.stateless_uniform([rows], order_seed), stable=True)
    for step in tf.range(rows // batch_size):
        chosen = order[step * batch_size : (step + 1) * batch_size]
        chosen_features, chosen_labels = tf.gather(features, chosen), tf.gather(labels, chosen)
        state, _ = update(state, chosen_features, chosen_labels, rate, momentum, weight_decay)
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
