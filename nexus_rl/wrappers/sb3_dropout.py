"""Sensors that fail in the vectorised environments of Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Unpack

from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from nexus_rl.errors import UserError
from nexus_rl.mask import MASK, Columns
from nexus_rl.wrappers.masking import BURSTS, DropoutOptions, Fill, Observation
from nexus_rl.wrappers.seeds import pass_seed, roots, take_seeds
from nexus_rl.wrappers.timetable import Schedules
from nexus_rl.wrappers.vector_dropout import Maskers
from nexus_rl.wrappers.vector_episodes import terminal_observation


class VecSensorDropout(VecEnvWrapper):
    """``SensorDropout`` around a ``VecEnv`` of Stable-Baselines3, of N environments.

    Sensors fail in each environment by itself. Arguments, errors and outages are those
    of ``SensorDropout``: environment i sees what it would if it were wrapped alone. The
    key "available" is (N, M), and ``infos[i]["available"]`` tells the same by name.
    ``infos[i]["terminal_observation"]`` is masked too.

    Wrapping each environment before it is vectorised does the same:
    ``make_vec_env(id, n, wrapper_class=SensorDropout, wrapper_kwargs=...)``.

    Example:
    >>> from stable_baselines3.common.env_util import make_vec_env
    >>> from nexus_rl.wrappers import Bernoulli, VecSensorDropout
    >>> venv = make_vec_env("envs:nexus_rl/MultimodalPendulum-v0", n_envs=4, seed=0)
    >>> venv = VecSensorDropout(venv, Bernoulli(0.3))
    >>> venv.reset()["available"].shape
    (4, 2)
    >>> venv.close()
    """

    def __init__(
        self,
        venv: VecEnv,
        schedule: Schedules = BURSTS,
        fill: Fill = "zero",
        **options: Unpack[DropoutOptions],
    ) -> None:
        if not isinstance(venv, VecEnv):
            raise UserError(
                f"expected a VecEnv of Stable-Baselines3, got {venv!r}; SensorDropout "
                "wraps a single environment, VectorSensorDropout Gymnasium's vectors"
            )
        self._maskers = Maskers(venv, venv.observation_space, schedule, fill, **options)
        super().__init__(venv, self._maskers.observation_space)
        self.sensors = self._maskers.sensors
        self.mask_columns: Columns = self._maskers.mask_columns
        self.dropout_depth = self._maskers.depth

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed the environments, and the outages with them, at the next reset."""
        return pass_seed(self, seed)

    def reset(self) -> Observation:
        """Reset the environments and begin an episode of the schedule in each."""
        seeds = take_seeds(self)
        observations: Any = self.venv.reset()
        every, unseeded = range(self.num_envs), self._maskers.unseeded()
        new = [i for i in every if seeds[i] is not None or i in unseeded]
        generators = partial(self.venv.get_attr, "np_random")
        self._maskers.seed(roots(seeds, new, generators))
        for i in every:
            self._begin(i, observations)
        return self._maskers.batch(observations)

    def step_wait(self) -> tuple[Observation, Any, Any, list[dict[str, Any]]]:
        """Step the environments, which are reset at once where an episode ended."""
        observations: Any
        observations, rewards, dones, infos = self.venv.step_wait()
        for i, (done, info) in enumerate(zip(dones, infos, strict=True)):
            if done:
                final = terminal_observation(infos, i)
                masked, info[MASK] = self._maskers.finish(i, final)
                info["terminal_observation"] = masked
                self._begin(i, observations)
            else:
                info[MASK] = self._maskers.advance(i, observations)
        return self._maskers.batch(observations), rewards, dones, infos

    def _begin(self, i: int, observations: Observation) -> None:
        present = self._maskers.begin(i, observations)
        self.reset_infos[i] = {**self.venv.reset_infos[i], MASK: present}
