"""Prepared tensorflow-datasets data, read offline and by record number."""

import logging
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tests.data.conftest import smooth_image
from tests.data.prepared import write_prepared
from tests.random_inputs import fresh_rng
from tfssl.data import DataConfig, PixelSource, decode_rgb, open_source
from tfssl.data.tfds_source import EncodedSource, RecordFileSource, open_tfds
from tfssl.data.tfrecords import FileRange, read_at, scan_offsets
from tfssl.settings import SettingsError

pytestmark = pytest.mark.usefixtures("no_network")
SIZES = {"train": 23, "test": 7}
CLASSES = ["owl", "cat", "ant"]


def record(split, number, kind):
    """Pixels and label of one record of a prepared dataset."""
    label = number % 3 if kind != "unlabelled" else -1
    if kind == "large":
        image = smooth_image(number, (80 + number, 70))
    else:
        image = smooth_image(number + 100 * (split == "test"), (12, 10))
    return np.asarray(image.convert("L"))[..., None] if kind == "grey" else np.asarray(image), label


def features_of(kind):
    shape = {"large": (None, None, 3), "grey": (10, 12, 1)}.get(kind, (10, 12, 3))
    features = {"id": tfds.features.Text(), "image": tfds.features.Image(shape=shape)}
    if kind != "plain":
        features["label"] = tfds.features.ClassLabel(names=CLASSES)
    return tfds.features.FeaturesDict(features)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Five small datasets."""
    root = tmp_path_factory.mktemp("prepared")
    for kind in ("pixels", "grey", "large", "plain", "unlabelled"):
        features = features_of(kind)

        def example(split, number, kind=kind, features=features):
            image, label = record(split, number, kind)
            values = {"id": f"{split}-{number}", "image": image, "label": label}
            return {key: values[key] for key in features.keys()}

        write_prepared(root, f"zoo_{kind}", features, SIZES, example)
    return root


def config(data_dir, kind, **settings):
    return DataConfig(dataset=f"tfds:zoo_{kind}", data_dir=str(data_dir), **settings)


def pixels_of(source):
    """All records by way of a graph."""
    assert len(source.drawable) == source.num_records
    dataset = tf.data.Dataset.from_tensor_slices(source.drawable).map(source.load)
    found = list(dataset)
    return [(decode_rgb(x) if x.dtype == tf.string else x).numpy() for x in found]


def expected(split, kind, numbers):
    images = [record(split, n, kind)[0] for n in numbers]
    return [np.broadcast_to(image, image.shape[:2] + (3,)) for image in images]


@pytest.mark.parametrize("limit", [0, 1 << 30])
@pytest.mark.parametrize(
    "kind, held", [("pixels", PixelSource), ("grey", PixelSource), ("large", EncodedSource)]
)
def test_records_are_the_files_records_in_order(data_dir, kind, held, limit):
    settings = config(data_dir, kind)
    source = open_tfds(settings, "train", name=f"zoo_{kind}", in_memory_bytes=limit)
    assert type(source) is (held if limit else RecordFileSource)
    assert source.num_records == 23 and source.class_names == tuple(CLASSES)
    assert source.image_shape == ((10, 12, 3) if limit and held is PixelSource else None)
    for found, wanted in zip(pixels_of(source), expected("train", kind, range(23))):
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(source.labels, [n % 3 for n in range(23)])


@pytest.mark.parametrize("limit", [0, 1 << 30])
@pytest.mark.parametrize(
    "split, numbers",
    [
        ("train[:4]", [("train", range(4))]),
        ("train[5:12]", [("train", range(5, 12))]),
        ("train[-3:]", [("train", range(20, 23))]),
        ("train[50%:]", [("train", range(12, 23))]),
        ("test+train[:2]", [("test", range(7)), ("train", range(2))]),
    ],
)
def test_slices_follow_the_syntax_of_tfds(data_dir, split, numbers, limit):
    source = open_tfds(config(data_dir, "grey"), split, name="zoo_grey", in_memory_bytes=limit)
    wanted = [image for name, some in numbers for image in expected(name, "grey", some)]
    assert source.num_records == len(wanted)
    for found, image in zip(pixels_of(source), wanted):
        np.testing.assert_array_equal(found, image)
    labels = [n % 3 for _, some in numbers for n in some]
    np.testing.assert_array_equal(source.labels, labels)


def test_the_library_itself_reads_the_same(data_dir):
    builder = tfds.builder_from_directory(str(data_dir / "zoo_large" / "1.0.0"))
    read = builder.as_dataset(split="train", shuffle_files=False)
    by_content = {example["image"].numpy().tobytes() for example in read}
    source = open_source(config(data_dir, "large"), "train")
    assert {image.tobytes() for image in pixels_of(source)} == by_content
    assert len(by_content) == 23


@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_classes_are_selected(data_dir, tmp_path, limit):
    (tmp_path / "list.txt").write_text("ant\nowl\n")
    settings = config(data_dir, "pixels", class_list=str(tmp_path / "list.txt"))
    source = open_tfds(settings, "train", name="zoo_pixels", in_memory_bytes=limit)
    kept = [n for n in range(23) if n % 3 != 1]
    assert source.class_names == ("owl", "ant")
    np.testing.assert_array_equal(source.labels, [(n % 3) // 2 for n in kept])
    assert source.num_records == len(kept)
    for found, wanted in zip(pixels_of(source), expected("train", "pixels", kept)):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("limit", [0, 1 << 30])
@pytest.mark.parametrize("kind", ["plain", "unlabelled"])
def test_labels_are_optional(data_dir, kind, limit, caplog, tmp_path):
    with caplog.at_level(logging.WARNING):
        settings = config(data_dir, kind)
        source = open_tfds(settings, "train", name=f"zoo_{kind}", in_memory_bytes=limit)
        assert source.labels is None
    assert ("without a label" in caplog.text) == (kind == "unlabelled")
    (tmp_path / "list.txt").write_text("owl\n")
    with pytest.raises(SettingsError, match="which has none"):
        open_source(config(data_dir, kind, class_list=str(tmp_path / "list.txt")), "train")


def test_what_is_not_there_is_one_sentence(data_dir):
    with pytest.raises(SettingsError, match="'zoo_lost' .* under .*--data_dir.*--download"):
        open_source(config(data_dir, "lost"), "train")
    with pytest.raises(SettingsError, match="one of train, test of tfds:zoo_grey.*'val'"):
        open_source(config(data_dir, "grey"), "val")
    with pytest.raises(SettingsError, match=r"such as 'train\[:90%\]'"):
        open_source(config(data_dir, "grey"), "train[:")


def test_a_registered_dataset_that_is_not_prepared_is_not_fetched(tmp_path):
    settings = DataConfig(dataset="tfds:cifar100", data_dir=str(tmp_path))
    with pytest.raises(SettingsError, match="--download"):
        open_source(settings, "train")


def test_a_failed_download_says_why(tmp_path):
    settings = DataConfig(dataset="tfds:no_such_zoo", data_dir=str(tmp_path), download=True)
    with pytest.raises(SettingsError, match="to download 'no_such_zoo'"):
        open_source(settings, "train")


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_incomplete_files_are_an_error(data_dir, tmp_path, damage):
    shutil.copytree(data_dir / "zoo_grey", tmp_path / "zoo_grey")
    path = sorted((tmp_path / "zoo_grey" / "1.0.0").glob("*train*"))[1]
    contents = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(contents[:-5])
    with pytest.raises(SettingsError, match="not complete.*train"):
        open_source(config(tmp_path, "grey"), "train")


def test_any_record_of_a_file_is_read_by_its_offset(tmp_path):
    rng = fresh_rng()
    records = [rng.bytes(int(rng.integers(0, 3000))) for _ in range(40)]
    path = str(tmp_path / "some.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for each in records:
            writer.write(each)
    (offsets,) = scan_offsets([FileRange(path, 3, 30)])
    order = rng.permutation(30)
    dataset = tf.data.Dataset.from_tensor_slices(offsets[order])
    read = list(dataset.map(lambda offset: read_at(path, offset)).as_numpy_iterator())
    assert read == [records[3 + n] for n in order]
    with pytest.raises(OSError, match="expected 41 whole records.*40 records"):
        scan_offsets([FileRange(path, 0, 41)])
