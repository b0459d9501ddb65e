"""When sensors fail: schedules of outages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nexus_rl.errors import UserError
from nexus_rl.wrappers.checks import (
    as_names,
    check_count,
    check_keys,
    check_names,
    check_number,
    check_probability,
)

Available = NDArray[np.bool_]
Numbers = NDArray[np.float64]
Generator = np.random.Generator
Probability = float | Mapping[str, float]


@dataclass(frozen=True)
class Moment:
    """What a schedule may know; nothing in it depends on observations.

    ``sensors`` are the M names, ``step`` counts from 0 (the reset) within the episode,
    ``total`` counts the steps of all episodes, and ``before`` (M,) is what this
    schedule drew in the step before, None at a reset.
    """

    sensors: tuple[str, ...]
    step: int
    total: int
    before: Available | None


class Schedule(ABC):
    """Says, step by step, which sensors are there; holds no state of its own.

    Subclass it and define ``draw`` for a schedule of your own.
    """

    def check(self, sensors: tuple[str, ...]) -> None:  # noqa: B027, optional
        """Raise ``UserError`` if this schedule does not fit ``sensors``."""

    @abstractmethod
    def draw(self, moment: Moment, rng: Generator) -> Available:
        """Which of ``moment.sensors`` are there: (M,) bool."""


@dataclass(frozen=True)
class Fixed(Schedule):
    """The ``available`` sensors are always there and the others never."""

    available: Collection[str]

    def check(self, sensors: tuple[str, ...]) -> None:
        check_names(self.available, sensors)

    def draw(self, moment: Moment, rng: Generator) -> Available:
        return _members(self.available, moment.sensors)


@dataclass(frozen=True)
class Bernoulli(Schedule):
    """Each sensor is missing with probability ``missing``, drawn anew each step.

    ``missing`` is one number in [0, 1] or one a sensor; sensors that a dictionary does
    not name never fail.
    """

    missing: Probability = 0.2

    def __post_init__(self) -> None:
        check_probability("missing", self.missing)

    def check(self, sensors: tuple[str, ...]) -> None:
        check_keys(self.missing, sensors)

    def draw(self, moment: Moment, rng: Generator) -> Available:
        missing = _per_sensor(self.missing, moment.sensors, 0.0)
        return _uniform(moment.sensors, rng) >= missing


@dataclass(frozen=True)
class PerEpisode(Bernoulli):
    """Like ``Bernoulli``, but one draw holds for the whole episode."""

    def draw(self, moment: Moment, rng: Generator) -> Available:
        return super().draw(moment, rng) if moment.before is None else moment.before


@dataclass(frozen=True)
class Markov(Schedule):
    """Outages in bursts (Gilbert-Elliott): each sensor fails and recovers by chance.

    A present sensor fails with probability ``fail`` a step and a missing one recovers
    with ``recover``: outages last 1/recover steps on average and take
    fail/(fail + recover) of the time. Episodes start from that stationary rate. Both
    are numbers in [0, 1] or one a sensor; sensors that a dictionary does not name never
    fail, and recover at once.
    """

    fail: Probability = 0.05
    recover: Probability = 0.2

    def __post_init__(self) -> None:
        check_probability("fail", self.fail)
        check_probability("recover", self.recover)

    def check(self, sensors: tuple[str, ...]) -> None:
        check_keys(self.fail, sensors)
        check_keys(self.recover, sensors)

    def draw(self, moment: Moment, rng: Generator) -> Available:
        fail = _per_sensor(self.fail, moment.sensors, 0.0)
        recover = _per_sensor(self.recover, moment.sensors, 1.0)
        drawn = _uniform(moment.sensors, rng)
        return _next_state(drawn, moment.before, fail, recover)


class _Group(Schedule):
    """Takes the group ``sensors`` out together; all, if None."""

    sensors: Collection[str] | None

    def check(self, sensors: tuple[str, ...]) -> None:
        if self.sensors is not None:
            check_names(self.sensors, sensors)

    def _without_group(self, moment: Moment, out: bool | Available) -> Available:
        return ~(_members(self.sensors, moment.sensors) & out)


@dataclass(frozen=True)
class CommonCause(_Group):
    """One shared fault takes a group of sensors at once, in bursts as in ``Markov``.

    ``rate`` and ``recover`` are the probabilities, a step, that the fault comes and
    goes; ``sensors`` is the group, all if None.
    """

    rate: float = 0.05
    recover: float = 0.2
    sensors: Collection[str] | None = None

    def __post_init__(self) -> None:
        check_probability("rate", self.rate)
        check_probability("recover", self.recover)

    def draw(self, moment: Moment, rng: Generator) -> Available:
        # All share one number, so the members of the group stay in step.
        drawn = np.full(len(moment.sensors), rng.random())
        up = _next_state(drawn, moment.before, self.rate, self.recover)
        return self._without_group(moment, ~up)


@dataclass(frozen=True)
class Periodic(_Group):
    """Of every ``period`` steps, ``length`` are an outage.

    Outages begin at the steps ``phase``, ``phase + period`` and so on; one that began
    before step 0 is under way there. ``sensors`` names those that fail, all if None.
    """

    period: int
    length: int
    sensors: Collection[str] | None = None
    phase: int = 0

    def __post_init__(self) -> None:
        check_count("period", self.period, 1)
        check_count("length", self.length, 0)
        check_number("phase", self.phase)
        if self.length > self.period:
            raise UserError(f"length must not be longer than period in {self}")

    def draw(self, moment: Moment, rng: Generator) -> Available:
        out = (moment.step - self.phase) % self.period < self.length
        return self._without_group(moment, out)


@dataclass(frozen=True)
class Window(_Group):
    """One outage an episode: ``length`` steps from step ``start`` (0 is the reset).

    ``sensors`` names those that fail, all if None.
    """

    start: int
    length: int
    sensors: Collection[str] | None = None

    def __post_init__(self) -> None:
        check_count("start", self.start, 0)
        check_count("length", self.length, 0)

    def draw(self, moment: Moment, rng: Generator) -> Available:
        out = self.start <= moment.step < self.start + self.length
        return self._without_group(moment, out)


@dataclass(frozen=True)
class Scripted(Schedule):
    """Row t of ``available`` (T, M), zeros and ones, holds in step t of an episode.

    The last row holds for the steps after the script.
    """

    available: ArrayLike

    def __post_init__(self) -> None:
        try:
            rows = np.asarray(self.available)
        except ValueError:  # rows of different lengths
            rows = np.empty(0)
        if rows.ndim != 2 or not rows.size or not np.isin(rows, (0, 1)).all():
            raise UserError(f"a script: (T, M) zeros and ones, got {self.available!r}")
        # Tuples cannot change afterwards, and compare to one truth value.
        script = tuple(map(tuple, rows.astype(bool).tolist()))
        object.__setattr__(self, "available", script)

    def check(self, sensors: tuple[str, ...]) -> None:
        columns = len(self.draw(Moment(sensors, 0, 0, None)))
        if columns != len(sensors):
            raise UserError(f"script of {columns} columns for the sensors {sensors}")

    def draw(self, moment: Moment, rng: Generator | None = None) -> Available:
        rows = cast("Sequence[Sequence[bool]]", self.available)
        return np.array(rows[min(moment.step, len(rows) - 1)], bool)


@dataclass(frozen=True)
class Curriculum(Schedule):
    """A schedule that grows harder: ``make(level)`` with a level that ramps.

    The level goes linearly from ``start`` to ``end`` over the first ``steps`` steps,
    counted across episodes, then stays. Steps are those of one environment (divide by
    the number of vectorised ones), and seeded resets do not start them again.
    ``Curriculum(Bernoulli, end=0.5, steps=100_000)`` ramps a probability;
    ``lambda level: Markov(0.1 * level, 0.2)`` can ramp anything.
    """

    make: Callable[[float], Schedule]
    end: float
    steps: int
    start: float = 0.0

    def __post_init__(self) -> None:
        check_count("steps", self.steps, 1)
        check_number("start", self.start)
        check_number("end", self.end)
        if not callable(self.make):
            raise UserError(f"make must be a function of a level, got {self.make!r}")

    def check(self, sensors: tuple[str, ...]) -> None:
        for level in (self.start, self.end):
            made: object = self.make(level)
            if not isinstance(made, Schedule):
                raise UserError(f"make must give a Schedule, gave {made!r}")
            made.check(sensors)

    def draw(self, moment: Moment, rng: Generator) -> Available:
        done = min(moment.total / self.steps, 1.0)
        level = self.start + (self.end - self.start) * done
        return self.make(level).draw(moment, rng)


def _uniform(sensors: tuple[str, ...], rng: Generator) -> Numbers:
    """A number in [0, 1) a sensor, the same for a name in any order: (M,)."""
    return rng.random(len(sensors))[ranks(sensors)]


@cache
def ranks(sensors: tuple[str, ...]) -> NDArray[np.intp]:
    """The place of each sensor among the sorted names: (M,)."""
    return np.argsort(np.argsort(sensors))


def _next_state(
    drawn: Numbers, before: Available | None, fail: ArrayLike, recover: ArrayLike
) -> Available:
    """A step of two-state chains from uniform numbers ``drawn``: (M,) bool."""
    fail, recover = np.broadcast_arrays(fail, recover)
    if before is None:
        # Without failures nor recoveries nothing ever happens: all are there.
        down = fail / np.where(fail + recover > 0, fail + recover, 1.0)
    else:
        down = np.where(before, fail, 1.0 - recover)
    there: Available = drawn >= down
    return there


def _per_sensor(value: Probability, sensors: Sequence[str], default: float) -> Numbers:
    """One number a sensor: (M,)."""
    if isinstance(value, Mapping):
        return np.array([value.get(name, default) for name in sensors], np.float64)
    return np.full(len(sensors), value, np.float64)


def _members(names: Collection[str] | None, sensors: Sequence[str]) -> Available:
    """Which sensors are among ``names`` (all, for None): (M,)."""
    chosen = sensors if names is None else as_names(names)
    return np.array([name in chosen for name in sensors], bool)
