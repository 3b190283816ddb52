"""Folders of images: formats, order, classes, splits, and what happens to broken files."""

import io
import logging
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.data.conftest import smooth_image
from tfssl.data import DataConfig, decode_rgb, open_source
from tfssl.data.image_check import why_bad
from tfssl.settings import SettingsError


def encoded(image, form, **options):
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def config(folder, **settings):
    return DataConfig(dataset=f"folder:{folder}", **settings)


def write(path, contents):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents)


def load(source, index):
    """The pixels of a record by way of a graph, as training reads them."""
    dataset = tf.data.Dataset.from_tensors(tf.constant(index, tf.int64))
    contents = next(iter(dataset.map(source.load)))
    head = contents.numpy()[:4]
    assert head[:3] == b"\xff\xd8\xff" or head == b"\x89PNG"
    return decode_rgb(contents).numpy()


RGB = smooth_image(1)
GREY = RGB.convert("L")
GOOD = {
    "rgb.jpg": (encoded(RGB, "JPEG"), None),
    "progressive.jpg": (encoded(RGB, "JPEG", progressive=True), None),
    "exif.jpg": (encoded(RGB, "JPEG", exif=b"Exif\0\0" + b"\xff\xd9" * 9000), None),
    "trailing.jpg": (encoded(RGB, "JPEG") + b"\0" * 500, encoded(RGB, "JPEG")),
    "grey.jpg": (encoded(GREY, "JPEG"), None),
    "cmyk.jpg": (encoded(RGB.convert("CMYK"), "JPEG"), None),
    "rgb.png": (encoded(RGB, "PNG"), None),
    "rgba.png": (encoded(RGB.convert("RGBA"), "PNG"), None),
    "grey.png": (encoded(GREY, "PNG"), None),
    "grey_alpha.png": (encoded(GREY.convert("LA"), "PNG"), None),
    "palette.png": (encoded(RGB.convert("P"), "PNG"), None),
    "two_levels.png": (encoded(GREY.convert("1"), "PNG"), None),
    "sixteen.png": (
        encoded(Image.fromarray(np.asarray(GREY).astype(np.uint16) * 257), "PNG"),
        encoded(GREY, "PNG"),
    ),
    "one_pixel.png": (encoded(RGB.resize((1, 1)), "PNG"), None),
    "rgb.bmp": (encoded(RGB, "BMP"), None),
    "rgba.bmp": (encoded(RGB.convert("RGBA"), "BMP"), None),
    "grey.bmp": (encoded(GREY, "BMP"), None),
    "still.gif": (encoded(RGB, "GIF"), None),
    "moving.gif": (
        encoded(RGB, "GIF", save_all=True, append_images=[RGB.rotate(90), GREY.convert("RGB")]),
        None,
    ),
    "no_extension": (encoded(RGB, "PNG"), None),
}
JPEG, PNG = GOOD["rgb.jpg"][0], GOOD["rgb.png"][0]
BAD = {
    "empty.jpg": b"",
    "text.jpg": b"<html>not found</html>" * 20,
    "half.jpg": JPEG[: len(JPEG) // 2],
    "no_end.jpg": JPEG[:-2],
    "magic_only.jpg": b"\xff\xd8\xff\xe0",
    "noise.jpg": b"\xff\xd8\xff" + bytes(range(256)) * 4,
    "half_exif.jpg": GOOD["exif.jpg"][0][:-100],
    "half.png": PNG[: len(PNG) // 2],
    "magic_only.png": PNG[:8],
    "half.gif": GOOD["still.gif"][0][:-40],
    "half.bmp": GOOD["rgb.bmp"][0][:-40],
    "palette.bmp": encoded(RGB.convert("P"), "BMP"),
    "two_levels.bmp": encoded(GREY.convert("1"), "BMP"),
    "photo.webp": encoded(RGB, "WEBP"),
    "photo.tiff": encoded(RGB, "TIFF"),
    "notes.txt": b"hello",
}


@pytest.mark.parametrize("name", GOOD)
def test_every_format_reads_as_pillow_does(tmp_path, name):
    contents, same_as = GOOD[name]
    write(tmp_path / name, contents)
    source = open_source(config(tmp_path, verify_images="header"), "train")
    image = Image.open(io.BytesIO(same_as or contents))
    # Pillow composes alpha away when it converts; the pixels under it are what is wanted.
    bands = image.getbands()
    image = image.getchannel(0) if bands == ("L", "A") else image
    expected = np.asarray(image.convert("RGB"), np.int32)
    found = load(source, 0).astype(np.int32)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= (40 if "cmyk" in name else 0)
    assert np.abs(found - expected).mean() <= 3


@pytest.mark.parametrize("verify", ["header", "full"])
@pytest.mark.parametrize("name", BAD)
def test_every_broken_file_is_found(tmp_path, name, verify):
    write(tmp_path / name, BAD[name])
    assert why_bad(str(tmp_path / name), verify)


def test_damage_in_the_middle_is_found_by_decoding(tmp_path):
    damaged = bytearray(PNG)
    damaged[len(PNG) // 2] ^= 0xFF
    write(tmp_path / "damaged.png", bytes(damaged))
    assert why_bad(str(tmp_path / "damaged.png"), "header") is None
    assert why_bad(str(tmp_path / "damaged.png"), "full") == "does not decode"


def test_bad_files_are_named_counted_and_keep_their_index(image_folder, caplog):
    write(image_folder / "ant" / "04.jpg", JPEG[:200])
    with caplog.at_level(logging.WARNING):
        source = open_source(config(image_folder), "train")
    assert source.num_records == 10
    assert source.paths[2] == os.path.join("ant", "04.jpg")
    assert list(source.drawable) == [0, 1, 3, 4, 5, 6, 7, 8, 9]
    assert list(source.labels) == [0] * 5 + [1] * 5
    assert "04.jpg is never drawn: truncated" in caplog.text
    assert "1 of 10 files (10.0%)" in caplog.text
    with pytest.raises(SettingsError, match="--max_bad_fraction"):
        open_source(config(image_folder, max_bad_fraction=0.05), "train")


def test_three_bad_of_ten_is_an_error_by_default(image_folder):
    for name in ("00", "02", "04"):
        write(image_folder / "ant" / f"{name}.jpg", b"gone")
    with pytest.raises(SettingsError, match=r"3 of 10 files \(30.0%\).*00.jpg \(not a JPEG"):
        open_source(config(image_folder), "train")
    source = open_source(config(image_folder, max_bad_fraction=0.3), "train")
    assert len(source.drawable) == 7


def test_only_bad_files_are_an_error_whatever_the_fraction(tmp_path):
    write(tmp_path / "a.jpg", b"gone")
    with pytest.raises(SettingsError, match="1 of 1 files"):
        open_source(config(tmp_path, max_bad_fraction=0.99), "train")


def test_order_is_by_bytes_and_hidden_files_do_not_count(tmp_path):
    names = ["b/1.png", "a/z.png", "a/B.png", "a/deep/x.png", "é/1.png", "a-b/1.png"]
    for name in [*names, ".hidden.png", "a/.DS_Store", ".git/x.png"]:
        write(tmp_path / name, PNG)
    source = open_source(config(tmp_path), "train")
    assert list(source.paths) == sorted(names, key=os.fsencode)
    assert source.class_names == ("a", "a-b", "b", "é")
    expected = [source.class_names.index(path.split("/")[0]) for path in source.paths]
    assert list(source.labels) == expected


def test_each_record_is_its_own_file(image_folder):
    source = open_source(config(image_folder), "train")
    for index, path in enumerate(source.paths):
        expected = np.asarray(Image.open(image_folder / path))
        np.testing.assert_array_equal(load(source, index), expected)


def test_a_name_that_is_no_utf8_is_read(tmp_path):
    raw = os.path.join(os.fsencode(tmp_path), b"caf\xe9.png")
    with open(raw, "wb") as file:
        file.write(PNG)
    assert load(open_source(config(tmp_path), "train"), 0).shape == (30, 40, 3)


def test_a_flat_folder_has_no_labels(tmp_path):
    for name in ("2.png", "1.png"):
        write(tmp_path / name, PNG)
    source = open_source(config(tmp_path), "train")
    assert source.labels is None and source.class_names is None
    assert source.paths == ("1.png", "2.png")


def test_loose_images_beside_classes_mean_no_labels(image_folder, caplog):
    write(image_folder / "loose.png", PNG)
    source = open_source(config(image_folder), "train")
    assert source.labels is None and source.num_records == 11
    assert "loose.png" in caplog.text


def test_a_stray_text_file_beside_classes_does_not_cost_the_labels(image_folder):
    write(image_folder / "README.txt", b"hello")
    source = open_source(config(image_folder), "train")
    assert source.paths[0] == "README.txt" and 0 not in source.drawable
    assert list(source.labels) == [-1] + [0] * 5 + [1] * 5


def test_split_folders_share_their_class_numbers(tmp_path):
    for name in ("train/ant/1.png", "train/cow/1.png", "val/bee/1.png", "val/cow/1.png"):
        write(tmp_path / name, PNG)
    settings = config(tmp_path, test_split="val")
    train, val = open_source(settings, "train"), open_source(settings, "val")
    assert train.class_names == val.class_names == ("ant", "bee", "cow")
    assert list(train.labels) == [0, 2] and list(val.labels) == [1, 2]
    with pytest.raises(SettingsError, match="sub-folder 'test'.*train, val"):
        open_source(config(tmp_path), "test")


def test_the_usual_test_folder_is_a_split_without_being_named(tmp_path):
    for name in ("train/ant/1.png", "train/cow/1.png", "test/bee/1.png", "test/cow/1.png"):
        write(tmp_path / name, PNG)
    train, test = (open_source(config(tmp_path), split) for split in ("train", "test"))
    assert train.class_names == test.class_names == ("ant", "bee", "cow")
    with pytest.raises(SettingsError, match="sub-folder 'training'.*test, train"):
        open_source(config(tmp_path, train_split="training"), "training")


def test_a_folder_without_splits_is_no_test_split(image_folder):
    with pytest.raises(SettingsError, match="sub-folder 'test'.*ant, bee"):
        open_source(config(image_folder), "test")
    assert open_source(config(image_folder, test_split="."), ".").num_records == 10


def test_a_class_list_keeps_only_its_folders(image_folder, tmp_path):
    (tmp_path / "list.txt").write_text("bee\n")
    source = open_source(config(image_folder, class_list=str(tmp_path / "list.txt")), "train")
    assert source.class_names == ("bee",) and source.num_records == 5
    assert list(source.labels) == [0] * 5
    with pytest.raises(SettingsError, match="100 of 100 unknown"):
        open_source(config(image_folder, class_list="imagenet100"), "train")


def test_links_are_followed_and_loops_end(image_folder, tmp_path):
    os.symlink(image_folder / "ant", image_folder / "cow")
    os.symlink(image_folder, image_folder / "bee" / "back")
    source = open_source(config(image_folder), "train")
    assert source.class_names == ("ant", "bee", "cow")
    assert np.bincount(source.labels)[2] == 5 and source.num_records == 15


@pytest.mark.parametrize("make", [False, True])
def test_a_missing_or_empty_folder_is_one_sentence(tmp_path, make):
    folder = tmp_path / "nothing"
    if make:
        folder.mkdir()
    with pytest.raises(SettingsError, match="no file at all" if make else "no folder .*nothing"):
        open_source(config(folder), "train")
