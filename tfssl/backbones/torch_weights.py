"""Weights in and out under torchvision's names: exact, as NumPy arrays, without PyTorch."""

from typing import Mapping, Sequence

import numpy as np
import tensorflow as tf

# Of a torchvision checkpoint: the classifier, and a counter that only a momentum of None reads.
_IGNORED_PREFIXES = ("fc.",)
_IGNORED_SUFFIXES = (".num_batches_tracked",)

# Keras' name of a variable within its layer, and PyTorch's.
_PARTS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def torch_state(backbone: tf.keras.Model) -> dict[str, np.ndarray]:
    """Returns the backbone's weights under torchvision's ResNet names.

    AlexNets have no such names; theirs are "conv1.weight", "bn1.weight" and so on to "bn7.bias",
    with `[out, in, height, width]` for "fc6.weight", which is `[out, -1]` as a linear layer there.

    Args:
        backbone: a model made by `tfssl.backbones.build`, or joined by `concatenate`: names then
            start with "view1.", "view2." and so on.

    Returns:
        Name to a new array of the variable's dtype. Convolution kernels are
        `[out, in / groups, height, width]`. There are no `num_batches_tracked` and no `fc`.
    """
    return {name: _to_torch(variable.numpy()) for name, variable in _variables(backbone).items()}


def load_torch_state(backbone: tf.keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Sets all weights of the backbone from arrays under torchvision's ResNet names.

    Everything is checked before the first weight is written.

    Args:
        backbone: a model made by `tfssl.backbones.build`.
        arrays: name to array, such as `{k: v.numpy() for k, v in module.state_dict().items()}`.
            `fc.*` and `*.num_batches_tracked` are ignored.

    Raises:
        ValueError: names are missing or unexpected, or shapes differ.
    """
    variables = _variables(backbone)
    given = {name: np.asarray(array) for name, array in arrays.items() if not _is_ignored(name)}
    missing = [name for name in variables if name not in given]
    unexpected = [name for name in given if name not in variables]
    mismatched = [
        f"{name} {given[name].shape}, expected {_torch_shape(variable)}"
        for name, variable in variables.items()
        if name in given and given[name].shape != _torch_shape(variable)
    ]
    problems = [
        _listing(title, names)
        for title, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", mismatched),
        )
        if names
    ]
    if problems:
        raise ValueError(
            f"arrays: expected the {len(variables)} arrays of {backbone.name} under torchvision's "
            f"names. Received: {'; '.join(problems)}."
        )
    for name, variable in variables.items():
        array = given[name]
        variable.assign(np.transpose(array, (2, 3, 1, 0)) if array.ndim == 4 else array)


def _variables(backbone: tf.keras.Model, prefix: str = "") -> dict[str, tf.Variable]:
    """The backbone's variables by torchvision's name, in the order of its layers."""
    variables = {}
    for layer in backbone.layers:
        name = f"{prefix}{layer.name}."
        if isinstance(layer, tf.keras.Model):
            variables.update(_variables(layer, name))
            continue
        for variable in layer.weights:
            part = variable.name.rsplit("/", 1)[-1].split(":")[0]
            variables[f"{name}{_PARTS[part]}"] = variable
    return variables


def _to_torch(array: np.ndarray) -> np.ndarray:
    """A `[height, width, in, out]` kernel as `[out, in, height, width]`; vectors unchanged."""
    return np.ascontiguousarray(np.transpose(array, (3, 2, 0, 1))) if array.ndim == 4 else array


def _torch_shape(variable: tf.Variable) -> tuple[int, ...]:
    """The shape that `_to_torch` gives."""
    shape = tuple(variable.shape)
    return (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else shape


def _is_ignored(name: str) -> bool:
    return name.startswith(_IGNORED_PREFIXES) or name.endswith(_IGNORED_SUFFIXES)


def _listing(title: str, names: Sequence[str], limit: int = 3) -> str:
    """A count and the first few names."""
    rest = ", ..." if len(names) > limit else ""
    return f"{len(names)} {title} ({', '.join(names[:limit])}{rest})"
