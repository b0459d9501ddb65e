"""Sensors that fail in Gymnasium's vectorised environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.random import SeedSequence
from numpy.typing import NDArray

from nexus_rl.mask import MASK, Columns, Presence
from nexus_rl.wrappers.masking import (
    BURSTS,
    DropoutOptions,
    Fill,
    Masker,
    Observation,
)
from nexus_rl.wrappers.seeds import DROPOUT, depth_around, keyed, roots
from nexus_rl.wrappers.timetable import Schedules
from nexus_rl.wrappers.vector_episodes import Episodes

if TYPE_CHECKING:
    Wrapper = VectorWrapper[Observation, Any, Observation, Any, NDArray[Any]]
else:  # not generic before Gymnasium 1.4
    Wrapper = VectorWrapper

Present = dict[str, bool]


class Maskers:
    """A ``Masker`` for each of the N environments of ``env``, which come batched.

    ``space`` is the observation space of one; the others are ``SensorDropout``'s.
    """

    def __init__(
        self,
        env: Any,
        space: spaces.Space[Any],
        schedule: Schedules,
        fill: Fill,
        **options: Unpack[DropoutOptions],
    ) -> None:
        inner = Presence(env)
        self._maskers = [
            Masker(space, inner, schedule, fill, **options) for _ in range(env.num_envs)
        ]
        first = self._maskers[0]
        self.sensors, self.mask_columns = first.sensors, first.mask_columns
        self.observation_space = first.observation_space
        self.depth = depth_around(env, "dropout_depth")
        self._rows: list[Observation] = [{} for _ in self._maskers]

    def unseeded(self) -> list[int]:
        """The environments that need ``seed`` before they begin an episode."""
        return [i for i, m in enumerate(self._maskers) if not m.timetable.seeded]

    def seed(self, roots: Mapping[int, SeedSequence]) -> None:
        """Draw the outages of some environments from their roots from now on."""
        for i, root in roots.items():
            self._maskers[i].timetable.seed(keyed(root, DROPOUT, self.depth))

    def begin(self, i: int, observations: Observation) -> Present:
        """Row ``i`` is the first of an episode; returns which sensors are there."""
        self._rows[i], present = self._maskers[i].start(self._row(i, observations))
        return present

    def advance(self, i: int, observations: Observation) -> Present:
        """Row ``i`` is that of the next step; returns which sensors are there."""
        self._rows[i], present = self._maskers[i].advance(self._row(i, observations))
        return present

    def finish(self, i: int, final: Observation) -> tuple[Observation, Present]:
        """Mask the last observation of an episode, which is not in the batch."""
        return self._maskers[i].advance(final)

    def batch(self, observations: Observation) -> Observation:
        """``observations`` with the masked rows in place of the sensors' own."""
        keys = (*self._maskers[0].failing, MASK)
        masked = {key: np.stack([row[key] for row in self._rows]) for key in keys}
        return {**observations, **masked}

    def _row(self, i: int, observations: Observation) -> Observation:
        batches = {name: observations.get(name) for name in self._maskers[0].read}
        return {name: None if b is None else b[i] for name, b in batches.items()}


class VectorSensorDropout(Wrapper):
    """``SensorDropout`` around a ``gymnasium.vector.VectorEnv`` of N environments.

    Sensors fail in each environment by itself. Arguments, errors and outages are those
    of ``SensorDropout``: environment i sees what it would if it were wrapped alone.
    The key "available" is (N, M), ``info["available"]`` a dictionary of (N,) booleans.
    All three modes of autoreset work, as ``metadata["autoreset_mode"]`` declares; with
    SAME_STEP the observations in ``info["final_obs"]`` are masked too, one an
    environment, with their truth in ``info["final_info"]``.

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
        space = env.single_observation_space
        self._maskers = Maskers(env, space, schedule, fill, **options)
        # Not before what may be refused: until Gymnasium 1.4 a wrapper that is thrown
        # away closes what it wraps.
        super().__init__(env)
        self.sensors = self._maskers.sensors
        self.mask_columns: Columns = self._maskers.mask_columns
        self.dropout_depth = self._maskers.depth
        self.single_observation_space = self._maskers.observation_space
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
        started, seeds = self._episodes.reset(seed, options)
        observations, infos = self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]
        begun, unseeded = np.flatnonzero(started).tolist(), self._maskers.unseeded()
        new = [i for i in begun if seeds[i] is not None or i in unseeded]
        self._maskers.seed(roots(seeds, new, lambda: self.env.np_random))
        for i in begun:
            self._tell(infos, self._maskers.begin(i, observations), i)
        return self._maskers.batch(observations), infos

    def step(
        self, actions: Any
    ) -> tuple[Observation, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Step the environments; those that ended are reset as their mode says."""
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        started = self._episodes.step(terminated, truncated)
        final = self._episodes.final(infos, started)
        for i, begins in enumerate(started):
            if i in final:
                infos["final_obs"][i], present = self._maskers.finish(i, final[i])
                self._add_info(infos, {"final_info": {MASK: present}}, i)
            take = self._maskers.begin if begins else self._maskers.advance
            self._tell(infos, take(i, observations), i)
        masked = self._maskers.batch(observations)
        return masked, rewards, terminated, truncated, infos

    def _tell(self, infos: dict[str, Any], present: Present, i: int) -> None:
        self._add_info(infos, {MASK: present}, i)
