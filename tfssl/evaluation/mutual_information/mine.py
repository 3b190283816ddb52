"""MINE: the mutual information of two views, by a critic that is trained for it."""

import itertools
import math
from typing import Any, Optional

import numpy as np
import tensorflow as tf
from absl import logging

from tfssl import ops
from tfssl.evaluation.mutual_information.donsker_varadhan import DonskerVaradhan
from tfssl.evaluation.mutual_information.mine_critic import MineCritic
from tfssl.evaluation.mutual_information.mine_steps import (
    CHUNK,
    Bounds,
    array_steps,
    batch_steps,
    contrast,
)
from tfssl.evaluation.mutual_information.paired_views import (
    Batches,
    Pair,
    endless,
    epoch_of,
    paired_views,
    split_pairs,
    whole_batches,
)

# What the split of the rows is keyed by, apart from the seed.
_SPLIT = 0
# Adam's epsilon, as in PyTorch; Keras has 1e-7.
_EPSILON = 1e-8
# Nats by which the training bound may fall before a warning.
_STABLE = 0.5


def mine(
    first: Any,
    second: Any,
    *,
    critic: str = "vector",
    steps: int = 50_000,
    average_steps: Optional[int] = None,
    batch_size: int = 256,
    learning_rate: float = 1e-4,
    ema_rate: float = 0.01,
    clip: float = 20.0,
    width: float = 1.0,
    held_out: float = 0.1,
    num_negatives: int = 127,
    seed: int = 0,
) -> dict[str, Any]:
    """Mutual information I(v1; v2) of paired views, by the Donsker-Varadhan bound.

    A critic T is trained by Adam on a part of the rows to raise E_joint[T] - log E_marginal[exp T].
    The estimate is the mean of that bound over held-out batches, one in each of the last steps.
    Marginal pairs follow a random cycle through the rows of a batch, so that none is a joint pair.

    Args:
        first: `[n, ...]` finite numbers, of a shape that the critic takes; uint8 images are divided
            by 255. Views of about unit size suit it.
        second: `[n, ...]`, row i of the same scene as row i of `first`; width, size and channels
            may differ.
        critic: "vector", "images" or "patches", see `MineCritic`.
        steps: >= 1.
        average_steps: 1..steps, the last steps over which the estimate is the mean. None: a tenth.
        batch_size: >= 2, rows a step; a smaller part is one batch. Each epoch is a new order, and
            rows that do not fill a batch wait for another one.
        learning_rate: > 0, constant.
        ema_rate: in (0, 1], see `DonskerVaradhan`.
        clip: in (0, 80], the largest size of T.
        width: > 0, multiplies the critic's filters and hidden units.
        held_out: in (0, 1), the part of the rows that is not trained on, at least two. Rows are
            split one by one: where several come from one image, `mine_batches` can split images.
        num_negatives: k >= 1 of the second estimate, at most one fewer than a held-out batch has.
        seed: >= 0, of the weights and of every draw: the same call gives the same bits.

    Returns:
        `{"protocol": "mine", "estimate", "train_estimate", "info_nce", "history", ...}`, all in
        nats. `train_estimate` is the mean over the batches that trained in the same steps: far
        above `estimate`, the critic knows its rows by heart. `info_nce` is `info_nce_bound` of T
        on up to 16 held-out batches. `history` has the mean training bound of each 1000 steps:
        where it still rises, more steps are needed. `fallen` is the largest fall of that bound
        from a tenth of the steps to a later one; above half a nat a warning is logged, because
        training is unstable and the estimate says little. The rest is every setting.

    Raises:
        ValueError: arrays that do not fit, a setting out of range, or a bound that is not finite.

    Notes:
        The logarithm of a batch mean is below that of the expectation on average, so the estimate
        is above the critic's bound by about var(exp T) / (2 batch E[exp T]^2): 0.01 nats for a
        Gaussian pair of 0.83 nats and 256 rows. It grows fast with the information, and no
        estimator of this kind can vouch for more than about the logarithm of the number of rows
        (McAllester and Stratos 2018, arXiv 1811.04251): a large value says only that it is large.

    Reference:
        Belghazi et al. 2018, arXiv 1801.04062; for Fig. 5 of CMC, Tian, Krishnan, Isola 2019,
        arXiv 1906.05849.
    """
    recipe = _recipe(
        critic, steps, average_steps, learning_rate, ema_rate, clip, width, num_negatives, seed
    )
    if not (batch_size >= 2 and 0 < held_out < 1):
        raise ValueError(
            "expected batch_size >= 2 and held_out in (0, 1). "
            f"Received: batch_size={batch_size}, held_out={held_out}."
        )
    key = ops.fold_key(seed, _SPLIT)
    train, test = split_pairs(paired_views(first, second), held_out, key)
    estimator = _estimator(train, recipe)
    bounds = array_steps(
        estimator,
        train,
        test,
        steps=recipe["steps"],
        average_steps=recipe["average_steps"],
        batch_size=batch_size,
        seed=seed,
    )
    tests = whole_batches(test, batch_size)
    return {
        "protocol": "mine",
        **_found(bounds, recipe["average_steps"]),
        "info_nce": contrast(estimator, tests, num_negatives, seed),
        **recipe,
        "batch_size": int(min(batch_size, len(train.first))),
        "held_out_batch_size": int(min(batch_size, len(test.first))),
        "held_out": float(held_out),
        "num_train": len(train.first),
        "num_held_out": len(test.first),
        "first_shape": train.shapes[0],
        "second_shape": train.shapes[1],
    }


def mine_batches(
    train_batches: Batches,
    held_out_batches: Batches,
    *,
    critic: str = "vector",
    steps: int = 50_000,
    average_steps: Optional[int] = None,
    learning_rate: float = 1e-4,
    ema_rate: float = 0.01,
    clip: float = 20.0,
    width: float = 1.0,
    num_negatives: int = 127,
    seed: int = 0,
) -> dict[str, Any]:
    """`mine` of views that are drawn anew, such as random crops: batches instead of arrays.

    Args:
        train_batches: epoch number 0, 1, ... -> batches `{"views": (first, second), "mask"?}` of
            that epoch, at least two rows each. Rows whose mask is False are padding, and a batch
            in which it leaves fewer than two is passed over. Every other batch is one step; when
            an epoch ends the next begins.
        held_out_batches: the same, of other images. Its epoch 0 also gives the batches of
            `info_nce`, those with more than k rows.
        critic, steps, average_steps, learning_rate, ema_rate, clip, width, num_negatives, seed: as
            for `mine`. The seed does not reach the batches.

    Returns:
        `{"protocol": "mine_batches", ...}` as `mine`; `batch_size` is the first batch's.

    Raises:
        ValueError: an epoch without batches, a batch that does not fit, a setting out of range, or
            a bound that is not finite.

    Notes:
        One call a step from Python, where `mine` makes 1000.
    """
    recipe = _recipe(
        critic, steps, average_steps, learning_rate, ema_rate, clip, width, num_negatives, seed
    )
    train = endless(train_batches, "train_batches")
    example = next(train)
    estimator = _estimator(example, recipe)
    bounds = batch_steps(
        estimator,
        itertools.chain([example], train),
        endless(held_out_batches, "held_out_batches", example),
        steps=recipe["steps"],
        average_steps=recipe["average_steps"],
        seed=seed,
    )
    tests = epoch_of(held_out_batches, 0, "held_out_batches", example)
    return {
        "protocol": "mine_batches",
        **_found(bounds, recipe["average_steps"]),
        "info_nce": contrast(estimator, tests, num_negatives, seed),
        **recipe,
        "batch_size": len(example.first),
        "first_shape": example.shapes[0],
        "second_shape": example.shapes[1],
    }


def _recipe(
    critic, steps, average_steps, learning_rate, ema_rate, clip, width, num_negatives, seed
) -> dict[str, Any]:
    """The settings as they are reported; raises ValueError on those that no class checks."""
    average_steps = max(1, steps // 10) if average_steps is None else average_steps
    rules = {
        "steps": (steps >= 1, ">= 1", steps),
        "average_steps": (1 <= average_steps <= steps, f"1..{steps}", average_steps),
        "learning_rate": (
            math.isfinite(learning_rate) and learning_rate > 0,
            "> 0",
            learning_rate,
        ),
        "num_negatives": (num_negatives >= 1, ">= 1", num_negatives),
        "seed": (seed >= 0, ">= 0", seed),
    }
    for name, (right, words, value) in rules.items():
        if not right:
            raise ValueError(f"expected {name} {words}. Received: {name}={value}.")
    return {
        "critic": critic,
        "steps": int(steps),
        "average_steps": int(average_steps),
        "optimizer": "adam",
        "learning_rate": float(learning_rate),
        "ema_rate": float(ema_rate),
        "clip": float(clip),
        "width": float(width),
        "marginal": "a random cycle through the batch",
        "seed": int(seed),
    }


def _estimator(pair: Pair, recipe: dict[str, Any]) -> DonskerVaradhan:
    """A new critic for views like these, and what trains it."""
    critic = MineCritic(recipe["critic"], *pair.shapes, width=recipe["width"], seed=recipe["seed"])
    optimizer = tf.keras.optimizers.Adam(recipe["learning_rate"], epsilon=_EPSILON)
    return DonskerVaradhan(critic, optimizer, ema_rate=recipe["ema_rate"], clip=recipe["clip"])


def _found(bounds: Bounds, average_steps: int) -> dict[str, Any]:
    """The figures of a run."""
    train = bounds.train.astype(np.float64)
    starts = range(0, len(train), CHUNK)
    tenths = np.array([part.mean() for part in np.array_split(train, min(10, len(train)))])
    fallen = float(np.max(np.maximum.accumulate(tenths) - tenths))
    if fallen > _STABLE:
        logging.warning(
            "MINE: the training bound fell by %.2f nats on the way, so the estimate says little. "
            "Remedy: a lower learning rate.",
            fallen,
        )
    return {
        "estimate": float(bounds.held_out.mean(dtype=np.float64)),
        "train_estimate": float(train[-average_steps:].mean()),
        "history": [float(train[start : start + CHUNK].mean()) for start in starts],
        "fallen": fallen,
    }
