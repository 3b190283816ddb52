"""`moving_mnist:<backgrounds>` from data on disk, and what it refuses."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tests.data import moving
from tests.data.conftest import smooth_image
from tests.data.moving import IMAGES_ON_DISK as IMAGES
from tests.data.moving import RECORDS_ON_DISK as DIGITS
from tests.data.prepared import write_prepared
from tfssl.data import DataConfig, open_source, open_splits
from tfssl.data.moving_mnist import background_pixels
from tfssl.settings import SettingsError


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """See `moving.write_data`."""
    return moving.write_data(tmp_path_factory.mktemp("prepared"))


def config(data_dir, backgrounds="tfds:large", **options):
    return DataConfig(f"moving_mnist:{backgrounds}", data_dir=str(data_dir), **options)


def test_splits_are_kept_apart_and_labelled(data_dir):
    splits = open_splits(config(data_dir))
    for source, split in zip(splits, DIGITS):
        count = DIGITS[split]
        assert source.num_records == count and source.image_shape == (64, 64, 3)
        np.testing.assert_array_equal(source.labels, np.arange(count) % 3)
        frames = source.still().load_batch(tf.range(count, dtype=tf.int64)).numpy()
        shown = [moving.read(frame) for frame in frames]
        wanted = range(count) if split == "train" else range(11, 11 - count, -1)
        assert [s.digit for s in shown] == list(wanted)
        assert {s.image for s in shown} <= set(range(IMAGES[split]))
        backgrounds = source.read_out("background")
        np.testing.assert_array_equal(backgrounds.labels, [s.image % 3 for s in shown])
        assert backgrounds.class_names == ("ant", "bee", "cat")
    assert splits[0].fingerprint() != splits[1].fingerprint()


def test_small_images_are_enlarged_and_limited(data_dir):
    images = open_source(config(data_dir, "tfds:small").backgrounds, "train")
    pixels = background_pixels(images)
    assert pixels.shape == (9, 96, 96, 3) and pixels.dtype == np.uint8
    # Each pixel became eight; their mean is near it, for the images are smooth.
    means = pixels.reshape(9, 12, 8, 12, 8, 3).mean(axis=(2, 4))
    assert np.abs(means - [moving.small_image("train", n) for n in range(9)]).mean() < 4
    limited = open_source(config(data_dir, "tfds:small", moving_backgrounds=3), "train")
    ways = limited.ways(tf.range(10, dtype=tf.int64), tf.range(10, dtype=tf.int64))
    assert ways.images.numpy().max() == 2
    np.testing.assert_array_equal(limited.background_labels, [0, 4 % 3, 8 % 3])
    whole = open_source(config(data_dir, "tfds:small"), "train")
    assert whole.fingerprint() != limited.fingerprint()


def test_large_images_lose_their_margin(tmp_path):
    pixels = np.asarray(smooth_image(3, (192, 300)))
    (tmp_path / "one.png").write_bytes(tf.io.encode_png(pixels).numpy())
    (found,) = background_pixels(open_source(DataConfig(f"folder:{tmp_path}"), "train"))
    middle = pixels[54:246].reshape(96, 2, 96, 2, 3).mean(axis=(1, 3))
    assert np.abs(found - middle).mean() < 2


def test_speed_and_shared_factors_are_those_of_the_settings(data_dir):
    source = open_source(config(data_dir, moving_speed_ref=36.0, moving_shared="digit"), "train")
    assert source.speed == pytest.approx(3.6) and source.shared == ("digit",)
    mixed = config(data_dir, moving_shared="background, digit")
    assert mixed.shared_factors() == ("digit", "background")
    default = open_source(config(data_dir), "train")
    assert default.speed == pytest.approx(6.4) and len(default.shared) == 3


def test_backgrounds_without_a_test_split_have_no_test(data_dir, tmp_path):
    (tmp_path / "one.png").write_bytes(tf.io.encode_png(np.zeros([9, 9, 3], np.uint8)).numpy())
    assert open_splits(config(data_dir, f"folder:{tmp_path}"))[1] is None
    assert open_splits(config(data_dir, "tfds:trained"))[1] is None
    with pytest.raises(SettingsError, match="one of train of tfds:trained"):
        open_splits(config(data_dir, "tfds:trained", test_split="test"))


@pytest.mark.parametrize(
    "dataset, options, words",
    [
        ("moving_mnist:", {}, "'moving_mnist:<backgrounds>'. Received: 'moving_mnist:'"),
        ("moving_mnist:stl10", {}, "backgrounds of moving_mnist:stl10: dataset: expected"),
        ("moving_mnist:moving_mnist:digits", {}, "such as moving_mnist:tfds:stl10"),
        ("moving_mnist:digits", {"moving_shared": "digit,speed"}, "moving_shared: expected some"),
        ("moving_mnist:digits", {"moving_shared": ""}, "moving_shared: expected some"),
        ("moving_mnist:digits", {"moving_shared": "digit,digit"}, "each once"),
        ("moving_mnist:digits", {"class_list": "imagenet100"}, "class_list: expected no value"),
        ("moving_mnist:digits", {"verify_images": "full"}, "verify_images: expected only"),
        ("moving_mnist:digits", {"moving_backgrounds": 0}, "moving_backgrounds: expected >= 1"),
        ("digits", {"moving_backgrounds": 5}, "only moving_mnist: has clips"),
        ("tfds:stl10", {"moving_shared": "digit"}, "only moving_mnist: has clips"),
    ],
)
def test_settings_that_do_not_fit(dataset, options, words):
    with pytest.raises(SettingsError, match=words):
        DataConfig(dataset, **options)


def test_data_that_are_not_there(data_dir, tmp_path):
    with pytest.raises(SettingsError, match="'mnist' to be prepared .*--data_dir"):
        open_source(config(tmp_path), "train")
    with pytest.raises(SettingsError, match="'lost' to be prepared"):
        open_source(config(data_dir, "tfds:lost"), "train")
    with pytest.raises(SettingsError, match=str(tmp_path)):
        open_source(config(data_dir, f"folder:{tmp_path}"), "train")


def test_digits_of_another_size(tmp_path):
    features = tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(10, 10, 1))})
    write_prepared(
        *(tmp_path, "mnist", features, {"train": 4}),
        lambda split, number: {"image": np.zeros([10, 10, 1], np.uint8)},
    )
    with pytest.raises(SettingsError, match=r"digits of 28x28 pixels.*Received: \(10, 10, 3\)"):
        open_source(config(tmp_path, "digits"), "train")
