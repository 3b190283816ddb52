"""Settings check their values when they are made."""

import dataclasses
import math
from typing import Optional

import pytest

from tfssl.settings import Settings, SettingsError, describe_range, setting


@dataclasses.dataclass(frozen=True)
class Example(Settings):
    rate: float = setting(0.5, "A rate.", low=0.0, below=1.0)
    count: int = setting(3, "A count.", low=1, high=9)
    kind: str = setting("a", "A kind.", choices=("a", "b"))
    limit: Optional[int] = setting(None, "A limit.", above=0)
    on: bool = setting(True, "A switch.")


def test_defaults_are_valid():
    assert Example() == Example(0.5, 3, "a", None, True)


@pytest.mark.parametrize("rate", [0, 0.0, 0.999])
def test_bounds_are_as_written(rate):
    assert Example(rate=rate).rate == rate


@pytest.mark.parametrize(
    "bad, wanted",
    [
        ({"rate": 1.0}, "rate: expected >= 0 and < 1. Received: 1.0."),
        ({"rate": -0.1}, "rate: expected >= 0 and < 1. Received: -0.1."),
        ({"rate": math.nan}, "rate: expected >= 0 and < 1. Received: nan."),
        ({"rate": math.inf}, "rate: expected >= 0 and < 1. Received: inf."),
        ({"rate": "0.5"}, "rate: expected float. Received: '0.5'."),
        ({"rate": True}, "rate: expected float. Received: True."),
        ({"count": 10}, "count: expected >= 1 and <= 9. Received: 10."),
        ({"count": 2.0}, "count: expected int. Received: 2.0."),
        ({"kind": "c"}, "kind: expected one of a, b. Received: 'c'."),
        ({"limit": 0}, "limit: expected > 0. Received: 0."),
        ({"on": 1}, "on: expected bool. Received: 1."),
        ({"count": None}, "count: expected int. Received: None."),
    ],
)
def test_bad_values_are_refused_with_one_sentence(bad, wanted):
    with pytest.raises(SettingsError) as error:
        Example(**bad)
    assert str(error.value) == wanted
    assert error.value.field == next(iter(bad))


def test_ranges_in_words():
    fields = {field.name: field for field in dataclasses.fields(Example)}
    assert describe_range(fields["rate"]) == ">= 0 and < 1"
    assert describe_range(fields["on"]) == ""
