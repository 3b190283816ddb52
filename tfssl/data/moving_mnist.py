"""`moving_mnist:<backgrounds>`: MNIST's digits over any images of the library, by split."""

import numpy as np
import tensorflow as tf

from tfssl import views
from tfssl.data.moving_digits import SPEED, MovingDigits
from tfssl.data.moving_frames import DIGIT
from tfssl.data.pipeline import evaluation_batches
from tfssl.data.settings import DataConfig
from tfssl.data.source import Source, open_source
from tfssl.data.splits import thin
from tfssl.data.tfds_source import open_tfds
from tfssl.settings import SettingsError

_BACKGROUND = 96  # Side of background images in pixels, as those of STL-10.


def open_moving_mnist(config: DataConfig, split: str) -> MovingDigits:
    """Opens the clips of one split: MNIST's and that of the backgrounds, which has the same name.

    Args:
        config: the data settings.
        split: `train`, `test`, or another that both have, such as `train[:50%]`.

    Returns:
        The source, with all pixels in memory.

    Raises:
        SettingsError: MNIST is not prepared, or is not of 28x28 pixels; the backgrounds cannot be
            opened; one of the two has no such split.
    """
    plain = DataConfig(dataset="tfds:mnist", data_dir=config.data_dir, download=config.download)
    mnist = open_tfds(plain, split, name="mnist")
    if mnist.image_shape != (DIGIT, DIGIT, 3):
        raise SettingsError(
            f"dataset: expected digits of {DIGIT}x{DIGIT} pixels in {mnist.name}. Received: "
            f"{mnist.image_shape}."
        )
    # The three channels of a grey image are the same.
    digits = mnist.load_batch(tf.constant(mnist.drawable)).numpy()[..., 0]
    images = thin(open_source(config.backgrounds, split), config.moving_backgrounds)
    labels = None if images.labels is None else images.labels[images.drawable]
    return MovingDigits(
        f"{mnist.name} over {images.name}",
        digits,
        background_pixels(images),
        shared=config.shared_factors(),
        speed=SPEED * config.moving_speed_ref,
        labels=mnist.labels,
        class_names=mnist.class_names,
        background_labels=labels,
        background_names=images.class_names,
    )


def background_pixels(images: Source) -> np.ndarray:
    """All drawable images at the size of backgrounds.

    Args:
        images: any source of images; others than of 96 pixels are resized, antialiased, so that
            their shorter side is that, and their centre is cut out.

    Returns:
        `[M, 96, 96, 3]` uint8.
    """
    side = _BACKGROUND
    family = views.build(
        "eval", image_size=side, eval_resize=side, mean=(0.0,) * 3, std=(1.0,) * 3, xla=False
    )
    pixels = np.empty([len(images.drawable), side, side, 3], np.uint8)
    done = 0
    for batch in evaluation_batches(images, family, batch_size=64, with_labels=False):
        part = batch["views"][0].numpy()[batch["mask"].numpy()]
        pixels[done : done + len(part)] = np.rint(part * 255.0)
        done += len(part)
    return pixels
