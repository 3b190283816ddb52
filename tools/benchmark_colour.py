"""Times conversions to colour spaces beside scikit-image and beside a copy of memory.

`rows()` is what tools/benchmark.py prints.
"""

from typing import Any, Callable, Dict, List

import benchmark_kernels
import numpy as np

from tfssl import views

import tensorflow as tf  # isort: skip  (after tfssl, which selects Keras 2)

Row = Dict[str, Any]

# Parts of a batch that are converted at once: in one call XLA leaves some loops to one core, and
# memory beyond 32 MB goes back to the system after each call and is cleared in the next.
_PARTS = 2
# A call takes 3 ms, and longer where other candidates' calls have just emptied the caches.
_TURN_SECONDS = 0.2
# Of a pixel: three bytes are read, three float32 written.
_BYTES = 3 + 12
_LAYOUTS = {"channels first": 1, "channels last": -1}


def rows(*, images: int = 64, size: int = 224, repeats: int = 5) -> List[Row]:
    """Times every colour space.

    Args:
        images, size: of a batch of uint8 RGB images, `[images, size, size, 3]`; `images` is a
            multiple of 2.
        repeats: timed rounds.

    Returns:
        Rows `{"name", "value", "unit", "ratio", "note"}`, two a space: float32 results with
        channels first and last. The ratio is to scikit-image, called with the whole batch or with
        one image after the other, whichever is faster; above 1 where tfssl is faster.

    Raises:
        ImportError: scikit-image is missing.
    """
    yardsticks = scikit_image()
    batch = np.random.default_rng(0).integers(0, 256, (images, size, size, 3), dtype=np.uint8)
    pixels = images * size * size
    result = []
    for space in views.COLOR_SPACES:
        measured = benchmark_kernels.measure(
            candidates(space, yardsticks[space], batch), repeats, turn_seconds=_TURN_SECONDS
        )
        # Milliseconds to megapixels a second.
        *own, whole, single, copy = [pixels / 1e3 / row["value"] for row in measured]
        # Of the copied bytes half are read and half written, as many as there are results.
        limit = copy * 2 * 12 / _BYTES
        for layout, value in zip(_LAYOUTS, own):
            note = (
                f"scikit-image: {whole:.1f}, image by image {single:.1f} Mpixel/s; "
                f"{100 * value / limit:.0f} % of what the memory allows"
            )
            result.append(
                {
                    "name": f"{space}, {layout}",
                    "value": value,
                    "unit": "Mpixel/s",
                    "ratio": value / max(whole, single),
                    "note": note,
                }
            )
    return result


def scikit_image() -> Dict[str, Callable[[np.ndarray], np.ndarray]]:
    """scikit-image's function of every colour space; an ImportError with the remedy without it."""
    try:
        from skimage import color, util
    except ImportError as error:
        raise ImportError(
            "the group colour compares with scikit-image, which is not installed. "
            "Remedy: pip install -e '.[test]', or --groups without colour."
        ) from error
    named = {"rgb": util.img_as_float}
    return {name: named.get(name) or getattr(color, f"rgb2{name}") for name in views.COLOR_SPACES}


def candidates(space: str, yardstick: Callable, batch: np.ndarray) -> benchmark_kernels.Candidates:
    """Ours in both layouts, scikit-image's of the batch and image by image, and a copy."""
    source, target = np.ones([2, *batch.shape], np.float32)
    return [
        *((layout, converter(space, batch, axis), "") for layout, axis in _LAYOUTS.items()),
        ("scikit-image", lambda: yardstick(batch), ""),
        ("image by image", lambda: [yardstick(image) for image in batch], ""),
        ("copy", lambda: np.copyto(target, source), ""),
    ]


def converter(space: str, batch: np.ndarray, channel_axis: int) -> Callable[[], List[tf.Tensor]]:
    """Converts the parts of a batch whose channels have been moved to an axis."""
    moved = np.ascontiguousarray(np.moveaxis(batch, -1, channel_axis))
    parts = [tf.constant(part) for part in np.split(moved, _PARTS)]

    @tf.function(jit_compile=True, autograph=False)
    def convert(part: tf.Tensor) -> tf.Tensor:
        return views.convert_color(part, space, channel_axis=channel_axis)

    together = tf.function(lambda *parts: [convert(part) for part in parts], autograph=False)
    return lambda: together(*parts)
