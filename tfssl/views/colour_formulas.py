"""The formulas of colour spaces, on planes of one channel each.

The definitions and constants are those of scikit-image 0.26. Everything is an operation that Keras
finds again by name, so that a saved model converts colours without this library; that is why
comparisons are spelled `tf.greater`.

On CPU, XLA keeps a value that three channels share where its last operation is a division, and
computes it again for each where that is a product or a choice. So the costly formulas here end in
a division, if need be by a choice between two numbers, which halves their time or better. Powers
are exp of log: XLA computes those for many pixels at once, unlike `pow`. It does a polynomial for
many pixels at once, too, but looks up tables one by one: so levels that lie in planes have
polynomials, and with channels last a row of a table holds what a level adds to three results.
"""

import dataclasses
from typing import Callable, Optional, Sequence

import numpy as np
import tensorflow as tf

Planes = tuple[tf.Tensor, tf.Tensor, tf.Tensor]
PlaneMap = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Planes]


def _series(function: Callable[[np.ndarray], np.ndarray], degree: int, domain: list) -> list[float]:
    """The coefficients of a polynomial close to a function on a domain, in rising powers."""
    series = np.polynomial.Chebyshev.interpolate(function, degree, domain=domain)
    return series.convert(kind=np.polynomial.Polynomial).coef.tolist()


# Linear sRGB to CIE XYZ, and the white of D65 for the observer of 2 degrees.
XYZ_OF_LIGHT = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)
WHITE = (0.95047, 1.0, 1.08883)
# Haematoxylin, eosin and DAB: absorbance of red, green and blue. The inverse unmixes them.
STAINS_OF_DENSITY = np.linalg.inv([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]]).T

# sRGB is a line up to this value, and a power of 2.4 beyond.
_LINE_END = 0.04045
# Darker channels count as this when their logarithm is taken.
_DARKEST = 1e-6
# The density of 1 + t over t, to 1.5e-7 between the roots of 1/2 and 2, in rising powers of t.
_DENSITY_SERIES = _series(
    lambda t: np.log1p(t) / t / np.log(_DARKEST), 6, [0.5**0.5 - 1.0, 2.0**0.5 - 1.0]
)
# The power of sRGB to 1e-7, in rising powers of what is -1 at the end of the line and 1 at 1.
_POWER_SERIES = _series(
    lambda t: ((1.0 + t) / 2 * (1.0 - _LINE_END) + _LINE_END + 0.055) ** 2.4 / 1.055**2.4,
    11,
    [-1.0, 1.0],
)
# The bits of the root of 1/2 in float32, and how many of them are the mantissa.
_ROOT_OF_HALF_BITS = 0x3F3504F3
_MANTISSA_BITS = 23
# The cube root of CIE's lightness becomes a line below this.
_ROOT_START = 0.008856
# The bits of a positive float32, as an integer, are 2^23 (127 + log2 x) but for at most 0.09 of
# 2^23, so this and minus a third of them are the bits of an inverse cube root to 4 percent.
_INVERSE_ROOT_BITS = int(4 / 3 * 2**23 * (127 - 0.0465))


@dataclasses.dataclass(frozen=True)
class LinearMap:
    """`matrix` times three channels plus `offset`, and not below `least`; three ways to compute it.

    Attributes:
        matrix: of 3 rows of 3 numbers.
        offset: of each row.
        least: smallest result; None for no limit.
    """

    matrix: Sequence
    offset: Sequence[float] = (0.0, 0.0, 0.0)
    least: Optional[float] = None

    def __call__(self, first: tf.Tensor, second: tf.Tensor, third: tf.Tensor) -> Planes:
        """Of planes of one shape, planes of that shape."""
        rows = [[float(number) for number in (*row, o)] for row, o in zip(self.matrix, self.offset)]
        sums = [(first * a + second * b + third * c, o) for a, b, c, o in rows]
        return tuple(self._limited(total + o if o else total) for total, o in sums)

    def of_pixels(self, images: tf.Tensor) -> tf.Tensor:
        """Of `[..., 3]`, as much; XLA does that faster than a stack of planes."""
        columns = np.transpose(self.matrix).tolist()
        parts = zip(tf.split(images, 3, axis=-1), columns)
        return self._finished([part * column for part, column in parts])

    def of_levels(self, images: tf.Tensor, levels: Sequence[float]) -> tf.Tensor:
        """Of uint8 `[..., 3]` after a curve, given by its 256 values: float32 `[..., 3]`.

        A row of a table is what one channel adds to the three results.
        """
        columns = np.transpose(self.matrix)
        tables = [np.outer(levels, column).astype(np.float32) for column in columns]
        parts = zip(tables, tf.unstack(tf.cast(images, tf.int32), num=3, axis=-1))
        return self._finished([tf.gather(table, part) for table, part in parts])

    def _finished(self, parts: Sequence[tf.Tensor]) -> tf.Tensor:
        """The sum of three parts `[..., 3]`, with offset and limit."""
        total = parts[0] + parts[1] + parts[2]
        offset = [float(number) for number in self.offset]
        return self._limited(total + offset if any(offset) else total)

    def _limited(self, results: tf.Tensor) -> tf.Tensor:
        """Results that are not below the least one."""
        return results if self.least is None else tf.maximum(results, self.least)


def light(plane: tf.Tensor) -> tf.Tensor:
    """The light of an sRGB channel, 0 to 1."""
    curved = tf.greater(plane, _LINE_END)
    base = (tf.maximum(plane, _LINE_END) + 0.055) * (1.0 / 1.055)
    # Guarded, because the gradient of the branch that is not taken must be finite too.
    power = tf.exp(tf.math.log(base) * 2.4)
    return tf.where(curved, power, plane) / _choice(curved, 1.0, 12.92, plane)


def light_of_levels(levels: tf.Tensor) -> tf.Tensor:
    """`light` of uint8 levels in float32, to 3e-7; a polynomial instead of the power."""
    plane = tf.cast(levels, tf.float32) * (1.0 / 255.0)
    middle, half = (1.0 + _LINE_END) / 2.0, (1.0 - _LINE_END) / 2.0
    power = _polynomial(_POWER_SERIES, plane * (1.0 / half) - middle / half)
    return tf.where(tf.greater(plane, _LINE_END), power, plane * (1.0 / 12.92))


def light_of(values: np.ndarray) -> np.ndarray:
    """`light` of NumPy values."""
    return np.where(values > _LINE_END, ((values + 0.055) / 1.055) ** 2.4, values / 12.92)


def density(plane: tf.Tensor) -> tf.Tensor:
    """The optical density of a channel, 0 for full light to 1 for `1e-6` and less."""
    seen = tf.greater(plane, _DARKEST)
    log = tf.where(seen, tf.math.log(tf.maximum(plane, _DARKEST)), tf.ones_like(plane))
    return log / _choice(seen, float(np.log(_DARKEST)), 1.0, plane)


def density_of(values: np.ndarray) -> np.ndarray:
    """`density` of NumPy values."""
    return np.log(np.maximum(values, _DARKEST)) / np.log(_DARKEST)


def density_of_levels(levels: tf.Tensor) -> tf.Tensor:
    """`density` of uint8 levels in float32, to 1e-7.

    The logarithm is that of the exponent and a polynomial of the mantissa.
    """
    seen = tf.maximum(tf.cast(levels, tf.float32) * (1.0 / 255.0), _DARKEST)
    bits = tf.bitcast(seen, tf.int32)
    exponent = tf.bitwise.right_shift(bits - _ROOT_OF_HALF_BITS, _MANTISSA_BITS)
    mantissa = tf.bitcast(bits - tf.bitwise.left_shift(exponent, _MANTISSA_BITS), tf.float32)
    t = mantissa - 1.0
    of_exponent = tf.cast(exponent, tf.float32) * float(np.log(2.0) / np.log(_DARKEST))
    return of_exponent + t * _polynomial(_DENSITY_SERIES, t)


def lab(red: tf.Tensor, green: tf.Tensor, blue: tf.Tensor) -> Planes:
    """CIE L*a*b* from linear light; 7.787 is the slope of the line below the cube root."""
    relative = LinearMap(XYZ_OF_LIGHT / np.reshape(WHITE, [3, 1]))(red, green, blue)
    x, y, z = [_root_or_line(t, slope=7.787) for t in relative]
    return y * 116.0 - 16.0, (x - y) * 500.0, (y - z) * 200.0


def luv(red: tf.Tensor, green: tf.Tensor, blue: tf.Tensor) -> Planes:
    """CIE L*u*v* from linear light; black gets u = v = 0."""
    x, y, z = LinearMap(XYZ_OF_LIGHT)(red, green, blue)
    lightness = _root_or_line(y, slope=903.3 / 116.0) * 116.0 - 16.0
    total = x + y * 15.0 + z * 3.0
    lit = tf.greater(total, 0.0)
    inverse = tf.math.reciprocal(tf.where(lit, total, tf.ones_like(total)))
    white = WHITE[0] + 15.0 * WHITE[1] + 3.0 * WHITE[2]
    u = x * inverse * 4.0 - 4.0 * WHITE[0] / white
    v = y * inverse * 9.0 - 9.0 * WHITE[1] / white
    return lightness, lightness * u * 13.0, lightness * v * 13.0


def hsv(red: tf.Tensor, green: tf.Tensor, blue: tf.Tensor) -> Planes:
    """Hue in turns in [0, 1), saturation and value; greys have hue 0."""
    value = tf.maximum(tf.maximum(red, green), blue)
    chroma = value - tf.minimum(tf.minimum(red, green), blue)
    coloured = tf.greater(chroma, 0.0)
    inverse = tf.math.reciprocal(tf.where(coloured, chroma, tf.ones_like(chroma)))
    # Sixths of a turn: 0 red, 2 green, 4 blue.
    sixths = tf.where(
        tf.equal(value, red),
        (green - blue) * inverse,
        tf.where(
            tf.equal(value, green), (blue - red) * inverse + 2.0, (red - green) * inverse + 4.0
        ),
    )
    hue = sixths * (1.0 / 6.0)
    hue = tf.where(tf.less(hue, 0.0), hue + 1.0, hue)
    # Of a hue just below 0 the sum is rounded to 1.
    hue = tf.where(tf.less(hue, 1.0), hue, tf.zeros_like(hue))
    saturation = chroma / tf.where(tf.greater(value, 0.0), value, tf.ones_like(value))
    return hue, saturation, value


def interleaved(planes: Planes) -> tf.Tensor:
    """Three planes `[..., 1]` as `[..., 3]`: by a choice, which XLA does faster than a stack."""
    first, second, third = planes
    rest = tf.where([False, True, False], second, third)
    return tf.where([True, False, False], first, rest)


def _root_or_line(plane: tf.Tensor, slope: float) -> tf.Tensor:
    """The cube root, and a line below its start: f of L*a*b*."""
    rooted = tf.greater(plane, _ROOT_START)
    guarded = tf.maximum(plane, _ROOT_START)
    line = plane * slope + 16.0 / 116.0
    if plane.dtype == tf.float64:
        return tf.where(rooted, tf.exp(tf.math.log(guarded) * (1.0 / 3.0)), line)
    bits = tf.cast(tf.bitcast(guarded, tf.int32), tf.float32)
    bits = tf.cast(bits * (-1.0 / 3.0), tf.int32) + _INVERSE_ROOT_BITS
    # The start has no gradient and needs none: the two steps depend on the plane themselves.
    inverse = tf.bitcast(bits, tf.float32)
    for _ in range(2):
        # Without a division, and makes the relative error e to 14/3 e^3.
        rest = 1.0 - guarded * inverse * inverse * inverse
        inverse += inverse * rest * (rest * (2.0 / 9.0) + 1.0 / 3.0)
    ones = tf.ones_like(plane)
    return tf.where(rooted, ones, line) / tf.where(rooted, inverse, ones)


def _polynomial(coefficients: Sequence[float], t: tf.Tensor) -> tf.Tensor:
    """A polynomial of t, from its coefficients in rising powers."""
    *lower, result = coefficients
    for coefficient in reversed(lower):
        result = t * result + coefficient
    return result


def _choice(condition: tf.Tensor, true: float, false: float, like: tf.Tensor) -> tf.Tensor:
    """One of two numbers for each element, in the type of `like`."""
    ones = tf.ones_like(like)
    return tf.where(condition, ones * true, ones * false)
