"""Arguments that cannot work are refused, with an error that says what would."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from nexus_rl.errors import UserError, choose


def as_names(names: Iterable[str]) -> tuple[str, ...]:
    """A tuple of names; a lone string is one name."""
    return (names,) if isinstance(names, str) else tuple(names)


def check_count(what: str, value: Any, least: int) -> None:
    """Raise ``UserError`` unless ``value`` is an integer of at least ``least``."""
    if not isinstance(value, Integral) or int(value) < least:
        raise UserError(f"{what} must be an integer of at least {least}, got {value!r}")


def check_number(what: str, value: Any) -> None:
    """Raise ``UserError`` unless ``value`` is a finite number."""
    if not isinstance(value, Real) or not np.isfinite(float(value)):
        raise UserError(f"{what} must be a finite number, got {value!r}")


def check_probability(what: str, value: Any) -> None:
    """Raise ``UserError`` unless ``value`` is a probability, or one a name."""
    values = value.values() if isinstance(value, Mapping) else [value]
    if not all(isinstance(each, Real) and 0 <= float(each) <= 1 for each in values):
        raise UserError(f"{what} must be a probability in [0, 1], got {value!r}")


def check_names(names: Any, sensors: tuple[str, ...]) -> None:
    """Raise ``UserError`` unless all ``names`` are among ``sensors``."""
    if not isinstance(names, Collection):
        raise UserError(f"expected names of sensors, got {names!r}")
    for name in as_names(names):
        choose(name, dict.fromkeys(sensors), "sensor")


def check_keys(value: Any, sensors: tuple[str, ...]) -> None:
    """Raise ``UserError`` where a dictionary names sensors that do not exist."""
    if isinstance(value, Mapping):
        check_names(value, sensors)
