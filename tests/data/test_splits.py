"""The two splits of a run, and thinned sources."""

import numpy as np
import pytest
from PIL import Image

from tfssl.data import DataConfig, hold_out, open_splits, thin
from tfssl.settings import SettingsError


@pytest.fixture
def folder(tmp_path):
    for name in ("train", "val"):
        (tmp_path / name).mkdir()
        for number in range(6):
            Image.new("RGB", (4, 4), (40 * number, 0, 0)).save(tmp_path / name / f"{number}.png")
    return tmp_path


def test_a_named_test_split_is_opened(folder):
    train, test = open_splits(DataConfig(f"folder:{folder}", test_split="val"))
    assert (train.num_records, test.num_records) == (6, 6)


def test_no_test_split_where_none_is_called_test(folder):
    assert open_splits(DataConfig(f"folder:{folder}"))[1] is None


def test_a_damaged_test_split_is_no_missing_one(tmp_path):
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / name / "a.png")
    (tmp_path / "test" / "a.png").write_bytes(b"no image")
    with pytest.raises(SettingsError, match="1 of 1 files"):
        open_splits(DataConfig(f"folder:{tmp_path}"))


def test_a_fingerprint_sees_renamed_and_lost_files(folder):
    def fingerprint():
        return open_splits(DataConfig(f"folder:{folder}"))[0].fingerprint()

    before = fingerprint()
    assert before == fingerprint()
    (folder / "train" / "0.png").rename(folder / "train" / "9.png")
    renamed = fingerprint()
    assert renamed["num_records"] == before["num_records"] and renamed != before
    (folder / "train" / "1.png").unlink()
    assert fingerprint()["num_records"] == before["num_records"] - 1


@pytest.mark.parametrize("setting", [{"max_bad_fraction": 0.5}, {"verify_images": "full"}])
def test_settings_of_folders_are_refused_elsewhere(setting):
    with pytest.raises(SettingsError, match="only with a folder: or tiny_imagenet: dataset"):
        DataConfig("digits", **setting)


def test_an_empty_name_means_no_test_split():
    assert open_splits(DataConfig("digits", test_split=""))[1] is None
    assert open_splits(DataConfig("digits"))[1] is not None


def test_a_misspelt_test_split_is_an_error(folder):
    with pytest.raises(SettingsError, match="vall"):
        open_splits(DataConfig(f"folder:{folder}", test_split="vall"))


@pytest.mark.parametrize("limit", [1, 5, 100])
def test_thinned_records_keep_their_indices(folder, limit):
    source = open_splits(DataConfig("digits"))[0]
    thinned = thin(source, limit)
    assert len(thinned.drawable) == limit
    assert np.isin(thinned.drawable, source.drawable).all()
    assert thinned.num_records == source.num_records == 8192
    assert len(source.drawable) == 8192
    assert thin(source, 10**6) is source


@pytest.mark.parametrize("every", [2, 3, 10])
def test_held_out_records_are_a_part_of_their_own(every):
    """Disjoint, complete, spread evenly; records keep their indices, the source all of them."""
    source = thin(open_splits(DataConfig("digits"))[0], 101)
    before = source.drawable.copy()
    most, held_out = hold_out(source, every)
    assert len(held_out.drawable) == 101 // every
    assert not np.intersect1d(most.drawable, held_out.drawable).size
    np.testing.assert_array_equal(np.union1d(most.drawable, held_out.drawable), before)
    for part in (most, held_out):
        assert (np.diff(part.drawable) > 0).all() and part.num_records == source.num_records
        np.testing.assert_array_equal(part.labels, source.labels)
    np.testing.assert_array_equal(held_out.drawable, before[every - 1 :: every])
    np.testing.assert_array_equal(source.drawable, before)


@pytest.mark.parametrize("records, every", [(9, 10), (9, 1), (9, 0)])
def test_nothing_to_hold_out_or_nothing_else(records, every):
    source = thin(open_splits(DataConfig("digits"))[0], records)
    message = f"expected every >= 2 and at least so many images. Received: every={every}, 9 images"
    with pytest.raises(ValueError, match=message):
        hold_out(source, every)
