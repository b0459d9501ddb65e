"""Sensors that lie: readings that are noisy, stuck, late, covered or from elsewhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, TypeVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from nexus_rl.declared import declared
from nexus_rl.errors import UserError
from nexus_rl.mask import MASK, Columns, Presence, columns_of, with_mask
from nexus_rl.wrappers.episode import Episode
from nexus_rl.wrappers.faults import Array, Corruption, Fault
from nexus_rl.wrappers.masking import Observation, sensor_boxes
from nexus_rl.wrappers.recorded import recorded, restored
from nexus_rl.wrappers.schedules import Available, Fixed
from nexus_rl.wrappers.seeds import CORRUPTION, depth_around, keyed, roots
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
      "available", 0 where the sensor is corrupted, with a column for every other key;
      or joins the one that is there.

    Where the environment itself calls a sensor missing there is no reading: nothing is
    corrupted, and no fault remembers it.

    Put ``SensorDropout`` around it, never inside: a missing sensor then stays hidden,
    and an announced corruption counts in ``min_available`` and in stacks of frames.

    Raises ``UserError`` for observations that are no Dict, sensors that are no Box,
    unknown names, corruptions that do not fit their sensor, and ``SensorDropout``
    inside.

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
        if declared(env, "dropout_depth"):
            raise UserError(
                "put SensorDropout around SensorCorruption, not inside: a corruption "
                "would show what stands for a missing sensor as a reading"
            )
        self._timetable = Timetable(schedule, tuple(self._boxes))
        self.corruption_depth = depth_around(env, "corruption_depth")
        self._episode = Episode(env)
        self._inner = Presence(env)
        if announced:
            self._announce()

    def _announce(self) -> None:
        """Add the key "available", or join it, with the corrupted sensors besides."""
        entries = self._inner.columns
        told = {*self._inner.told, *self._boxes} if self._inner.width else {*entries}
        self.sensors = tuple(name for name in entries if name in told)
        self.mask_columns: Columns = columns_of(self.sensors, entries)
        space = self.env.observation_space
        self.observation_space = with_mask(space, len(self.sensors))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Reset the environment and begin an episode of the schedule."""
        observation, info = self.env.reset(seed=seed, options=options)
        if seed is not None or not self._timetable.seeded:
            root = roots([seed], [0], lambda: [self.np_random])[0]
            self._timetable.seed(keyed(root, CORRUPTION, self.corruption_depth))
        self._episode.reset()
        return self._corrupt(observation, info, self._start())

    def step(
        self, action: Action
    ) -> tuple[Observation, Any, bool, bool, dict[str, Any]]:
        """Step the environment; ``info["corrupted"]`` names what is wrong."""
        self._episode.check()
        observation, reward, terminated, truncated, info = self.env.step(action)
        begins = self._episode.step(terminated or truncated)
        fine = self._start() if begins else self._timetable.advance()
        shown, info = self._corrupt(observation, info, fine)
        return shown, reward, terminated, truncated, info

    def _start(self) -> Available:
        """Begin an episode: which sensors are healthy at its reset."""
        fine = self._timetable.start()
        names = sorted(self._boxes)  # the order of sensors does not matter
        streams = self._timetable.rng.spawn(len(names))
        self._rngs = dict(zip(names, streams, strict=True))
        self._faults = {
            name: Fault(deque(maxlen=self.corruptions[name].memory)) for name in names
        }
        return fine

    def _corrupt(
        self, observation: Observation, info: dict[str, Any], healthy: Available
    ) -> tuple[Observation, dict[str, Any]]:
        shown = dict(observation)
        told = (*self._inner.told, *self._boxes)
        present = self._inner.of(observation, told)
        corrupted = {}
        for (name, box), fine in zip(self._boxes.items(), healthy, strict=True):
            fault, rng = self._faults[name], self._rngs[name]
            fault.step = -1 if fine else fault.step + 1
            if fault.step == 0:
                fault.place = rng.random(2)
            corrupted[name] = present[name] and not fine
            if present[name]:
                _remember(fault, observation[name], bool(fine))
            if corrupted[name]:
                shown[name] = _fit(self.corruptions[name].apply(fault, box, rng), box)
        before = info.get("corrupted", {})
        info = {**info, "corrupted": {**before, **_either(corrupted, before)}}
        if self.announced:
            info[MASK] = {
                name: present.get(name, True) and not corrupted.get(name, False)
                for name in self.sensors
            }
            shown[MASK] = np.array([*info[MASK].values()], np.float32)
        return shown, info


def _either(now: Mapping[str, bool], before: Mapping[str, bool]) -> dict[str, bool]:
    return {name: wrong or before.get(name, False) for name, wrong in now.items()}


def _remember(fault: Fault, value: Any, fine: bool) -> None:
    reading = np.array(value)  # a copy: environments reuse arrays
    fault.past.append(reading)
    if fine or fault.sound is None:
        fault.sound = reading


def _fit(values: Array, box: spaces.Box) -> Array:
    """``values`` rounded to the type of ``box`` and clipped into it, always a copy."""
    if np.issubdtype(box.dtype, np.integer) and values.dtype != box.dtype:
        values = np.rint(values)
    return np.clip(values, box.low, box.high).astype(box.dtype)
