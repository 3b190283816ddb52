"""Optimizers of tensorflow-addons by name, imported only when one is asked for."""

import importlib
from typing import Any

import tensorflow as tf

NAMES = {"lamb": "LAMB", "novograd": "NovoGrad", "radam": "RectifiedAdam"}


def build_addon(
    name: str, learning_rate: Any, *, weight_decay: float, exclude_rank_below: int, **kwargs: Any
) -> tf.keras.optimizers.legacy.Optimizer:
    """An optimizer of tensorflow-addons.

    LAMB leaves variables of rank below `exclude_rank_below` out of decay and layer adaptation.
    The others cannot leave anything out.

    Args:
        name: `lamb`, `novograd` or `radam`.
        learning_rate: float, or a LearningRateSchedule.
        weight_decay: >= 0.
        exclude_rank_below: 0, 1 or 2.
        **kwargs: `beta_1`, `beta_2`, `epsilon`.

    Raises:
        ImportError: tensorflow-addons cannot be imported; the sentence says why and what to do.
        ValueError: decay that would have to leave out variables, where that is not possible.
    """
    try:
        optimizers = importlib.import_module("tensorflow_addons.optimizers")
    except Exception as error:  # On a newer TensorFlow the import itself fails in many ways.
        raise ImportError(
            f"optimizer {name} expects tensorflow-addons, which supports TensorFlow up to 2.15. "
            f"Received: TensorFlow {tf.__version__}, {type(error).__name__}: {error}. "
            "Remedy: --optimizer=lars or adamw, or Python 3.9-3.11 with TensorFlow 2.15 and "
            "pip install tensorflow-addons."
        ) from error
    kwargs.update(learning_rate=learning_rate, weight_decay=weight_decay)
    if name == "lamb":
        return _with_build(_by_rank(optimizers.LAMB, exclude_rank_below))(**kwargs)
    if weight_decay > 0 and exclude_rank_below > 0:
        raise ValueError(
            f"optimizer {name} decays every variable, expected exclude_rank_below=0 or "
            f"weight_decay=0. Received: exclude_rank_below={exclude_rank_below}, "
            f"weight_decay={weight_decay}."
        )
    return _with_build(getattr(optimizers, NAMES[name]))(**kwargs)


def _by_rank(lamb: type, exclude_rank_below: int) -> type:
    """LAMB that excludes by rank; the addon itself only knows patterns of names."""

    class RankedLAMB(lamb):
        def _do_use_weight_decay(self, variable):
            return variable.shape.rank >= exclude_rank_below

        def _do_layer_adaptation(self, variable):
            return variable.shape.rank >= exclude_rank_below

    return RankedLAMB


def _with_build(optimizer: type) -> type:
    """An addon with the `build(variables)` of today's Keras optimizers."""

    class Built(optimizer):
        def build(self, var_list):
            self._create_all_weights(list(var_list))

    return Built
