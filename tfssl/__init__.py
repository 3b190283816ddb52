"""tfssl: self-supervised visual representation learning in TensorFlow and Keras.

Importing this package chooses the Keras the library is written for, Keras 2: the `tf.keras` inside
TensorFlow 2.15, or `tf-keras` (through `TF_USE_LEGACY_KERAS`) beside TensorFlow 2.16 and newer.
Everything else in the library says `tf.keras` and never imports Keras by another name.
"""

import importlib.metadata
import os
import sys

__version__ = "0.1.0"


def _version(distribution: str) -> tuple:
    """`(major, minor)` of an installed distribution, or None where it is not installed."""
    try:
        text = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    return tuple(int(part) for part in text.split(".")[:2])


def _select_keras() -> None:
    """Sets TF_USE_LEGACY_KERAS where TensorFlow would otherwise bring Keras 3.

    Raises:
        ImportError: TensorFlow or tf-keras is missing, their minor versions differ, or TensorFlow
            was imported with Keras 3 before tfssl could choose.
    """
    tensorflow = next(
        filter(None, map(_version, ("tensorflow", "tensorflow-cpu", "tf-nightly"))), None
    )
    if tensorflow is None:
        raise ImportError("tfssl needs TensorFlow. Remedy: pip install -e . in the repository.")
    if tensorflow < (2, 16):
        return
    tf_keras = _version("tf-keras")
    if tf_keras != tensorflow:
        found = "none" if tf_keras is None else ".".join(map(str, tf_keras))
        wanted = ".".join(map(str, tensorflow))
        raise ImportError(
            f"tfssl expects tf-keras {wanted} beside TensorFlow {wanted}. "
            f"Received: tf-keras={found}. Remedy: pip install 'tf-keras=={wanted}.*'."
        )
    # TensorFlow decides on first use of tf.keras, which may be long after its import.
    tf_module = sys.modules.get("tensorflow")
    if os.environ.get("TF_USE_LEGACY_KERAS") not in ("1", "true", "True"):
        if tf_module is not None and getattr(tf_module.keras, "__version__", "2").startswith("3"):
            raise ImportError(
                "tfssl expects Keras 2 behind tf.keras. Received: TensorFlow was imported with "
                "Keras 3 first. Remedy: import tfssl before tensorflow, or set "
                "TF_USE_LEGACY_KERAS=1 in the environment."
            )
        os.environ["TF_USE_LEGACY_KERAS"] = "1"


_select_keras()
