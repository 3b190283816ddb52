"""What the tests of MIRA's assignment share: the paper's quantities in NumPy float64."""

import math

import numpy as np
import tensorflow as tf

from tfssl import ops

TAU = 0.225


def enough(beta):
    """Iterations after which beta^n is below 1e-13."""
    return math.ceil(math.log(1e-13) / math.log(beta)) if beta else 1


def assign(z, beta, n=None, tau=TAU):
    n = enough(beta) if n is None else n
    return ops.mira_assignment(tf.constant(z), temperature=tau, beta=beta, num_iterations=n).numpy()


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def kl(a, b):
    return np.mean(np.sum(a * (np.log(a) - np.log(b)), axis=1))


def entropy(p):
    return -np.sum(p * np.log(p), axis=-1)


def information(w):
    return entropy(w.mean(axis=0)) - entropy(w).mean()


def objective(w, p, beta):
    """F of Eq. 1."""
    return kl(w, p) - beta * information(w)
