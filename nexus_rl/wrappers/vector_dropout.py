"""Sensors that fail in Gymnasium's vectorised environments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Unpack

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from nexus_rl.wrappers.masking import (
    BURSTS,
    MASK,
    DropoutOptions,
    Fill,
    Masker,
    Observation,
)
from nexus_rl.wrappers.timetable import Schedules
from nexus_rl.wrappers.vector_episodes import Episodes

Present = dict[str, bool]


class Maskers:
    """A ``Masker`` for each of N environments whose observations come batched."""

    def __init__(self, maskers: Iterable[Masker]) -> None:
        self.maskers = list(maskers)
        self.sensors = self.maskers[0].sensors
        self._rows: list[Observation] = [{} for _ in self.maskers]

    def seed(self, np_random: Any, which: Iterable[int]) -> None:
        """Seed some from the generators of their environments, or from a shared one."""
        for i in which:
            one = isinstance(np_random, np.random.Generator)
            self.maskers[i].timetable.seed(np_random if one else np_random[i])

    def begin(self, i: int, observations: Observation) -> Present:
        """Row ``i`` is the first of an episode; returns which sensors are there."""
        self._rows[i], present = self.maskers[i].start(self._row(i, observations))
        return present

    def advance(self, i: int, observations: Observation) -> Present:
        """Row ``i`` is that of the next step; returns which sensors are there."""
        self._rows[i], present = self.maskers[i].advance(self._row(i, observations))
        return present

    def finish(self, i: int, final: Observation) -> tuple[Observation, Present]:
        """Mask the last observation of an episode, which is not in the batch."""
        return self.maskers[i].advance(final)

    def batch(self, observations: Observation) -> Observation:
        """``observations`` with the masked rows in place of the sensors' own."""
        keys = (*self.sensors, MASK)
        masked = {key: np.stack([row[key] for row in self._rows]) for key in keys}
        return {**observations, **masked}

    def _row(self, i: int, observations: Observation) -> Observation:
        names = (*self.sensors, *[MASK] * self.maskers[0].told)
        return {name: observations[name][i] for name in names}


class VectorSensorDropout(
    VectorWrapper[Observation, Any, Observation, Any, NDArray[Any]]
):
    """``SensorDropout`` around a ``gymnasium.vector.VectorEnv`` of N environments.

    Sensors fail in each environment by itself. Arguments, errors and outages are those
    of ``SensorDropout``: environment i sees what it would if it were wrapped alone.
    The key "available" is (N, M), ``info["available"]`` a dictionary of (N,) booleans.
    All three modes of autoreset work; with SAME_STEP the observations in
    ``info["final_obs"]`` are masked too, with their truth in ``info["final_info"]``.

    Example:
    >>> import gymnasium as gym
    >>> from nexus_rl.wrappers import Bernoulli, VectorSensorDropout
    >>> envs = gym.make_vec("envs:nexus_rl/MultimodalPendulum-v0", num_envs=4)
    >>> envs = VectorSensorDropout(envs, Bernoulli(0.3))
    >>> observations, infos = envs.reset(seed=0)
    >>> observations["available"].shape, infos["available"]["sound"].shape
    ((4, 2), (4,))
    >>> envs.close()
    """

    def __init__(
        self,
        env: VectorEnv[Observation, Any, NDArray[Any]],
        schedule: Schedules = BURSTS,
        fill: Fill = "zero",
        **options: Unpack[DropoutOptions],
    ) -> None:
        super().__init__(env)
        space = env.single_observation_space
        self._maskers = Maskers(
            Masker(space, schedule, fill, **options) for _ in range(env.num_envs)
        )
        self.sensors = self._maskers.sensors
        self.single_observation_space = self._maskers.maskers[0].observation_space
        self.observation_space = batch_space(
            self.single_observation_space, env.num_envs
        )
        self._episodes = Episodes(env)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Reset the environments, or those of ``options["reset_mask"]`` (N,) bool."""
        # Read first: the environment takes the mask out of ``options``.
        started, seeded = self._episodes.reset(seed, options)
        observations, infos = self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]
        begun = np.flatnonzero(started).tolist()
        new = [i for i in begun if seeded[i] or not self._seeded(i)]
        if new:
            self._maskers.seed(self.env.np_random, new)
        for i in begun:
            self._tell(infos, self._maskers.begin(i, observations), i)
        return self._maskers.batch(observations), infos

    def step(
        self, actions: Any
    ) -> tuple[Observation, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Step the environments; those that ended are reset as their mode says."""
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        started = self._episodes.step(terminated, truncated)
        for i, begins in enumerate(started):
            if begins and self._episodes.same_step:
                final, present = self._maskers.finish(i, infos["final_obs"][i])
                infos["final_obs"][i] = final
                self._add_info(infos, {"final_info": {MASK: present}}, i)
            take = self._maskers.begin if begins else self._maskers.advance
            self._tell(infos, take(i, observations), i)
        masked = self._maskers.batch(observations)
        return masked, rewards, terminated, truncated, infos

    def _seeded(self, i: int) -> bool:
        return self._maskers.maskers[i].timetable.seeded

    def _tell(self, infos: dict[str, Any], present: Present, i: int) -> None:
        self._add_info(infos, {MASK: present}, i)
