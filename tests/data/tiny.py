"""A small TinyImageNet on disk, in the folders and lists of the released one."""

import pathlib
from typing import Sequence

from tests.data.conftest import smooth_image

# As in the released list, the order is not that of the names.
WNIDS = ("n02124075", "n04067472", "n01443537")
PER_CLASS = 4
TEST = 3


def image(split: str, number: int):
    """The image of a file, a Pillow image of 64x64 pixels."""
    return smooth_image([*split.encode(), number], (64, 64))


def write_tiny(root: pathlib.Path, wnids: Sequence[str] = WNIDS) -> pathlib.Path:
    """Writes `PER_CLASS` training and as many validation images of each class, and `TEST` images.

    Validation images are of the classes in turn.

    Returns:
        The folder.
    """
    folder = root / "tiny-imagenet-200"
    boxes, lines = "0\t0\t62\t62", []
    for place, wnid in enumerate(wnids):
        own = folder / "train" / wnid / "images"
        own.mkdir(parents=True)
        names = [f"{wnid}_{number}.JPEG" for number in range(PER_CLASS)]
        for number, name in enumerate(names):
            image("train", PER_CLASS * place + number).save(own / name)
        (own.parent / f"{wnid}_boxes.txt").write_text("".join(f"{n}\t{boxes}\n" for n in names))
    for split, count in (("val", PER_CLASS * len(wnids)), ("test", TEST)):
        (folder / split / "images").mkdir(parents=True)
        for number in range(count):
            name = f"{split}_{number}.JPEG"
            image(split, number).save(folder / split / "images" / name)
            lines += [f"{name}\t{wnids[number % len(wnids)]}\t{boxes}\n"] * (split == "val")
    # In another order than the files are listed in.
    (folder / "val" / "val_annotations.txt").write_text("".join(lines[::-1]))
    (folder / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in wnids))
    (folder / "words.txt").write_text("n00001740\tentity\n")
    return folder
