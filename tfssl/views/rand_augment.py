"""RandAugment: a few operations, drawn from a list for each image, of about one magnitude."""

from typing import Any, Sequence

import tensorflow as tf

from tfssl.views.affine import Coefficients, transform_levels
from tfssl.views.layer import ViewLayer
from tfssl.views.levels import from_levels, rounded_quotient, to_levels
from tfssl.views.rand_augment_operations import (
    AFFINE_OPERATIONS,
    CMC_OPERATIONS,
    POINT_OPERATIONS,
)

# The largest magnitude.
_FULL = 10.0

# Draws of one operation: whether it is applied, which it is, magnitude, sign, interpolation.
_DRAWS = 5


class RandAugment(ViewLayer):
    """Applies operations that are drawn for each image, one after the other.

    Each operation is drawn from the list alone, so that the same can come twice, and is left out
    at random. Its magnitude is normally distributed and clipped to [0, 10]. Rotations, shears and
    translations go either way and are interpolated bilinearly or bicubically, with equal chances.
    The defaults are those of CMC, timm's "rand-n2-m10-mstd0.5" without operations on colour.

    At magnitude m, with s = m / 10:

    * Rotate: by 30 s degrees. ShearX, ShearY: by 0.3 s pixels for each line. TranslateXRel,
      TranslateYRel: by 0.45 s of the width or height. What comes into view has the fill colour.
    * Brightness, Color, Contrast, Sharpness: enhanced by the factor 0.1 + 1.8 s.
    * Posterize: the int(4 s) highest of 8 bits are kept. Solarize: levels of at least int(256 s)
      are inverted, so none at s = 1. SolarizeAdd: int(110 s) is added to the levels below 128.
    * AutoContrast, Equalize, Identity, Invert: do not depend on m.

    Notes:
        Images are rounded to whole levels of 8 bits before an operation, and operations are
        Pillow's to the bit. Only the operation that was drawn is computed.

    Reference: Cubuk, Zoph, Shlens, Le 2020, "RandAugment: practical automated data augmentation
    with a reduced search space", arXiv 1909.13719.
    """

    per_image = True

    def __init__(
        self,
        *,
        operations: Sequence[str] = CMC_OPERATIONS,
        num_operations: int = 2,
        magnitude: float = 10.0,
        deviation: float = 0.5,
        operation_probability: float = 0.5,
        fill: Sequence[float] = (124, 116, 104),
        **kwargs: Any,
    ):
        """Initialises the layer.

        Args:
            operations: names of the operations to draw from, each as likely as any other.
            num_operations: how many are drawn for an image; at least 1.
            magnitude: mean of the magnitudes before clipping, in [0, 10].
            deviation: their standard deviation before clipping, >= 0; 0 makes all the same.
            operation_probability: chance that an operation that was drawn is applied, in [0, 1].
                `probability` is the chance of the whole layer.
            fill: RGB colour on the scale 0..255.
            **kwargs: see `ViewLayer`.

        Raises:
            ValueError: an argument is out of its range, or an operation is not known.
        """
        super().__init__(**kwargs)
        self.operations = tuple(operations)
        self.num_operations = num_operations
        self.magnitude = float(magnitude)
        self.deviation = float(deviation)
        self.operation_probability = float(operation_probability)
        self.fill = tuple(fill)
        self._check()
        self.num_draws = _DRAWS * num_operations

    def change(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Applies the operations to one image, see `ViewLayer.change`."""
        draws = tf.reshape(draws[0], [self.num_operations, _DRAWS])

        def operate_all() -> tf.Tensor:
            # A loop, not several switches in a row: XLA compiles its body once.
            levels = tf.while_loop(
                lambda slot, _: slot < self.num_operations,
                lambda slot, x: (slot + 1, self._operate(x, draws[slot])),
                (0, to_levels(images)),
                maximum_iterations=self.num_operations,
            )[1]
            return from_levels(levels)

        fires = draws[:, 0] < self.operation_probability
        return tf.cond(tf.reduce_any(fires), operate_all, lambda: images)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same layer again."""
        return {
            **super().get_config(),
            "operations": self.operations,
            "num_operations": self.num_operations,
            "magnitude": self.magnitude,
            "deviation": self.deviation,
            "operation_probability": self.operation_probability,
            "fill": self.fill,
        }

    def _check(self) -> None:
        """Refuses arguments that make no sense."""
        known = sorted({**POINT_OPERATIONS, **AFFINE_OPERATIONS})
        if not self.operations or not set(self.operations) <= set(known):
            raise ValueError(
                f"RandAugment: expected operations of {known}. "
                f"Received: operations={self.operations}."
            )
        if self.num_operations < 1 or not 0.0 <= self.operation_probability <= 1.0:
            raise ValueError(
                "RandAugment: expected num_operations >= 1 and an operation_probability in [0, 1]. "
                f"Received: num_operations={self.num_operations}, "
                f"operation_probability={self.operation_probability}."
            )
        if not 0.0 <= self.magnitude <= _FULL or not 0.0 <= self.deviation < float("inf"):
            raise ValueError(
                "RandAugment: expected a magnitude in [0, 10] and a finite deviation >= 0. "
                f"Received: magnitude={self.magnitude}, deviation={self.deviation}."
            )
        if len(self.fill) != 3 or not all(0 <= value <= 255 for value in self.fill):
            raise ValueError(
                f"RandAugment: expected a fill of three levels 0..255. Received: fill={self.fill}."
            )

    def _operate(self, levels: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Draws one operation and applies it, or leaves the image alone; draws `[5]`."""
        fires, choice, level, sign, interpolation = tf.unstack(draws)
        strength = rounded_quotient(tf.cast(self._magnitudes(level), tf.float64), _FULL)
        points = [POINT_OPERATIONS[n] for n in self.operations if n in POINT_OPERATIONS]
        maps = [AFFINE_OPERATIONS[n] for n in self.operations if n in AFFINE_OPERATIONS]
        # In the order: point operations, then maps.
        chosen = tf.cast(choice * len(self.operations), tf.int32)
        branches = [lambda: levels]
        branches += [lambda point=point: point(levels, strength) for point in points]
        branch = 1 + chosen
        if maps:
            # All maps share two branches; they differ in their coefficients.
            signed = tf.where(sign < 0.5, -strength, strength)
            table = tf.stack([_tensor(m(signed, *levels.shape[2:])) for m in maps])
            coefficients = tf.gather(table, tf.maximum(chosen - len(points), 0))
            branches += [
                lambda cubic=cubic: transform_levels(
                    levels, coefficients, fill=self.fill, cubic=cubic
                )
                for cubic in (False, True)
            ]
            map_branch = 1 + len(points) + tf.cast(interpolation >= 0.5, tf.int32)
            branch = tf.where(chosen < len(points), branch, map_branch)
        return tf.switch_case(tf.where(fires < self.operation_probability, branch, 0), branches)

    def _magnitudes(self, draws: tf.Tensor) -> tf.Tensor:
        """Clipped normal numbers from uniform ones."""
        # Draws are multiples of 2**-24; half of that stands for 0, where the quantile is infinite.
        normal = tf.math.ndtri(tf.maximum(draws, 2.0**-25))
        return tf.clip_by_value(self.magnitude + self.deviation * normal, 0.0, _FULL)


def _tensor(coefficients: Coefficients) -> tf.Tensor:
    """Numbers and scalar tensors as one tensor."""
    return tf.stack([tf.cast(number, tf.float64) for number in coefficients])
