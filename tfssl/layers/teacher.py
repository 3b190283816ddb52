"""Teacher: a second copy of a network that follows it as an exponential moving average."""

import itertools
from typing import Callable, Optional, Union

import tensorflow as tf


class Teacher(tf.keras.layers.Layer):
    """Exponential moving average of an online network, run in training mode without gradient.

    Only parameters are averaged (kernels, biases, gamma and beta). The moving statistics of batch
    normalisation start equal and then belong to the copy: they follow from its own forwards (MIRA,
    Lee et al. 2022, arXiv 2211.02284; BYOL, Grill et al. 2020, arXiv 2006.07733; MoCo, He et al.
    2020, arXiv 1911.05722).

    The copy's layers stay trainable, because Keras runs a batch normalisation that is not in
    inference mode. What keeps an optimizer away is that a teacher lists no `trainable_weights`.

    Args:
        build: makes a second, built network of the same structure.
        online: the built network to follow. The teacher refers to it, but does not own it: its
            weights are not among the teacher's.
        name: the layer's name.

    Attributes:
        network: the copy, for evaluation and export.

    Raises:
        ValueError: a network is not built yet, `build` returned the online network itself, or
            the two differ in the number, names or shapes of their weights.
    """

    def __init__(
        self,
        build: Callable[[], tf.keras.layers.Layer],
        online: tf.keras.layers.Layer,
        *,
        name: Optional[str] = None,
    ):
        """Makes the copy and sets its weights to those of `online`."""
        super().__init__(name=name)
        self.network = build()
        # Behind a function Keras does not track the online network a second time.
        self._online = lambda: online
        _check_same_structure(self.network, online)
        self.network.set_weights(online.get_weights())

    @property
    def trainable_weights(self) -> list[tf.Variable]:
        """Empty: no optimizer may touch a teacher."""
        return []

    @property
    def non_trainable_weights(self) -> list[tf.Variable]:
        """All variables of the copy."""
        return self.network.weights

    def call(self, inputs: tf.Tensor, training: bool = True) -> tf.Tensor:
        """Runs the copy and stops gradients.

        Args:
            inputs: what the network takes.
            training: whether batch normalisation uses the batch and updates its moving statistics.
                True inside a training step, unlike for most frozen networks.

        Returns:
            The network's outputs, without gradient.
        """
        return tf.nest.map_structure(tf.stop_gradient, self.network(inputs, training=training))

    def update(self, momentum: Union[float, tf.Tensor]) -> None:
        """Moves every parameter e towards the online parameter o: e <- m e + (1 - m) o.

        The arithmetic is at least float32. With m = 1 nothing changes, with m = 0 the teacher
        becomes the online network. Call it outside of `call`: in replica context every replica
        makes the same update of its own copy, without communication.

        Args:
            momentum: m in [0, 1], a number or a scalar tensor.

        Raises:
            ValueError: `momentum` is outside [0, 1] (the value of a symbolic tensor cannot be
                checked here), or a mixed policy is casting variables down.
        """
        _check_momentum(momentum)
        for average, parameter in zip(
            self.network.trainable_weights, self._online().trainable_weights
        ):
            _check_read_as_stored(average)
            dtype = tf.float64 if average.dtype == tf.float64 else tf.float32
            # A Python number is converted once: by way of float32, 0.99 would not be 0.99.
            m = tf.cast(momentum, dtype) if tf.is_tensor(momentum) else tf.constant(momentum, dtype)
            mean = m * tf.cast(average, dtype) + (1 - m) * tf.cast(parameter, dtype)
            average.assign(tf.cast(mean, average.dtype))


def _check_read_as_stored(variable: tf.Variable) -> None:
    """Raises ValueError where a mixed policy is casting the values of variables down."""
    # Keras' own variables know both dtypes; only some versions mean the stored one by `dtype`.
    stored = getattr(variable, "true_dtype", variable.dtype)
    read = tf.convert_to_tensor(variable).dtype
    if read != stored:
        raise ValueError(
            "update: expected a call from outside of Keras' `call`, within which a mixed policy "
            f"reads variables in half precision. Received: {variable.name}, stored as "
            f"{stored.name} and read as {read.name}."
        )


def _check_momentum(momentum: Union[float, tf.Tensor]) -> None:
    """Raises ValueError unless `momentum` is a scalar in [0, 1], as far as that is known."""
    tensor = tf.convert_to_tensor(momentum)
    value = tf.get_static_value(tensor)
    if tensor.shape.rank not in (0, None) or (value is not None and not 0 <= value <= 1):
        raise ValueError(f"momentum: expected a scalar in [0, 1]. Received: momentum={momentum!r}.")


def _check_same_structure(network: tf.keras.layers.Layer, online: tf.keras.layers.Layer) -> None:
    """Raises ValueError unless both networks have weights of equal names and shapes, in order."""
    if network is online:
        raise ValueError("build: expected a second network. Received: the online network itself.")
    for label, candidate in (("build", network), ("online", online)):
        if not candidate.built:
            raise ValueError(
                f"{label}: expected a built network. Received: {candidate.name!r}, which has no "
                "weights yet."
            )
    for kind in ("trainable_weights", "non_trainable_weights"):
        ours = [_signature(variable) for variable in getattr(network, kind)]
        theirs = [_signature(variable) for variable in getattr(online, kind)]
        if ours != theirs:
            first = next((a, b) for a, b in itertools.zip_longest(ours, theirs) if a != b)
            raise ValueError(
                "build: expected a network with the weights of the online network. Received: "
                f"{len(ours)} instead of {len(theirs)} {kind}, first difference {first[0]} instead "
                f"of {first[1]}."
            )


def _signature(variable: tf.Variable) -> str:
    """Name within its layer, and shape; a layer's own name may carry a running number."""
    return variable.name.rsplit("/", 1)[-1].split(":")[0] + str(tuple(variable.shape))
