"""AlexNets in NumPy, from their tables, as an independent reference in inference mode."""

import numpy as np

# Kernel, stride, padding of each convolution, and whether a 3x3 max pool of stride 2 follows.
TABLES = {
    "alexnet": (
        (11, 4, 2, True),
        (5, 1, 2, True),
        (3, 1, 1, False),
        (3, 1, 1, False),
        (3, 1, 1, True),
    ),
    "alexnet_small": tuple((3, 1, 1, pooled) for pooled in (True, True, False, False, True)),
}


def windows(x, size, stride=1):
    """`[batch, rows, columns, channels, size, size]` views of a batch of maps."""
    found = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
    return found[:, ::stride, ::stride]


def convolve(x, state, name, stride=1, padding=0):
    """Cross-correlation with the kernel `[out, in, height, width]` of a layer, and its bias."""
    kernel = state[f"{name}.weight"]
    edge = (padding, padding)
    x = np.pad(x, [(0, 0), edge, edge, (0, 0)])
    x = np.einsum("nyxcij,ocij->nyxo", windows(x, kernel.shape[2], stride), kernel, optimize=True)
    return x + state.get(f"{name}.bias", 0)


def normalise(x, state, name):
    """Normalisation by the moving statistics, then ReLU."""
    mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    x = (x - mean) / np.sqrt(variance + 1e-5)
    return np.maximum(x * state[f"{name}.weight"] + state[f"{name}.bias"], 0)


def connected(x, state):
    """fc6 and fc7 at every window of a map that fc6's kernel fits into."""
    maps = {}
    for index in (6, 7):
        x = normalise(convolve(x, state, f"fc{index}"), state, f"bn{index}")
        maps[f"fc{index}"] = x
    return maps


def convolved(images, state, name):
    """Maps of the convolutions by name of `[batch, height, width, channels]` images."""
    x, maps = images, {}
    for index, (_, stride, padding, pooled) in enumerate(TABLES[name], start=1):
        x = normalise(convolve(x, state, f"conv{index}", stride, padding), state, f"bn{index}")
        if pooled:
            x = windows(x, 3, 2).max(axis=(-2, -1))
        maps[f"conv{index}"] = x
    return maps


def forward(images, state, name):
    """All maps by name of `[batch, height, width, channels]` images."""
    maps = convolved(images, state, name)
    return {**maps, **connected(maps["conv5"], state)}


def randomise(state, rng):
    """Other weights and statistics of the same shapes, so that no term is trivially 0 or 1."""
    made = {}
    for name, value in state.items():
        if value.ndim == 4:
            made[name] = rng.normal(0, 1.4 * value[0].size ** -0.5, value.shape)
        elif name.endswith("running_var") or (name.startswith("bn") and name.endswith("weight")):
            made[name] = rng.uniform(0.5, 1.5, value.shape)
        else:
            made[name] = rng.uniform(-0.5, 0.5, value.shape)
    return made
