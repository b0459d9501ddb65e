"""Which sensors are there, and hiding the others: one environment at a time."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal, TypedDict, cast, get_args

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from nexus_rl.bounds import honest_bounds
from nexus_rl.errors import UserError, choose
from nexus_rl.mask import (
    MASK,
    Columns,
    Presence,
    columns_of,
    sensors_of,
    with_mask,
)
from nexus_rl.wrappers.checks import as_names, check_count
from nexus_rl.wrappers.schedules import Available, Generator, Markov, ranks
from nexus_rl.wrappers.timetable import Schedules, Timetable

Fill = Literal["zero", "hold", "noise"]
# One array a sensor; `Any` because the spaces of Gymnasium are typed so.
Observation = dict[str, Any]

GOALS = ("achieved_goal", "desired_goal")  # of goal environments: no sensors
BURSTS = Markov(fail=0.05, recover=0.2)  # outages of 5 steps, a fifth of the time


class DropoutOptions(TypedDict, total=False):
    """The options that every dropout wrapper takes, by keyword.

    - ``min_available``: so many sensors are always left, at least 0, by default 1.
      Where a schedule leaves fewer, sensors are restored in a random order, each as
      likely as another, which is kept for as long as the shortage lasts.
    - ``sensors``: the keys that may fail, by default all but those of goals
      ("achieved_goal", "desired_goal"); others pass through.
    - ``stack``: how many successive frames a sensor's observation holds, one number or
      one a sensor (1 for those not named). Frames from before and after an outage would
      show a wrong velocity, so a sensor counts as available again only in its
      ``stack``-th fresh step in a row. The first step of an episode counts as a whole
      stack.
    """

    min_available: int
    sensors: Collection[str] | None
    stack: int | Mapping[str, int]


class Masker:
    """Hides the missing sensors in the observations of one environment.

    What ``SensorDropout`` and its vectorised kin share; its docstring has the
    arguments. ``space`` is the environment's, ``inner`` reads the mask that it has
    itself; ``observation_space`` is the result's.
    """

    def __init__(
        self,
        space: spaces.Space[Any],
        inner: Presence,
        schedule: Schedules,
        fill: Fill,
        *,
        min_available: int = 1,
        sensors: Collection[str] | None = None,
        stack: int | Mapping[str, int] = 1,
    ) -> None:
        choose(fill, dict.fromkeys(get_args(Fill)), "fill")
        self._boxes = sensor_boxes(space, sensors)
        self._inner = inner
        told = {*self._boxes, *inner.told}
        self.sensors = tuple(name for name in inner.columns if name in told)
        self.fill = fill
        self.min_available = min_available
        self.timetable = Timetable(schedule, tuple(self._boxes))
        self.stack = _stack_sizes(stack, self.timetable.sensors)
        self.failing = tuple(self._boxes)
        self.observation_space = with_mask(space, len(self.sensors))
        self._held: Observation = {}
        self._check()

    def _check(self) -> None:
        check_count("min_available", self.min_available, 0)
        if self.min_available > len(self._boxes):
            raise UserError(
                f"min_available must lie in [0, {len(self._boxes)}], the number of "
                f"sensors, got {self.min_available}"
            )
        for name, box in self._boxes.items():
            if self.fill == "noise" and not np.isfinite(span(box)).all():
                raise UserError(
                    f"sensor {name!r} has no finite bounds to draw noise in; use "
                    "fill='zero' or 'hold'"
                )

    @property
    def mask_columns(self) -> Columns:
        """The column of each entry; None for those that are always there."""
        return columns_of(self.sensors, self._inner.columns)

    @property
    def read(self) -> tuple[str, ...]:
        """The entries of an observation that are read."""
        return (*self.sensors, *[MASK] * bool(self._inner.width))

    def start(self, observation: Observation) -> tuple[Observation, dict[str, bool]]:
        """The first observation of an episode, masked, and which sensors are there."""
        there = self.timetable.start()
        (self._noise,) = self.timetable.rng.spawn(1)
        self._held = {}
        # A reset fills every frame of a stack, so all windows count as whole.
        self._run: NDArray[np.int64] = self.stack.copy()
        self._short = False
        return self._mask(observation, there)

    def advance(self, observation: Observation) -> tuple[Observation, dict[str, bool]]:
        """The observation of the next step, masked, and which sensors are there."""
        return self._mask(observation, self.timetable.advance())

    def _settle(self, there: Available, healthy: Available) -> Available:
        """Apply the rule of stacked frames and ``min_available``: (M,) bool."""
        there = there & healthy
        run = np.where(there, self._run + 1, 0)  # fresh steps in a row
        lacking = self.min_available - np.count_nonzero(run >= self.stack)
        if lacking > 0:
            if not self._short:
                drawn = self.timetable.rng.permutation(len(run))
                self._order = np.argsort(drawn[ranks(self.timetable.sensors)])
            # Only sensors whose other frames are fresh are whole at once. There are
            # enough of them: those that were available in the step before, unless
            # the environment itself calls them missing.
            whole = ~there & healthy & (self._run + 1 >= self.stack)
            back = self._order[whole[self._order]][:lacking]
            run[back] = self._run[back] + 1
        self._short = bool(lacking > 0)
        self._run = run
        return run >= self.stack

    def _mask(
        self, observation: Observation, there: Available
    ) -> tuple[Observation, dict[str, bool]]:
        present = self._inner.of(observation, self.sensors)
        healthy = np.array([present[name] for name in self._boxes], bool)
        settled = self._settle(there, healthy).tolist()
        present.update(zip(self._boxes, settled, strict=True))
        masked = dict(observation)
        for name in sorted(self._boxes):  # noise is drawn in this order
            if not present[name]:
                masked[name] = self._substitute(name)
            elif self.fill == "hold":
                self._held[name] = np.array(observation[name])
        masked[MASK] = np.array([present[name] for name in self.sensors], np.float32)
        return masked, present

    def _substitute(self, name: str) -> NDArray[Any]:
        box = self._boxes[name]
        if name in self._held:
            held: NDArray[Any] = self._held[name].copy()
            return held
        if self.fill == "noise":
            return uniform(box, self._noise)
        return np.clip(np.zeros(box.shape, box.dtype), box.low, box.high)


def default_sensors(space: spaces.Space[Any]) -> tuple[str, ...]:
    """The entries that may fail where none are named: all but goals."""
    return tuple(name for name in sensors_of(space) if name not in GOALS)


def sensor_boxes(
    space: spaces.Space[Any], sensors: Collection[str] | None
) -> dict[str, spaces.Box]:
    """The spaces of the sensors, in the order of the observation space."""
    entries = sensors_of(space)
    chosen = default_sensors(space) if sensors is None else as_names(sensors)
    for name in chosen:
        choose(name, entries, "sensor")
    boxes = {}
    for name, box in entries.items():
        if name not in chosen:
            continue
        if not isinstance(box, spaces.Box):
            fit = [n for n in chosen if isinstance(entries[n], spaces.Box)]
            advice = f"name those that may fail, sensors={fit}" if fit else "wrap it"
            if sensors is not None:
                advice = "only a Box can be missing or appended, so leave it out"
            raise UserError(f"sensor {name!r} must be a Box, got {box}; {advice}")
        boxes[name] = box
    if not boxes:
        raise UserError(f"no sensors: observations are {space}, sensors {chosen}")
    return boxes


def _stack_sizes(
    stack: int | Mapping[str, int], sensors: tuple[str, ...]
) -> NDArray[np.int64]:
    """Frames a sensor: (M,)."""
    sizes = stack if isinstance(stack, Mapping) else dict.fromkeys(sensors, stack)
    for name, size in sizes.items():
        choose(name, dict.fromkeys(sensors), "sensor")
        check_count(f"the stack of {name!r}", size, 1)
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
    """The range of each entry, infinite where it is unbounded."""
    low, high = honest_bounds(box)
    return high - low
