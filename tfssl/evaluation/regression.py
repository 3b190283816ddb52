"""Points told from frozen features by a linear map."""

from typing import Any, Dict

import numpy as np

from tfssl.evaluation.checks import check_features


def regression(
    train_features: Any,
    train_targets: Any,
    test_features: Any,
    test_targets: Any,
    *,
    ridge: float = 1e-6,
) -> Dict[str, Any]:
    """Mean Euclidean distance of a linear prediction, fitted to the mean squared error.

    The minimum is solved for and not approached in steps: there is nothing to tune. Features are
    brought to mean 0 and deviation 1 first; those that never change say nothing.

    Args:
        train_features: `[n, dim]` finite numbers.
        train_targets: `[n, t]` finite numbers.
        test_features: `[m, dim]`. test_targets: `[m, t]`.
        ridge: added to the diagonal of the features' correlations, > 0; so small that it only
            decides where features are linear combinations of others.

    Returns:
        `{"protocol": "linear", "mean_distance", "mean_squared_error", "explained", ...}`: the mean
        length of the errors on test rows in the targets' unit, the mean of their squares over the
        t numbers, and the share of the test targets' variance that is explained; and every setting.

    Raises:
        ValueError: arrays that do not fit, or a ridge out of range.

    Reference:
        The position read-out of InfoMin's Moving-MNIST, Tian et al. 2020, arXiv 2005.10243.
    """
    train, test = (
        (check_features(f"{name}_features", x), check_features(f"{name}_targets", y))
        for name, x, y in (
            ("train", train_features, train_targets),
            ("test", test_features, test_targets),
        )
    )
    for features, targets in (train, test):
        if len(features) != len(targets):
            raise ValueError(
                "expected a row of targets for each row of features. Received: "
                f"features.shape={features.shape}, targets.shape={targets.shape}."
            )
    if [x.shape[1] for x in train] != [x.shape[1] for x in test]:
        raise ValueError(
            "expected training and test rows of the same width. Received: "
            f"{[x.shape for x in (*train, *test)]}."
        )
    if not 0 < ridge < np.inf:
        raise ValueError(f"ridge: expected a number > 0. Received: {ridge}.")
    # Here, because most runs do without: it takes most of a second to import.
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    features, targets = (x.astype(np.float64) for x in train)
    scaler = StandardScaler().fit(features)
    # It adds the number to a sum over rows, not to their mean.
    line = Ridge(alpha=ridge * len(features)).fit(scaler.transform(features), targets)
    told = line.predict(scaler.transform(test[0].astype(np.float64)))
    return {
        "protocol": "linear",
        **distance_figures(told.reshape(len(told), -1), test[1]),
        "ridge": float(ridge),
        "num_train": len(features),
        "num_test": len(test[1]),
        "num_targets": targets.shape[1],
        "dim": features.shape[1],
    }


def distance_figures(told: np.ndarray, targets: np.ndarray) -> Dict[str, Any]:
    """How far points `[m, t]` are from their targets; "explained" is None of equal targets."""
    targets = targets.astype(np.float64)
    squares = np.square(told - targets).sum(axis=1)
    variance = np.square(targets - targets.mean(axis=0)).sum(axis=1).mean()
    return {
        "mean_distance": float(np.sqrt(squares).mean()),
        "mean_squared_error": float(squares.mean() / targets.shape[1]),
        "explained": float(1 - squares.mean() / variance) if variance > 0 else None,
    }
