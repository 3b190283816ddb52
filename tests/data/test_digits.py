"""The embedded digits: split by digit, reproducible, legible, and poor for neighbours in pixels."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from tfssl.data import DataConfig, digits, open_source
from tfssl.settings import SettingsError


def test_no_digit_is_in_both_splits_and_none_is_lost():
    train, test = digits.digit_split("train"), digits.digit_split("test")
    assert set(train[2]).isdisjoint(test[2])
    assert sorted(np.concatenate([train[2], test[2]])) == list(range(1797))
    data = load_digits()
    for images, labels, numbers in (train, test):
        np.testing.assert_array_equal(labels, data.target[numbers])
        np.testing.assert_allclose(images * 16, data.images[numbers])
        share = np.bincount(labels) / np.bincount(data.target)
        np.testing.assert_allclose(share, len(numbers) / 1797, atol=0.01)


def test_every_digit_of_a_split_is_drawn():
    _, labels, _ = digits.digit_split("train")
    _, drawn = digits.draw_canvases("train", np.arange(len(labels)))
    np.testing.assert_array_equal(drawn, labels)


def test_a_canvas_depends_on_its_index_alone():
    indices = np.array([5000, 3, 8191, 3])
    pixels, labels = digits.draw_canvases("train", indices)
    several, _ = digits.draw_canvases("train", np.arange(2, 6))
    np.testing.assert_array_equal(pixels[1], pixels[3])
    np.testing.assert_array_equal(pixels[1], several[1])
    assert labels[1] == labels[3]
    other, _ = digits.draw_canvases("test", np.array([3]))
    assert (other[0] != pixels[1]).mean() > 0.5


def test_canvases_are_the_same_in_another_process():
    code = (
        "import hashlib, numpy; from tfssl.data import digits;"
        "print(hashlib.sha256(digits.draw_canvases('test', numpy.arange(40))[0]).hexdigest())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = hashlib.sha256(digits.draw_canvases("test", np.arange(40))[0]).hexdigest()
    assert run.stdout.split()[-1] == here


def test_the_digit_stands_out_at_its_place():
    """The same canvas without its digit differs where the digit is, by its contrast in luma."""
    images, labels, _ = digits.digit_split("train")
    draws = np.random.default_rng(0).random((64, digits._NUM_DRAWS)).astype(np.float32)
    chosen = np.arange(64)
    with_digit = digits._draw(draws, images, chosen).astype(np.float32) / 255
    without = digits._draw(draws, np.where(np.ones_like(images), 0, images), chosen) / 255.0
    change = np.abs((with_digit - without) @ digits._LUMA)
    # All ink lies inside the canvas and the strongest change is near the wanted contrast.
    assert (change.max(axis=(1, 2)) > 0.25).all()
    touched = (change > 0.1).mean(axis=(1, 2))
    assert ((touched > 0.03) & (touched < 0.5)).all()


def test_neighbours_in_pixel_space_are_poor():
    train, test = (open_source(DataConfig(), split) for split in ("train", "test"))
    assert (train.num_records, test.num_records) == (8192, 2048)
    assert train.image_shape == (32, 32, 3)
    pixels = [
        np.asarray(s.load_batch(s.drawable)).reshape(s.num_records, -1) for s in (train, test)
    ]
    mean = pixels[0].mean(axis=0)
    pixels = [p.astype(np.float32) - mean for p in pixels]
    knn = KNeighborsClassifier(20, metric="cosine", weights="distance", algorithm="brute")
    knn.fit(pixels[0], train.labels)
    accuracy = knn.score(pixels[1][:512], test.labels[:512])
    assert 0.1 < accuracy < 0.32


def test_classes_can_be_chosen(tmp_path):
    wanted = tmp_path / "classes.txt"
    wanted.write_text("7\n# not 4\n3\n")
    whole = open_source(DataConfig(), "test")
    part = open_source(DataConfig(class_list=str(wanted)), "test")
    assert part.class_names == ("3", "7")
    kept = np.flatnonzero(np.isin(whole.labels, [3, 7]))
    np.testing.assert_array_equal(part.load_batch(part.drawable), whole.load_batch(kept))
    np.testing.assert_array_equal(part.labels, (whole.labels[kept] == 7).astype(int))


def test_other_splits_do_not_exist():
    with pytest.raises(SettingsError, match="'train' or 'test'.*'val'"):
        open_source(DataConfig(), "val")
