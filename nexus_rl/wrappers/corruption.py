"""Sensors that lie: readings that are noisy, stuck, late, covered or from elsewhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, TypeVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from nexus_rl.errors import UserError
from nexus_rl.wrappers.dropout import SensorDropout
from nexus_rl.wrappers.faults import Array, Corruption, Fault
from nexus_rl.wrappers.masking import (
    MASK,
    Observation,
    sensor_boxes,
    told_sensors,
    with_mask,
)
from nexus_rl.wrappers.recorded import recorded, restored
from nexus_rl.wrappers.schedules import Available, Fixed
from nexus_rl.wrappers.timetable import Schedules, Timetable

Action = TypeVar("Action")

ALWAYS = Fixed(())  # no sensor is sound at any time


class SensorCorruption(
    gym.Wrapper[Observation, Action, Observation, Action], RecordConstructorArgs
):
    """Makes sensors of a Dict observation show something wrong for a while.

    The observation space stays as it is: readings keep their type and are clipped into
    their space. ``info["corrupted"]`` tells by name, as booleans, which are wrong.

    - ``corruptions``: what is done to which sensor, by name. Wrap twice to do two
      things to one sensor.
    - ``schedule``: when; a sensor is corrupted in the steps in which the schedule has
      it missing, which is always by default. Its randomness is that of
      ``SensorDropout``: decided by the seed alone, not by the policy.
    - ``announced``: whether the agent is told. If so, the observation gains the key
      "available" with a column for every other one: 0 where the sensor is corrupted.

    Put ``SensorDropout`` around it, never inside: a missing sensor then stays hidden,
    and an announced corruption counts in ``min_available`` and in stacks of frames.

    Raises ``UserError`` for observations that are no Dict, sensors that are no Box,
    unknown names and corruptions that do not fit their sensor.

    Example:
    >>> import gymnasium as gym
    >>> from nexus_rl.wrappers import Gaussian, Markov, SensorCorruption
    >>> env = gym.make("envs:nexus_rl/MultimodalPendulum-v0")
    >>> env = SensorCorruption(env, {"image": Gaussian(0.1)}, Markov(0.05, 0.2))
    >>> observation, info = env.reset(seed=0)
    >>> info["corrupted"]
    {'image': False}
    >>> env.close()
    """

    def __init__(
        self,
        env: gym.Env[Observation, Action],
        corruptions: Mapping[str, Corruption],
        schedule: Schedules = ALWAYS,
        announced: bool = False,
    ) -> None:
        arguments = {"corruptions": corruptions, "schedule": schedule}
        RecordConstructorArgs.__init__(self, **recorded(arguments), announced=announced)
        corruptions, schedule = restored(corruptions), restored(schedule)
        gym.Wrapper.__init__(self, env)
        if not isinstance(corruptions, Mapping):
            raise UserError(
                f"corruptions must be a dict by sensor, such as "
                f'{{"image": Gaussian(0.1)}}, got {corruptions!r}'
            )
        self._boxes = sensor_boxes(env.observation_space, corruptions.keys())
        for name, box in self._boxes.items():
            if not isinstance(corruptions[name], Corruption):
                raise UserError(
                    f"expected a Corruption such as Gaussian(0.1) for {name!r}, got "
                    f"{corruptions[name]!r}"
                )
            corruptions[name].check(name, box)
        self.corruptions = dict(corruptions)
        self.announced = announced
        self._timetable = Timetable(schedule, tuple(self._boxes))
        if announced:
            self._announce()

    def _announce(self) -> None:
        """Add the key "available", or join it."""
        inner: Any = self.env
        while isinstance(inner, gym.Wrapper):
            if isinstance(inner, SensorDropout):
                raise UserError(
                    "put SensorDropout around an announced corruption, not inside, "
                    "where it cannot count it in min_available and stacks"
                )
            inner = inner.env
        self.sensors = told_sensors(self.env.observation_space)
        self.observation_space = with_mask(
            self.env.observation_space, len(self.sensors)
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Reset the environment and begin an episode of the schedule."""
        observation, info = self.env.reset(seed=seed, options=options)
        if seed is not None or not self._timetable.seeded:
            self._timetable.seed(self.np_random)
        sound = self._timetable.start()
        self._rngs = self._timetable.rng.spawn(len(self._boxes))
        self._faults = {
            name: Fault(deque(maxlen=self.corruptions[name].memory))
            for name in self._boxes
        }
        return self._corrupt(observation, info, sound)

    def step(
        self, action: Action
    ) -> tuple[Observation, Any, bool, bool, dict[str, Any]]:
        """Step the environment; ``info["corrupted"]`` names what is wrong."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        shown, info = self._corrupt(observation, info, self._timetable.advance())
        return shown, reward, terminated, truncated, info

    def _corrupt(
        self, observation: Observation, info: dict[str, Any], sound: Available
    ) -> tuple[Observation, dict[str, Any]]:
        shown = dict(observation)
        for (name, box), fine, rng in zip(
            self._boxes.items(), sound, self._rngs, strict=True
        ):
            fault = self._faults[name]
            reading = np.array(observation[name])  # a copy: environments reuse arrays
            fault.past.append(reading)
            if fine or fault.sound is None:
                fault.sound = reading
            if fine:
                fault.step = -1
                continue
            fault.step += 1
            if fault.step == 0:
                fault.place = rng.random(2)
            wrong = self.corruptions[name].apply(fault, box, rng)
            shown[name] = _fit(wrong, box)
        names = self._timetable.sensors
        corrupted = dict(zip(names, (~sound).tolist(), strict=True))
        info = {**info, "corrupted": corrupted}
        return self._tell(shown, info, corrupted) if self.announced else (shown, info)

    def _tell(
        self, shown: Observation, info: dict[str, Any], corrupted: dict[str, bool]
    ) -> tuple[Observation, dict[str, Any]]:
        """Mark the corrupted sensors as unavailable."""
        trusted = [not corrupted.get(name, False) for name in self.sensors]
        before = shown.get(MASK, np.ones(len(trusted), np.float32))
        shown[MASK] = np.where(trusted, before, np.float32(0))
        present = (shown[MASK] > 0).tolist()
        return shown, {**info, MASK: dict(zip(self.sensors, present, strict=True))}


def _fit(values: Array, box: spaces.Box) -> Array:
    """``values`` rounded to the type of ``box`` and clipped into it, always a copy."""
    if np.issubdtype(box.dtype, np.integer) and values.dtype != box.dtype:
        values = np.rint(values)
    return np.clip(values, box.low, box.high).astype(box.dtype)
