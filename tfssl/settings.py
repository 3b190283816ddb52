"""Settings: the fields of frozen dataclasses, each with its default, its range and its help.

A settings class is the single source of what may be chosen. `tfssl.config` turns the fields into
command-line flags; code builds the same classes directly. This module knows neither absl nor
TensorFlow, so every room may use it.

    @dataclasses.dataclass(frozen=True)
    class Config(Settings):
        beta: float = setting(2 / 3, "Trade-off of the mutual information.", low=0.0, below=1.0)
"""

import contextlib
import dataclasses
import math
import typing
from typing import Any, Iterator, List, Optional, Sequence


class SettingsError(ValueError):
    """A setting that cannot be used; the message is one sentence for the person who gave it.

    Attributes:
        field: the name of the field at fault, or None where a combination is.
    """

    def __init__(self, message: str, field: Optional[str] = None):
        super().__init__(message)
        self.field = field


@contextlib.contextmanager
def flags_named(prefix: str) -> Iterator[None]:
    """Errors about a field begin with its flag, `--`, the prefix and the field's name."""
    try:
        yield
    except SettingsError as error:
        if error.field is None or str(error).startswith("--"):
            raise
        raise SettingsError(f"--{prefix}{error}", error.field) from error


def setting(
    default: Any,
    help: str,
    *,
    low: Optional[float] = None,
    high: Optional[float] = None,
    above: Optional[float] = None,
    below: Optional[float] = None,
    choices: Optional[Sequence[str]] = None,
) -> Any:
    """Declares one field of a `Settings` class.

    Args:
        default: the default value. Its class must match the field's annotation.
        help: what the setting does, with its unit; shown by `--help`.
        low, high: inclusive bounds, for numbers.
        above, below: exclusive bounds, for numbers.
        choices: the allowed values, for strings.
    """
    limits = {"low": low, "high": high, "above": above, "below": below, "choices": choices}
    return dataclasses.field(default=default, metadata={"help": help, **limits})


def part(field: str) -> Any:
    """Declares a field that holds the settings of the method which another field names."""
    return dataclasses.field(default=None, metadata={"part": field})


def plain_fields(owner: Any) -> List[dataclasses.Field]:
    """The fields of a settings class or instance that hold one value, in order."""
    return [f for f in dataclasses.fields(owner) if "part" not in f.metadata]


def part_fields(owner: Any) -> List[dataclasses.Field]:
    """The fields that hold settings of a method; `metadata["part"]` names who names it."""
    return [f for f in dataclasses.fields(owner) if "part" in f.metadata]


class Settings:
    """Base of settings dataclasses: values are checked when an instance is made."""

    def __post_init__(self):
        for field in plain_fields(self):
            _check(field, getattr(self, field.name), value_type(type(self), field))
        self.check()

    def check(self) -> None:
        """Raises SettingsError on impossible combinations; subclasses say which."""

    def refuse(self, reason: str, *names: str) -> None:
        """Raises SettingsError where a named setting, without an effect, is not its default."""
        for field in dataclasses.fields(self):
            if field.name in names and getattr(self, field.name) != field.default:
                raise SettingsError(
                    f"{field.name}: expected no value, because {reason}. Received: "
                    f"{getattr(self, field.name)}. Remedy: drop it.",
                    field.name,
                )


def value_type(owner: type, field: dataclasses.Field) -> type:
    """The plain class (bool, int, float, str) behind a field's annotation, Optional or not."""
    annotation = typing.get_type_hints(owner)[field.name]
    inner = [a for a in typing.get_args(annotation) if a is not type(None)]
    return inner[0] if inner else annotation


def describe_range(field: dataclasses.Field) -> str:
    """The range of a field in words, or an empty string where anything goes."""
    limits = field.metadata
    if limits.get("choices") is not None:
        return "one of " + ", ".join(limits["choices"])
    words = {"low": ">= ", "above": "> ", "high": "<= ", "below": "< "}
    return " and ".join(
        f"{word}{limits[k]:g}" for k, word in words.items() if limits.get(k) is not None
    )


def _check(field: dataclasses.Field, value: Any, expected: type) -> None:
    """Raises SettingsError unless `value` has the field's class and lies in its range."""
    if value is None and field.default is None:
        return
    accepted = (int, float) if expected is float else expected
    if not isinstance(value, accepted) or (isinstance(value, bool) and expected is not bool):
        raise SettingsError(
            f"{field.name}: expected {expected.__name__}. Received: {value!r}.", field.name
        )
    limits = field.metadata
    inside = True
    if limits.get("choices") is not None:
        inside = value in limits["choices"]
    elif expected in (int, float):
        inside = (
            math.isfinite(value)
            and (limits.get("low") is None or value >= limits["low"])
            and (limits.get("high") is None or value <= limits["high"])
            and (limits.get("above") is None or value > limits["above"])
            and (limits.get("below") is None or value < limits["below"])
        )
    if not inside:
        wanted = describe_range(field) or "a finite number"
        raise SettingsError(f"{field.name}: expected {wanted}. Received: {value!r}.", field.name)
