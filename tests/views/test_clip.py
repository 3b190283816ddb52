"""Views of clips: the frames as they are, normalised, and one apart."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tfssl import views

SIZE = 6


def clips(rows=3, frames=5):
    return fresh_rng().integers(0, 256, [rows, frames, SIZE, SIZE, 3]).astype(np.uint8)


@pytest.mark.parametrize("xla", [True, False])
def test_the_last_frame_is_a_view_of_its_own(xla):
    family = views.build("clip_frame", image_size=SIZE, xla=xla)
    pixels = clips()
    clip, frame = family(tf.constant(pixels), tf.zeros([3], tf.int64))
    expected = (pixels / 255.0 - family.mean) / family.std
    np.testing.assert_allclose(clip, expected[:, :-1], atol=1e-5)
    np.testing.assert_allclose(frame, expected[:, -1], atol=1e-5)
    assert clip.dtype == frame.dtype == tf.float32
    as_floats = family(tf.constant(pixels / 255.0, tf.float32), None)
    np.testing.assert_allclose(as_floats[0], clip, atol=1e-5)


def test_it_says_what_others_say_of_themselves():
    family = views.build("clip_frame", image_size=SIZE, xla=False)
    plain = views.build("simclr", image_size=SIZE, xla=False)
    for name in vars(plain):
        if not name.startswith("_"):
            assert hasattr(family, name), name
    made = family(tf.constant(clips()), None)
    assert len(made) == family.num_views == len(family.sizes) == len(family.channels)
    assert [view.shape[-3:] for view in made] == [[SIZE, SIZE, 3]] * 2
    assert family.clips and not plain.clips
    assert (family.mean, family.std) == (plain.mean, plain.std)


@pytest.mark.parametrize("shape", [(3, SIZE, SIZE, 3), (3, 1, SIZE, SIZE, 3), (3, 4, 8, 8, 3)])
def test_images_are_no_clips(shape):
    family = views.build("clip_frame", image_size=SIZE, xla=False)
    with pytest.raises(ValueError, match=r"expected clips \[batch, frames \+ 1, 6, 6, 3\].*shape="):
        family(tf.zeros(shape), None)


def test_frames_of_evaluation_stay_as_they_are():
    """Property 22 would be lost in a resize: frames of 64 pixels are seen pixel for pixel."""
    config = views.ViewsConfig(views="clip_frame", image_size=64, views_xla=False)
    family = views.build_from(config, family="eval")
    pixels = fresh_rng().integers(0, 256, [2, 64, 64, 3]).astype(np.uint8)
    (view,) = family(tf.constant(pixels), tf.zeros([2], tf.int64))
    expected = (pixels / 255.0 - family.mean) / family.std
    np.testing.assert_allclose(view, expected, atol=1e-5)
    assert (family.mean, family.std) == (
        views.build_from(config).mean,
        views.build_from(config).std,
    )
