"""The grid of a sweep: which runs it consists of, all checked before the first one starts.

An axis is a flag and its values, `interclr_sampler=hard,random`. The cells of a sweep are the
product of its axes, once with every seed. A value can stand for several flags in two ways:

    flagfile=configs/cifar10/npid.cfg,configs/cifar10/moco.cfg    each value is a config
    interclr_labels=online,offline+interclr_offline_epochs=5      a value takes flags along

A cell is the command line of the sweep in which every `--grid` is replaced, in its place, by the
flags of one value of each of its axes. As everywhere, later flags win: those before `--grid` are
what the cells share, those after it override what a config of the grid says.
"""

import dataclasses
import functools
import hashlib
import itertools
import re
from typing import Callable, Dict, List, Optional, Sequence, Set, Tuple, Union

from tfssl import methods, views
from tfssl.settings import SettingsError, plain_fields
from tfssl.training.checks import check
from tfssl.training.settings import ExperimentConfig

# Settings behind a cell's arguments, and the flagfile that repeats them; raises SettingsError.
Read = Callable[[List[str]], Tuple[ExperimentConfig, str]]
# Arguments with every flagfile replaced by its lines.
Expand = Callable[[Sequence[str]], Sequence[str]]

# Longer names of directories are cut: file systems allow 255 bytes.
_LONGEST_NAME = 150


@dataclasses.dataclass(frozen=True)
class Choice:
    """One value of an axis: what it is called, and the flags it stands for."""

    label: str
    arguments: Tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Axis:
    """A flag that differs between cells, and its values."""

    flag: str
    choices: Tuple[Choice, ...]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Attributes:
        name: readable, of its own, and the same whatever other cells there are.
        point: the axes' values, in the order of the axes: what runs that differ in the seed share.
        seed: `--seed` of the run.
        flags_text: the resolved flags, one a line.
        config: the settings behind them.
    """

    name: str
    point: Tuple[str, ...]
    seed: int
    flags_text: str
    config: ExperimentConfig


@dataclasses.dataclass(frozen=True)
class Grid:
    """The cells of a sweep, all points with the first seed first, and the flags of its axes."""

    axes: Tuple[str, ...]
    cells: Tuple[Cell, ...]

    @property
    def points(self) -> Tuple[Tuple[str, ...], ...]:
        """The points, each once, in order."""
        return tuple(dict.fromkeys(cell.point for cell in self.cells))


def make_grid(
    arguments: Sequence[str],
    seeds: Optional[Sequence[int]],
    read: Read,
    expand: Expand = list,
) -> Grid:
    """The cells behind the arguments of a sweep.

    Args:
        arguments: the sweep's command line without flagfiles, in order; see the module.
        seeds: of every point; None for the one `--seed` of each cell.
        read: reads a cell's arguments.
        expand: opens the flagfiles in a value.

    Raises:
        SettingsError: the grid cannot be read, a cell cannot be run, or two cells are equal. The
            message names the cell.
    """
    command = _read_command(arguments)
    axes = [part for part in command if isinstance(part, Axis)]
    flags = tuple(axis.flag for axis in axes)
    twice = sorted({flag for flag in flags if flags.count(flag) > 1})
    if twice:
        raise SettingsError(f"--grid: expected each flag once. Received: {twice[0]} twice.")
    choices = [p.choices if isinstance(p, Axis) else (Choice("", (p,)),) for p in command]
    cells = []
    for seed in seeds or (None,):
        for chosen in itertools.product(*choices):
            labels = tuple(c.label for c, p in zip(chosen, command) if isinstance(p, Axis))
            given = [argument for choice in chosen for argument in choice.arguments]
            cells.append(_make_cell(flags, labels, given, seed, read))
    _check_flags(axes, expand)
    _check_differ(cells)
    _check_names(cells)
    return Grid(flags, tuple(cells))


def _make_cell(
    flags: Tuple[str, ...],
    labels: Tuple[str, ...],
    arguments: List[str],
    seed: Optional[int],
    read: Read,
) -> Cell:
    """One checked cell; raises SettingsError with its name."""
    pairs = [f"{flag}={label}" for flag, label in zip(flags, labels)]
    if seed is not None:
        arguments = [*arguments, f"--seed={seed}"]
    try:
        wanted, flags_text = read(arguments)
        check(wanted, _family(wanted.views))
    except ValueError as error:
        named = ",".join(pairs) or "without a grid"
        raise SettingsError(f"cell {named}: {error}") from error
    seed = wanted.training.seed
    return Cell(_directory_name([*pairs, f"seed={seed}"]), labels, seed, flags_text, wanted)


@functools.lru_cache(maxsize=None)
def _family(settings: views.ViewsConfig) -> views.ViewFamily:
    """The view family of training; most cells have the same."""
    return views.build_from(settings)


def _check_flags(axes: Sequence[Axis], expand: Expand) -> None:
    """Raises SettingsError where a value holds a flag that no run has, which would do nothing.

    The cells have been read: what is not a run's is the sweep's, not a slip of the pen.
    """
    known = _flags_of_a_run()
    for axis in axes:
        for choice in axis.choices:
            for argument in expand(choice.arguments):
                name = re.match(r"-*([^=]*)", argument)[1]
                if argument.startswith("-") and name not in known:
                    raise SettingsError(
                        f"--grid: expected flags of a run. Received: {axis.flag}={choice.label}, "
                        f"but --{name} belongs to the sweep, not to a run. Remedy: --{name} "
                        "outside --grid."
                    )


@functools.lru_cache(maxsize=None)
def _flags_of_a_run() -> Set[str]:
    """The names that settings of a run have as flags, also those that switch off."""
    parts = dataclasses.fields(ExperimentConfig)
    owners = [(part.type, "") for part in parts if part.name != "method"]
    owners += [(methods.get(name).Config, f"{name}_") for name in methods.names()]
    names = {prefix + field.name for owner, prefix in owners for field in plain_fields(owner)}
    return names | {f"no{name}" for name in names}


def _check_differ(cells: Sequence[Cell]) -> None:
    """Raises SettingsError where two cells are the same run."""
    owners: Dict[str, Cell] = {}
    for cell in cells:
        equal = owners.setdefault(cell.flags_text, cell)
        if equal is not cell:
            raise SettingsError(
                f"--grid: expected cells that differ. Received: {equal.name} and {cell.name}, "
                "whose flags are the same."
            )


def _check_names(cells: Sequence[Cell]) -> None:
    """Raises SettingsError where two cells would share a directory.

    Some file systems take upper and lower case for the same.
    """
    owners: Dict[str, Cell] = {}
    for cell in cells:
        owner = owners.setdefault(cell.name.lower(), cell)
        if owner is not cell:
            raise SettingsError(
                f"--grid: expected values that make names of their own. Received: "
                f"{owner.point} and {cell.point}, named {owner.name} and {cell.name}."
            )


def _directory_name(pairs: Sequence[str]) -> str:
    """`flag=value,flag=value,seed=0` in letters that every file system and shell takes."""
    name = re.sub(r"[^\w.,=+-]", "-", ",".join(pairs), flags=re.ASCII)
    if len(name) > _LONGEST_NAME:
        name = f"{name[:_LONGEST_NAME]}-{hashlib.sha1(name.encode()).hexdigest()[:8]}"
    return name


def _read_command(arguments: Sequence[str]) -> List[Union[str, Axis]]:
    """The arguments with every `--grid` replaced by its axes."""
    command: List[Union[str, Axis]] = []
    rest = iter(arguments)
    for argument in rest:
        name, equals, text = argument.partition("=")
        if name not in ("--grid", "-grid"):
            command.append(argument)
        else:
            command += read_axes(text if equals else next(rest, ""))
    return command


def read_axes(text: str) -> List[Axis]:
    """The axes in one text such as `lr=0.1,0.2;npid_loss=nce,softmax`.

    Double quotes keep what is between them together: `lr_decay_epochs="120,160","60,80"`.

    Args:
        text: axes, separated by semicolons.

    Raises:
        SettingsError: something else than flags and values.
    """
    if text.count('"') % 2:
        raise SettingsError(f"--grid: expected quotes in pairs. Received: {text!r}.")
    return [_read_axis(part) for part in _split(text, ";")]


def _read_axis(text: str) -> Axis:
    flag, equals, values = text.strip().partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z]\w*", flag):
        raise SettingsError(
            f"--grid: expected flag=value,value. Received: {text!r}. Remedy: the name of a flag "
            "without dashes, and no space before the =, as in lr=0.1,0.2."
        )
    return Axis(flag, tuple(_read_choice(flag, value.strip()) for value in _split(values, ",")))


def _read_choice(flag: str, text: str) -> Choice:
    """One value, with the flags that it takes along."""
    if not text:
        raise SettingsError(
            f'--grid: expected values of {flag}, separated by commas ("" for an empty one). '
            "Received: nothing between two commas."
        )
    value, *more = _split(text, r"\+(?=[A-Za-z]\w*=)")
    pairs = [pair.replace('"', "") for pair in (f"{flag}={value}", *more)]
    if any(pair.startswith("seed=") for pair in pairs):
        raise SettingsError("--grid: expected other flags than seed. Remedy: --seeds=0,1,2.")
    if flag == "flagfile":
        value = re.sub(r"^configs/|\.cfg$", "", value)
    label = "+".join([value, *more]).replace('"', "") or "empty"
    return Choice(label, tuple(f"--{pair}" for pair in pairs))


def _split(text: str, separator: str) -> List[str]:
    """Splits a text at a separator, a pattern, that is not between double quotes."""
    # Outside of quotes an even number of them follows.
    return re.split(rf'{separator}(?=(?:[^"]*"[^"]*")*[^"]*$)', text)
