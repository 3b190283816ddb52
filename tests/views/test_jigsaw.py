"""Jigsaw patches against the InfoMin sheet, sections 2.5 and 7 (property 15), and plain slicing."""

import numpy as np
import pytest
import tensorflow as tf

from tests.random_inputs import fresh_rng
from tests.views import pictures
from tfssl import views
from tfssl.ops import fold_key
from tfssl.views import Jigsaw

PAPER = Jigsaw.scaled(224)


def build(name="cifar", *, size=56, **options):
    return views.build(name, image_size=size, xla=False, jigsaw=True, **options)


def photographs(count, side=40):
    return np.stack([pictures.picture(side, side) for _ in range(count)])


def some_keys(count):
    return fold_key(int(fresh_rng().integers(2**31)), tf.range(count))


def sliced(crop, offsets, jigsaw):
    """The patches of one crop, a cell at a time."""
    patches = []
    for row in range(3):
        for column in range(3):
            down, right = offsets[3 * row + column]
            top, left = row * jigsaw.cell + down, column * jigsaw.cell + right
            patches.append(crop[top : top + jigsaw.patch, left : left + jigsaw.patch])
    return np.stack(patches)


def test_sizes():
    """Those of the paper at 224 pixels, in proportion at others, and after a chosen patch."""
    assert (PAPER.crop, PAPER.cell, PAPER.patch) == (255, 85, 64)
    for size, patch, expected in [(32, None, (36, 12, 9)), (32, 16, (63, 21, 16))]:
        jigsaw = Jigsaw.scaled(size, patch)
        assert (jigsaw.crop, jigsaw.cell, jigsaw.patch) == expected
        assert build(size=size, jigsaw_patch=patch).patch_size == jigsaw.patch
    for size in range(1, 300):
        jigsaw = Jigsaw.scaled(size)
        assert jigsaw.crop == 3 * jigsaw.cell and 1 <= jigsaw.patch <= jigsaw.cell


def test_patches_lie_in_their_cells_which_tile_the_crop():
    """Property 15, on an image whose pixels tell where they are; 17 of the CMC sheet."""
    place = np.arange(255, dtype=np.float32)
    image = np.stack(np.meshgrid(place, place, indexing="ij"), axis=-1)
    cells = np.zeros([255, 255], int)
    for offsets in PAPER.offsets(some_keys(20)):
        patches = PAPER.cut(tf.constant(image), offsets).numpy()
        assert patches.shape == (9, 64, 64, 2)
        np.testing.assert_array_equal(patches, sliced(image, offsets.numpy(), PAPER))
        for number, patch in enumerate(patches):
            corner = 85 * np.array(divmod(number, 3))
            down, right = patch[0, 0] - corner
            assert 0 <= down <= 21 and 0 <= right <= 21
            assert (patch.max(axis=(0, 1)) < corner + 85).all()
    for number in range(9):
        top, left = 85 * np.array(divmod(number, 3))
        cells[top : top + 85, left : left + 85] += 1
    assert (cells == 1).all()


def test_offsets_are_uniform_and_independent():
    """Property 15: integers 0 to 21, both included, either way; property 17 of the CMC sheet."""
    count = 22 * 400
    offsets = PAPER.offsets(some_keys(count)).numpy()
    assert offsets.shape == (count, 9, 2) and offsets.dtype == np.int32
    columns = offsets.reshape(count, 18)
    for column in columns.T:
        seen = np.bincount(column, minlength=22)
        assert len(seen) == 22
        # Chi-square with 21 degrees of freedom: mean 21, standard deviation 6.5.
        assert np.sum((seen - 400) ** 2 / 400) < 65
    correlations = np.corrcoef(columns.T) - np.eye(18)
    assert np.abs(correlations).max() < 5 / np.sqrt(count)


@pytest.mark.parametrize("size", [56, 224])
def test_patches_are_slices_of_the_crop(size):
    """Normalised as views are, with colours as they were; half of the crops are mirrored."""
    family = build("npid", size=size)
    jigsaw = Jigsaw.scaled(size)
    count = 64 if size < 100 else 4
    images, keys = photographs(count), some_keys(count)
    crops = [family.crop(image, key)[-1].numpy() for image, key in zip(images, keys)]
    assert crops[0].shape == (jigsaw.crop, jigsaw.crop, 3)
    patches = tf.function(family, autograph=False)(images, keys)[-1].numpy()
    assert patches.shape == (count, 9, jigsaw.patch, jigsaw.patch, 3)
    # The number of the view and that of the layer behind the flip and the normalisation.
    offsets = jigsaw.offsets(fold_key(keys, family.num_views), stream=2).numpy()
    mirrored = []
    for crop, offset, received in zip(crops, offsets, patches):
        crop = (crop - family.mean) / family.std
        plain = np.abs(sliced(crop, offset, jigsaw) - received).max()
        other = np.abs(sliced(crop[:, ::-1], offset, jigsaw) - received).max()
        assert min(plain, other) < 1e-4 < 1e-2 < max(plain, other)
        mirrored.append(other < plain)
    if count == 64:
        assert abs(np.mean(mirrored) - 0.5) < 5 * 0.5 / np.sqrt(count)


def test_written_characters_are_not_mirrored():
    family, jigsaw = build("digits"), Jigsaw.scaled(56)
    images, keys = photographs(12), some_keys(12)
    patches = tf.function(family, autograph=False)(images, keys)[-1].numpy()
    offsets = jigsaw.offsets(fold_key(keys, family.num_views), stream=1).numpy()
    for image, key, offset, received in zip(images, keys, offsets, patches):
        crop = (family.crop(image, key)[-1].numpy() - family.mean) / family.std
        np.testing.assert_allclose(sliced(crop, offset, jigsaw), received, atol=1e-4)


def test_the_crop_covers_most_of_the_image():
    """Area (0.6, 1), whatever the views' own area is."""
    family = build("npid", crop_min_area=0.2, crop_max_area=0.3)
    assert family._views[-1].crop.area == (0.6, 1.0)
    window = family._views[-1].crop.window(some_keys(500), tf.constant(300), tf.constant(300))
    area = np.prod(window.length.numpy() / 300, axis=1)
    assert 0.59 < area.min() < 0.63 and 0.9 < area.max() <= 1
    assert build(interpolation="bicubic")._views[-1].crop.interpolation == "bicubic"


def test_patches_follow_the_key_alone():
    family = build()
    images, keys = photographs(6), some_keys(6)
    make = tf.function(lambda x, k: family(x, k)[-1], autograph=False)
    whole = make(images, keys).numpy()
    order = fresh_rng().permutation(6)
    np.testing.assert_allclose(make(images[order], tf.gather(keys, order)), whole[order], atol=1e-6)
    other = make(images, some_keys(6)).numpy()
    assert (np.abs(other - whole).mean(axis=(1, 2, 3, 4)) > 1e-3).all()


def test_views_stay_as_they_are_without_patches():
    plain = views.build("cifar", image_size=56, xla=False)
    family = build()
    assert (family.sizes, family.num_views) == (plain.sizes, plain.num_views)
    assert plain.patch_size is None
    images, keys = photographs(4), some_keys(4)
    received = tf.function(family, autograph=False)(images, keys)
    assert len(received) == plain.num_views + 1
    for one, two in zip(tf.function(plain, autograph=False)(images, keys), received):
        np.testing.assert_array_equal(one, two)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pixels", "PNG"])
def test_record_path_equals_batched_path(kind):
    family = build()
    images, keys = photographs(4), some_keys(4)
    records = list(images) if kind == "pixels" else [pictures.encoded(i, kind) for i in images]
    crops = [family.crop(record, key) for record, key in zip(records, keys)]
    crops = [tf.stack(view) for view in zip(*crops)]
    one, two = (
        tf.function(family.finish, autograph=False)(crops, keys),
        tf.function(family, autograph=False)(images, keys),
    )
    np.testing.assert_allclose(one[-1], two[-1], atol=1e-4)


def test_crop_of_a_jpeg_equals_that_of_its_pixels():
    """The part that is decoded for the views is large enough for the patches."""
    family = build("npid", crop_max_area=0.3)
    data = pictures.encoded(pictures.picture(120, 90, detail=30), "JPEG", quality=90)
    pixels = tf.io.decode_jpeg(data, dct_method="INTEGER_ACCURATE")
    for key in some_keys(8):
        part, whole = family.crop(data, key)[-1], family.crop(pixels, key)[-1]
        np.testing.assert_allclose(part, whole, atol=1e-6)


def test_large_images_of_one_size_have_patches():
    family = build()
    images, keys = photographs(2, side=100), some_keys(2)
    crops = [tf.stack(v) for v in zip(*(family.crop(i, k) for i, k in zip(images, keys)))]
    one, two = (
        tf.function(family, autograph=False)(images, keys),
        tf.function(family.finish, autograph=False)(crops, keys),
    )
    np.testing.assert_allclose(one[-1], two[-1], atol=1e-5)


@pytest.mark.slow
def test_xla_equals_the_plain_graph():
    compiled = views.build("cifar", image_size=56, jigsaw=True)
    images, keys = photographs(4), some_keys(4)
    plain = tf.function(build(), autograph=False)(images, keys)[-1]
    np.testing.assert_allclose(compiled(images, keys)[-1], plain, atol=1e-4)
