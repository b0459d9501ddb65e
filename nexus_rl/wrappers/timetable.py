"""When the sensors of one environment are there, from schedules and its own seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nexus_rl.errors import UserError
from nexus_rl.wrappers.schedules import Available, Generator, Moment, Schedule

Schedules = Schedule | Sequence[Schedule]


class Timetable:
    """Runs the schedules of one environment: which sensors are there, step by step.

    ``seed`` names the stream that it draws from, and every episode takes children of
    that one. So what happens in the n-th episode after a seed depends on the seed and
    on n, whatever the policy does and however long episodes last.
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
        self._root: np.random.SeedSequence | None = None
        self._total = 0

    @property
    def seeded(self) -> bool:
        """Whether ``seed`` was called; it must be, before ``start``."""
        return self._root is not None

    def seed(self, stream: np.random.SeedSequence) -> None:
        """Draw from now on from ``stream``."""
        self._root = stream

    def start(self) -> Available:
        """Begin an episode: which sensors are there at its reset, (M,) bool."""
        assert self._root is not None
        self.rng, *self._rngs = (
            np.random.default_rng(child)
            for child in self._root.spawn(1 + len(self.schedules))
        )
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
