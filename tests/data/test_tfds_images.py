"""Prepared datasets whose records have several images: one of them is chosen by name."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tests.data.conftest import smooth_image
from tests.data.prepared import write_prepared
from tfssl.data import DataConfig, PixelSource, decode_rgb, open_source, open_splits
from tfssl.data.tfds_source import EncodedSource, RecordFileSource, open_tfds
from tfssl.settings import SettingsError

pytestmark = pytest.mark.usefixtures("no_network")
SIZES = {"train": 5, "validation": 3}
# Sizes of the images of a record by the name of the feature, None where they differ.
KINDS = {
    "div2k": {"hr": None, "lr": None},
    "zoo_sizes": {"large": None, "tiny": (6, 8)},
    "zoo_named": {"depth": (6, 8), "image": (6, 8)},
    "zoo_blind": {},
}


def pixels(feature, split, number):
    """The image of a record, another for each feature; pairs are of one scene, 2:1, as DIV2K's."""
    width = {"hr": 40, "lr": 20, "large": 30}.get(feature, 8)
    height = width * 3 // 4 + (number if width > 8 else 0)
    seed = [*feature.encode(), number, split == "train"]
    return np.asarray(smooth_image(seed, (width, height)))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Datasets with two images in a record, and one with none; div2k has the configs it has."""
    root = tmp_path_factory.mktemp("prepared")
    for name, sizes in KINDS.items():
        images = {
            key: tfds.features.Image(shape=(*(size or (None, None)), 3))
            for key, size in sizes.items()
        }
        features = tfds.features.FeaturesDict({**images, "id": tfds.features.Text()})

        def example(split, number, sizes=sizes):
            shown = {key: pixels(key, split, number) for key in sizes}
            return {**shown, "id": f"{split}-{number}"}

        config = "bicubic_x2" if name == "div2k" else ""
        write_prepared(root, name, features, SIZES, example, config=config)
    return root


def config(data_dir, name, **settings):
    return DataConfig(dataset=f"tfds:{name}", data_dir=str(data_dir), **settings)


def assert_shows(source, feature, split):
    dataset = tf.data.Dataset.from_tensor_slices(source.drawable).map(source.load)
    shown = [(decode_rgb(x) if x.dtype == tf.string else x).numpy() for x in dataset]
    assert len(shown) == source.num_records == SIZES[split]
    for number, found in enumerate(shown):
        np.testing.assert_array_equal(found, pixels(feature, split, number))


@pytest.mark.parametrize("limit", [0, 1 << 30])
@pytest.mark.parametrize(
    "name, feature, held",
    [
        ("div2k@hr", "hr", EncodedSource),
        ("div2k@lr", "lr", EncodedSource),
        ("div2k/bicubic_x2@hr", "hr", EncodedSource),
        ("div2k/bicubic_x2:1.0.0@lr", "lr", EncodedSource),
        ("zoo_sizes@large", "large", EncodedSource),
        ("zoo_sizes@tiny", "tiny", PixelSource),
        ("zoo_named", "image", PixelSource),
        ("zoo_named@depth", "depth", PixelSource),
    ],
)
def test_the_chosen_image_is_read(data_dir, name, feature, held, limit):
    for split in SIZES:
        settings = config(data_dir, name)
        source = open_tfds(settings, split, name=name, in_memory_bytes=limit)
        assert type(source) is (held if limit else RecordFileSource)
        assert source.name == f"tfds:{name}/{split}"
        assert_shows(source, feature, split)


def test_records_without_labels_are_as_elsewhere(data_dir):
    """DIV2K has neither classes nor a split called test: nothing is judged on it."""
    train, test = open_splits(config(data_dir, "div2k@hr"))
    assert (train.labels, train.class_names, train.may_have_labels) == (None, None, False)
    assert test is None
    _, named = open_splits(config(data_dir, "div2k@hr", test_split="validation"))
    assert_shows(named, "hr", "validation")


@pytest.mark.parametrize(
    "name, sentence",
    [
        (
            "div2k",
            "expected the choice of one image of tfds:div2k. Received: none, and its records have "
            "hr, lr. Remedy: name one, as in tfds:div2k@hr.",
        ),
        (
            "div2k/bicubic_x2",
            "expected the choice of one image of tfds:div2k/bicubic_x2. Received: none, and its "
            "records have hr, lr. Remedy: name one, as in tfds:div2k/bicubic_x2@hr.",
        ),
        (
            "div2k@id",
            "expected an image of tfds:div2k behind the @, one of hr, lr. Received: 'id'.",
        ),
        (
            "zoo_named@",
            "expected an image of tfds:zoo_named behind the @, one of depth, image. Received: ''.",
        ),
        (
            "zoo_blind",
            "expected a feature that is an image in tfds:zoo_blind. Received: none among id.",
        ),
    ],
)
def test_what_cannot_be_chosen_is_one_sentence(data_dir, name, sentence):
    with pytest.raises(SettingsError) as error:
        open_source(config(data_dir, name), "train")
    assert str(error.value) == f"dataset: {sentence}"


def test_what_is_not_prepared_is_named_without_its_image(data_dir):
    with pytest.raises(SettingsError, match="expected 'zoo_lost' to be prepared"):
        open_source(config(data_dir, "zoo_lost@hr"), "train")
