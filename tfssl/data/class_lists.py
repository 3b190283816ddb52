"""Named or written lists of classes, and the choice of the records that belong to them."""

import collections
import os
from typing import Optional, Sequence

import numpy as np

from tfssl.settings import SettingsError

# The 100 ImageNet classes of "Contrastive Multiview Coding", Tian et al. 2020, arXiv 1906.05849.
IMAGENET100 = tuple(
    """
n02869837 n01749939 n02488291 n02107142 n13037406 n02091831 n04517823 n04589890 n03062245 n01773797
n01735189 n07831146 n07753275 n03085013 n04485082 n02105505 n01983481 n02788148 n03530642 n04435653
n02086910 n02859443 n13040303 n03594734 n02085620 n02099849 n01558993 n04493381 n02109047 n04111531
n02877765 n04429376 n02009229 n01978455 n02106550 n01820546 n01692333 n07714571 n02974003 n02114855
n03785016 n03764736 n03775546 n02087046 n07836838 n04099969 n04592741 n03891251 n02701002 n03379051
n02259212 n07715103 n03947888 n04026417 n02326432 n03637318 n01980166 n02113799 n02086240 n03903868
n02483362 n04127249 n02089973 n03017168 n02093428 n02804414 n02396427 n04418357 n02172182 n01729322
n02113978 n03787032 n02089867 n02119022 n03777754 n04238763 n02231487 n03032252 n02138441 n02104029
n03837869 n03494278 n04136333 n03794056 n03492542 n02018207 n04067472 n03930630 n03584829 n02123045
n04229816 n02100583 n03642806 n04336792 n03259280 n02116738 n02108089 n03424325 n01855672 n02090622
""".split()
)
_NAMED = {"imagenet100": IMAGENET100}


def read_class_list(class_list: str) -> tuple[str, ...]:
    """Reads a list of class names.

    Args:
        class_list: a known name (`imagenet100`), or a text file with one class a line. Blank
            lines, and everything after a '#' at the start of a line or after a blank, are ignored.

    Returns:
        The class names, in the order of the list.

    Raises:
        SettingsError: no such list, an empty one, or a class named twice.
    """
    if class_list in _NAMED:
        return _NAMED[class_list]
    path = os.path.expanduser(class_list)
    if not os.path.isfile(path):
        raise SettingsError(
            f"class_list: expected one of {', '.join(_NAMED)} or a text file. "
            f"Received: {class_list!r}."
        )
    return read_names(path, setting="class_list")


def read_names(path: str, *, setting: str) -> tuple[str, ...]:
    """Reads the class names of a text file, one a line, as `read_class_list` does.

    Args:
        path: an existing file.
        setting: which setting named it, for the error.

    Raises:
        SettingsError: no class, or one named twice.
    """
    with open(path, encoding="utf-8") as lines:
        names = [_without_comment(line) for line in lines]
    names = [name for name in names if name]
    twice = sorted(name for name, count in collections.Counter(names).items() if count > 1)
    if not names or twice:
        received = f"{', '.join(twice)} more than once" if twice else "no class"
        raise SettingsError(
            f"{setting}: expected a file with one class name a line. Received: {received} "
            f"in {path!r}."
        )
    return tuple(names)


def _without_comment(line: str) -> str:
    """The class name on a line; a '#' inside a word (C#) belongs to the name."""
    return (" " + line).replace("\t", " ").split(" #")[0].strip()


def choose_classes(
    class_list: Optional[str], known: Optional[Sequence[str]], *, where: str
) -> Optional[tuple[str, ...]]:
    """The chosen classes in the order of `known`, which fixes their label values.

    Args:
        class_list: the setting, or None for all classes.
        known: the class names of the dataset, or None where it has no classes.
        where: name of the dataset, for the error.

    Returns:
        The chosen names in the order of `known`; all of them without a list.

    Raises:
        SettingsError: the dataset has no classes, or not all those of the list.
    """
    if class_list is None:
        return None if known is None else tuple(known)
    wanted = set(read_class_list(class_list))
    if known is None:
        raise SettingsError(
            f"class_list: expected a dataset with classes. Received: class_list={class_list!r} "
            f"for {where}, which has none."
        )
    unknown = sorted(wanted - set(known))
    if unknown:
        shown = ", ".join(unknown[:10]) + (", ..." if len(unknown) > 10 else "")
        raise SettingsError(
            f"class_list: expected classes of {where}. Received: {len(unknown)} of {len(wanted)} "
            f"unknown in {class_list!r}: {shown}."
        )
    return tuple(name for name in known if name in wanted)


def keep_classes(
    labels: np.ndarray, known: Sequence[str], chosen: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Selects the records of the chosen classes and renumbers their labels from 0.

    Args:
        labels: `[N]` integer, positions in `known`; -1 where unknown.
        known: all class names.
        chosen: the chosen ones, a subsequence of `known`.

    Returns:
        positions: `[M]` int64, ascending, the kept records.
        labels: `[M]` int64, positions in `chosen`.
    """
    rank = {name: number for number, name in enumerate(chosen)}
    # One row more than there are classes: label -1 finds -1 there.
    table = np.array([rank.get(name, -1) for name in known] + [-1], np.int64)
    renumbered = table[np.asarray(labels, np.int64)]
    positions = np.flatnonzero(renumbered >= 0)
    return positions, renumbered[positions]
