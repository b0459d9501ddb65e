"""Which sensors are there, and hiding the others: one environment at a time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, cast, get_args

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from nexus_rl.errors import UserError, choose
from nexus_rl.wrappers.schedules import (
    Available,
    Generator,
    Markov,
    Moment,
    Schedule,
    as_names,
)

Fill = Literal["zero", "hold", "noise"]
Schedules = Schedule | Sequence[Schedule]
# One array a sensor; `Any` because the spaces of Gymnasium are typed so.
Observation = dict[str, Any]

MASK = "available"
BURSTS = Markov(fail=0.05, recover=0.2)  # outages of 5 steps, a fifth of the time


class Timetable:
    """Runs the schedules of one environment: which sensors are there, step by step.

    ``seed`` takes one child of the environment's generator, which leaves the numbers
    that the environment itself draws as they were. Every episode takes further
    children of that child. So what happens in the n-th episode after a seed depends on
    the seed and on n, whatever the policy does and however long episodes last.
    """

    def __init__(self, schedule: Schedules, sensors: tuple[str, ...]) -> None:
        several: Any = schedule if isinstance(schedule, (list, tuple)) else [schedule]
        self.schedules: tuple[Schedule, ...] = tuple(several)
        for each in several:
            if not isinstance(each, Schedule):
                raise UserError(f"expected a Schedule such as Markov(), got {each!r}")
            each.check(sensors)
        self.sensors = sensors
        self.rng: Generator  # of this episode, for whoever uses the timetable
        self._root: Generator | None = None
        self._total = 0

    @property
    def seeded(self) -> bool:
        """Whether ``seed`` was called; it must be, before ``start``."""
        return self._root is not None

    def seed(self, np_random: Generator) -> None:
        """Draw from now on from a child of the environment's generator."""
        (self._root,) = np_random.spawn(1)

    def start(self) -> Available:
        """Begin an episode: which sensors are there at its reset, (M,) bool."""
        assert self._root is not None
        self.rng, *self._rngs = self._root.spawn(1 + len(self.schedules))
        self._step = 0
        self._before: list[Available | None] = [None] * len(self.schedules)
        return self._draw()

    def advance(self) -> Available:
        """Which sensors are there one step later: (M,) bool."""
        self._step += 1
        self._total += 1
        return self._draw()

    def _draw(self) -> Available:
        there = np.ones(len(self.sensors), bool)
        for i, (schedule, rng) in enumerate(
            zip(self.schedules, self._rngs, strict=True)
        ):
            moment = Moment(self.sensors, self._step, self._total, self._before[i])
            drawn = np.asarray(schedule.draw(moment, rng), bool)
            if drawn.shape != there.shape:
                raise UserError(
                    f"{type(schedule).__name__}.draw gave shape {drawn.shape}, "
                    f"expected {there.shape}: one entry a sensor of "
                    f"{', '.join(self.sensors)}"
                )
            self._before[i] = drawn
            there &= drawn
        return there


class Masker:
    """Hides the missing sensors in the observations of one environment.

    What ``SensorDropout`` and its vectorised kin share; its docstring has the
    arguments. ``space`` is the environment's, ``observation_space`` the result's.
    """

    def __init__(
        self,
        space: spaces.Space[Any],
        schedule: Schedules = BURSTS,
        fill: Fill = "zero",
        min_available: int = 1,
        sensors: Collection[str] | None = None,
        stack: int | Mapping[str, int] = 1,
    ) -> None:
        choose(fill, dict.fromkeys(get_args(Fill)), "fill")
        self._boxes = sensor_boxes(space, sensors)
        self.sensors = tuple(self._boxes)
        self.fill = fill
        self.min_available = min_available
        self.stack = _stack_sizes(stack, self.sensors)
        self.observation_space = with_mask(space, len(self.sensors))
        self.timetable = Timetable(schedule, self.sensors)
        self._held: Observation = {}
        self._check()

    def _check(self) -> None:
        if not 0 <= self.min_available <= len(self.sensors):
            raise UserError(
                f"min_available must lie in [0, {len(self.sensors)}], the number of "
                f"sensors, got {self.min_available}"
            )
        for name, box in self._boxes.items():
            if self.fill == "noise" and not np.isfinite(span(box)).all():
                raise UserError(
                    f"sensor {name!r} has no finite bounds to draw noise in; use "
                    "fill='zero' or 'hold'"
                )

    def start(self, observation: Observation) -> tuple[Observation, dict[str, bool]]:
        """The first observation of an episode, masked, and which sensors are there."""
        there = self.timetable.start()
        (self._noise,) = self.timetable.rng.spawn(1)
        self._held = {}
        # A reset fills every frame of a stack, so all windows count as whole.
        self._run: NDArray[np.int64] = self.stack.copy()
        self._short = False
        return self._mask(observation, self._settle(there))

    def advance(self, observation: Observation) -> tuple[Observation, dict[str, bool]]:
        """The observation of the next step, masked, and which sensors are there."""
        return self._mask(observation, self._settle(self.timetable.advance()))

    def _settle(self, there: Available) -> Available:
        """Apply the rule of stacked frames and ``min_available``: (M,) bool."""
        run = np.where(there, self._run + 1, 0)  # fresh steps in a row
        lacking = self.min_available - np.count_nonzero(run >= self.stack)
        if lacking > 0:
            if not self._short:
                self._order = self.timetable.rng.permutation(len(self.sensors))
            # Only sensors whose other frames are fresh are whole at once. There are
            # enough of them: those that were available in the step before.
            whole = ~there & (self._run + 1 >= self.stack)
            back = self._order[whole[self._order]][:lacking]
            run[back] = self._run[back] + 1
        self._short = bool(lacking > 0)
        self._run = run
        return run >= self.stack

    def _mask(
        self, observation: Observation, available: Available
    ) -> tuple[Observation, dict[str, bool]]:
        masked = dict(observation)
        for name, there in zip(self.sensors, available, strict=True):
            if not there:
                masked[name] = self._substitute(name)
            elif self.fill == "hold":
                self._held[name] = np.array(observation[name])
        masked[MASK] = available.astype(np.float32)
        return masked, dict(zip(self.sensors, available.tolist(), strict=True))

    def _substitute(self, name: str) -> NDArray[Any]:
        box = self._boxes[name]
        if name in self._held:
            held: NDArray[Any] = self._held[name].copy()
            return held
        if self.fill == "noise":
            return uniform(box, self._noise)
        return np.clip(np.zeros(box.shape, box.dtype), box.low, box.high)


def with_mask(space: spaces.Space[Any], columns: int) -> spaces.Dict:
    """``space`` with the key "available"; ``UserError`` if it has one already."""
    entries = dict_entries(space)
    if MASK in entries:
        raise UserError(f"observations already have the key {MASK!r}")
    # A sequence of pairs, for Dict sorts the keys of a mapping.
    mask = spaces.Box(0.0, 1.0, (columns,), np.float32)
    return spaces.Dict([*entries.items(), (MASK, mask)])


def dict_entries(space: spaces.Space[Any]) -> dict[str, spaces.Space[Any]]:
    """The entries of a Dict space; ``UserError`` if it is another kind."""
    if not isinstance(space, spaces.Dict):
        raise UserError(f"observations must be a Dict, one key a sensor, got {space}")
    return space.spaces


def sensor_boxes(
    space: spaces.Space[Any], sensors: Collection[str] | None
) -> dict[str, spaces.Box]:
    """The spaces of the sensors, in the order of the observation space."""
    entries = dict_entries(space)
    chosen = tuple(entries) if sensors is None else as_names(sensors)
    for name in chosen:
        choose(name, entries, "sensor")
    boxes = {}
    for name, box in entries.items():
        if name not in chosen:
            continue
        if not isinstance(box, spaces.Box):
            raise UserError(
                f"sensor {name!r} must be a Box, got {box}; leave it out of `sensors`"
            )
        boxes[name] = box
    return boxes


def _stack_sizes(
    stack: int | Mapping[str, int], sensors: tuple[str, ...]
) -> NDArray[np.int64]:
    """Frames a sensor: (M,)."""
    sizes = stack if isinstance(stack, Mapping) else dict.fromkeys(sensors, stack)
    for name, size in sizes.items():
        choose(name, dict.fromkeys(sensors), "sensor")
        if size < 1:
            raise UserError(f"the stack of {name!r} must be at least 1, got {size}")
    return np.array([sizes.get(name, 1) for name in sensors], np.int64)


def uniform(box: spaces.Box, rng: Generator) -> NDArray[Any]:
    """A uniform draw inside the finite bounds of ``box``, in its shape and dtype."""
    low, high, dtype = cast("tuple[Any, Any, Any]", (box.low, box.high, box.dtype))
    drawn: NDArray[Any]
    if np.issubdtype(dtype, np.integer):
        drawn = rng.integers(low, high, dtype=dtype, endpoint=True)
    else:
        drawn = rng.uniform(low, high)
    return drawn.astype(dtype)


def span(box: spaces.Box) -> NDArray[np.float64]:
    """The range of each entry, infinite where it is unbounded or overflows."""
    with np.errstate(over="ignore"):
        return box.high.astype(np.float64) - box.low.astype(np.float64)
