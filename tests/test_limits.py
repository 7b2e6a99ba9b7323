"""Limits and deadlines: finite by default, and they refuse nonsense."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, fields

import pytest

from aionet.errors import ConfigError
from aionet.limits import MIB, Limits, Timeouts


@pytest.mark.parametrize("kind", [Limits, Timeouts])
def test_every_default_is_finite(kind: type[Limits] | type[Timeouts]) -> None:
    values = kind()
    for field in fields(kind):
        assert 0 < getattr(values, field.name) < math.inf


@pytest.mark.parametrize("field", [field.name for field in fields(Limits)])
@pytest.mark.parametrize("value", [0, -1, True, 1.5, "10", None])
def test_a_limit_is_a_positive_whole_number(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"^{field} must be a whole number of at least 1, not "):
        Limits(**{field: value})  # type: ignore[arg-type]


def test_water_marks_are_in_order() -> None:
    with pytest.raises(ConfigError, match="low_water \\(65\\) must not be above high_water \\(64\\)"):
        Limits(low_water=65, high_water=64)
    assert Limits(low_water=64, high_water=64).high_water == 64


@pytest.mark.parametrize("field", [field.name for field in fields(Timeouts)])
@pytest.mark.parametrize("value", [0, -1.0, True, math.nan, "1", None])
def test_a_deadline_is_a_positive_number(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"^{field} must be a positive number of seconds, not "):
        Timeouts(**{field: value})  # type: ignore[arg-type]


def test_infinity_switches_a_deadline_off() -> None:
    assert Timeouts(idle=math.inf).idle == math.inf


def test_the_shortest() -> None:
    assert Timeouts().shortest == Timeouts().linger
    assert Timeouts(message=0.5).shortest == 0.5


def test_they_are_values() -> None:
    assert Limits(max_outbound=MIB) == Limits(max_outbound=MIB)
    assert hash(Timeouts(idle=1)) == hash(Timeouts(idle=1.0))
    with pytest.raises(FrozenInstanceError):
        Limits().max_outbound = 5  # type: ignore[misc]
    with pytest.raises(TypeError):
        Limits(5)  # type: ignore[call-arg]
