"""View families: shapes, recipes, statelessness, and that all paths agree."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.random_inputs import fresh_rng
from tests.views import pictures
from tfssl import views
from tfssl.ops import fold_key

SIZE = 16


def build(name, **options):
    return views.build(name, image_size=SIZE, xla=False, **options)


def photographs(count=6, side=20):
    return np.stack([pictures.picture(side, side) for _ in range(count)])


def in_graph(family):
    return tf.function(lambda x, k: family(x, k), autograph=False)


IMAGES = [name for name, recipe in views.FAMILIES.items() if not recipe.clips]


@pytest.mark.parametrize("name", IMAGES)
def test_views_have_the_promised_shape_and_statistics(name):
    family = build(name)
    result = in_graph(family)(photographs(), fold_key(0, tf.range(6)))
    assert len(result) == family.num_views == len(family.sizes) == len(family.channels)
    for view, size, channels in zip(result, family.sizes, family.channels):
        assert view.shape == (6, size, size, channels) and view.dtype == tf.float32
        assert np.isfinite(view).all()
        if family.color == "rgb":
            pixels = view.numpy() * family.std + family.mean
            assert pixels.min() >= -1e-4 and pixels.max() <= 1 + 1e-4
    for one, two in zip(result, result[1:]):
        if one.shape == two.shape:
            assert np.abs(one.numpy() - two.numpy()).mean() > 1e-2


def test_views_do_not_depend_on_the_batch():
    family = build("cifar")
    run, images, keys = in_graph(family), photographs(), fold_key(3, tf.range(6))
    whole = [v.numpy() for v in run(images, keys)]
    order = fresh_rng().permutation(6)
    for view, shuffled in zip(whole, run(images[order], tf.gather(keys, order))):
        np.testing.assert_allclose(shuffled, view[order], atol=1e-6)
    for view, part in zip(whole, run(images[2:4], keys[2:4])):
        np.testing.assert_allclose(part, view[2:4], atol=1e-6)
    other = run(images, fold_key(4, tf.range(6)))
    for view, changed in zip(whole, other):
        assert (np.abs(view - changed.numpy()).mean(axis=(1, 2, 3)) > 1e-3).all()


@pytest.mark.parametrize("name, kind", [("mira", "pixels"), ("cifar", "PNG"), ("eval", "PNG")])
def test_record_path_equals_batched_path(name, kind):
    """One image at a time, encoded or not, then `finish`: the same crops and the same views."""
    family = build(name)
    images, keys = photographs(4), fold_key(0, tf.range(4))
    records = list(images) if kind == "pixels" else [pictures.encoded(i, kind) for i in images]
    crops = [family.crop(record, key) for record, key in zip(records, keys)]
    crops = [tf.stack(view) for view in zip(*crops)]
    finish = tf.function(family.finish, autograph=False)
    for one, two in zip(finish(crops, keys), in_graph(family)(images, keys)):
        np.testing.assert_allclose(one, two, atol=1e-4)


def test_jpeg_crop_equals_crop_of_pillows_pixels():
    """The partial decode gives the pixels that a whole decode gives."""
    family = build("mira", local_crops=2, local_size=8)
    data = pictures.encoded(pictures.picture(120, 90, detail=30), "JPEG", quality=90)
    pixels = tf.io.decode_jpeg(data, dct_method="INTEGER_ACCURATE")
    for key in fold_key(0, tf.range(8)):
        for part, whole in zip(family.crop(data, key), family.crop(pixels, key)):
            np.testing.assert_allclose(part, whole, atol=1e-6)


def test_large_images_of_one_size_go_the_record_way():
    family = build("linear")
    images, keys = photographs(2, side=100), fold_key(0, tf.range(2))
    small = views.family._DENSE_SIDE
    assert images.shape[1] > small
    crops = [tf.stack(v) for v in zip(*(family.crop(i, k) for i, k in zip(images, keys)))]
    for one, two in zip(
        in_graph(family)(images, keys), tf.function(family.finish, autograph=False)(crops, keys)
    ):
        np.testing.assert_allclose(one, two, atol=1e-5)


@pytest.mark.slow
def test_xla_equals_the_plain_graph():
    plain, compiled = build("byol"), views.build("byol", image_size=SIZE)
    images, keys = photographs(), fold_key(0, tf.range(6))
    for one, two in zip(in_graph(plain)(images, keys), compiled(images, keys)):
        # A value at the threshold of solarisation may fall on either side of it.
        assert np.mean(np.abs(one.numpy() - two.numpy()) > 1e-4) < 1e-3


def test_tf_data_equals_eager():
    family = views.build("cifar", image_size=SIZE)
    images, keys = photographs(8), fold_key(0, tf.range(8))
    dataset = tf.data.Dataset.from_tensor_slices((images, keys)).batch(4)
    batches = list(dataset.map(family, num_parallel_calls=2))
    for i, view in enumerate(family(images, keys)):
        got = np.concatenate([batch[i] for batch in batches])
        np.testing.assert_allclose(got, view, atol=1e-6)


def test_local_views_have_their_size_and_their_own_draws():
    family = build("mira", local_crops=3, local_size=8)
    assert family.sizes == (SIZE, SIZE, 8, 8, 8)
    crops = family.crop(photographs(1)[0], fold_key(0, 0))
    assert [crop.shape[0] for crop in crops] == list(family.sizes)
    for one, two in ((2, 3), (3, 4), (2, 4)):
        assert np.abs(crops[one].numpy() - crops[two].numpy()).mean() > 1e-2
    # Equal recipes share layers and so compiled code.
    assert family._views[2] is family._views[4] and family._views[0] is not family._views[1]


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 2, 3), (9, 40, 1), (12, 12, 4)])
def test_tiny_images_and_other_channels(shape):
    image = fresh_rng().integers(0, 256, shape, dtype=np.uint8)
    for name in ("mira", "eval"):
        for crop in build(name).crop(image, tf.constant(1, tf.int64)):
            assert crop.shape == (SIZE, SIZE, 3)
            assert np.isfinite(crop.numpy()).all()
    if shape[:2] == (1, 1):
        np.testing.assert_allclose(crop, np.broadcast_to(image / 255.0, crop.shape), atol=1e-5)


def test_evaluation_equals_pillow():
    """Resize of the short side, then centre crop, at ImageNet's proportions."""
    image = pictures.picture(90, 130, margin=64)
    family = views.build("eval", image_size=56, xla=False)
    (crop,) = family.crop(pictures.encoded(image, "PNG"), tf.constant(0, tf.int64))
    resized = Image.fromarray(image).resize((int(64 * 130 / 90), 64), Image.BICUBIC)
    left, top = round((resized.width - 56) / 2), round((64 - 56) / 2)
    expected = np.asarray(resized.crop((left, top, left + 56, top + 56)))
    assert np.abs(crop.numpy() * 255 - expected).max() <= 1.5


def test_evaluation_may_cut_out_the_centre_of_pixels_as_they_are():
    """As STL-10 is evaluated: 64 of 96 pixels."""
    config = views.ViewsConfig(views="crop", image_size=64, eval_resize=96, views_xla=False)
    family = views.build_from(config, family="eval")
    images = photographs(2, side=96)
    for image in images:
        (crop,) = family.crop(tf.constant(image), tf.constant(0, tf.int64))
        np.testing.assert_allclose(crop, image[16:80, 16:80] / 255.0, atol=1e-6)
    (small,) = family.crop(tf.constant(images[0, :64, :64]), tf.constant(0, tf.int64))
    assert np.abs(small.numpy() - images[0, :64, :64] / 255.0).max() > 0.01


def test_evaluation_of_cifar_sizes_only_normalises():
    images = photographs(3, side=SIZE)
    (view,) = views.build("eval", image_size=SIZE, mean=(0.1,) * 3, std=(0.5,) * 3)(
        images, tf.zeros([3], tf.int64)
    )
    np.testing.assert_allclose(view, (images / 255.0 - 0.1) / 0.5, atol=1e-5)


def test_recipes_are_the_papers():
    """The numbers of the tables, spelled out a second time."""
    table = {
        # family: area, interpolation, jitter, blur of each view, solarise of each view
        "mira": ((0.14, 1.0), "bicubic", (0.4, 0.4, 0.2, 0.1), (1.0, 0.1), (0.0, 0.2)),
        "byol": ((0.08, 1.0), "bicubic", (0.4, 0.4, 0.2, 0.1), (1.0, 0.1), (0.0, 0.2)),
        "simclr": ((0.08, 1.0), "bilinear", (0.8, 0.8, 0.8, 0.2), (0.5, 0.5), (0.0, 0.0)),
        "mocov2": ((0.2, 1.0), "bilinear", (0.4, 0.4, 0.4, 0.1), (0.5, 0.5), (0.0, 0.0)),
        "cifar": ((0.2, 1.0), "bilinear", (0.4, 0.4, 0.2, 0.1), (0.0, 0.0), (0.0, 0.2)),
    }
    for name, (area, interpolation, strengths, blur, solarize) in table.items():
        for i, recipe in enumerate(views.FAMILIES[name].views):
            steps = {layer.__name__: arguments for layer, arguments in recipe.steps}
            jitter = steps["ColorJitter"]
            assert (recipe.area, recipe.interpolation) == (area, interpolation)
            assert jitter["probability"] == 0.8
            names = ("brightness", "contrast", "saturation", "hue")
            assert tuple(jitter[n] for n in names) == strengths
            assert steps["Grayscale"]["probability"] == 0.2
            assert steps["HorizontalFlip"]["probability"] == 0.5
            assert steps.get("GaussianBlur", {"probability": 0.0})["probability"] == blur[i]
            assert steps.get("Solarize", {"probability": 0.0})["probability"] == solarize[i]
    local = views.FAMILIES["mira"].local
    assert (local.area, local.interpolation) == ((0.05, 0.14), "bicubic")
    assert dict((c.__name__, a) for c, a in local.steps)["GaussianBlur"]["probability"] == 0.5


def test_two_channels_are_refused():
    with pytest.raises(ValueError, match="1, 3 or 4 channels"):
        build("cifar")(tf.zeros([2, 8, 8, 2]), fold_key(0, tf.range(2)))
