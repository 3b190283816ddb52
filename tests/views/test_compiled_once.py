"""A compiled view depends on no value of its inputs: XLA would compile it anew for every batch."""

import pytest
import tensorflow as tf

from tests.compiled import parameters
from tfssl import views
from tfssl.ops import fold_key

CASES = [(name, {}) for name, recipe in views.FAMILIES.items() if not recipe.clips]
CASES += [("lab", {"jigsaw": True, "rand_augment": True}), ("simclr", {"jigsaw": True})]


def test_what_is_known_as_a_program_is_compiled_is_no_parameter():
    """This is how a slice at a place of its inputs would be found out."""
    program = tf.function(lambda x, place: tf.slice(x, [place], [2]), jit_compile=True)
    assert parameters(program, tf.zeros([5]), tf.constant(1)) == ["f32[5]"]


@pytest.mark.parametrize("name, options", CASES)
def test_images_and_keys_are_parameters(name, options):
    family = views.build(name, image_size=24, **options)
    images, keys = tf.zeros([2, 32, 32, 3], tf.uint8), fold_key(0, tf.range(2))
    for maker in dict.fromkeys(family._views):
        assert parameters(maker.make, images, keys) == ["u8[2,32,32,3]", "s64[2]"]
