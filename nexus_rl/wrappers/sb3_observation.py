"""Observations become latents, in the vectorised environments of SB3."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from nexus_rl.errors import UserError
from nexus_rl.models.core import MultimodalVAE
from nexus_rl.wrappers.encoder import Encoder, EncoderOptions
from nexus_rl.wrappers.readings import Latents
from nexus_rl.wrappers.seeds import pass_seed, take_seeds
from nexus_rl.wrappers.vector_episodes import terminal_observation


class SB3NexusObservation(VecEnvWrapper):
    """``NexusObservation`` around a ``VecEnv`` of Stable-Baselines3, N environments.

    Arguments and errors are those of ``NexusObservation``; observations are (N, size),
    from one call of the model a step, and ``infos[i]["terminal_observation"]`` is
    encoded in the same call. Environment i gives what it would if it were wrapped
    alone, by ``make_vec_env(..., wrapper_class=NexusObservation)``.

    Example:
    >>> from stable_baselines3 import PPO
    >>> from stable_baselines3.common.env_util import make_vec_env
    >>> from nexus_rl import make_model
    >>> from nexus_rl.spaces import modalities_from_space
    >>> venv = make_vec_env("envs:nexus_rl/MultimodalPendulum-v0", n_envs=2, seed=0)
    >>> modalities = modalities_from_space(venv.observation_space)
    >>> venv = SB3NexusObservation(venv, make_model("nexus", modalities))
    >>> agent = PPO("MlpPolicy", venv, n_steps=8, batch_size=16).learn(16)
    >>> venv.close()
    """

    def __init__(
        self,
        venv: VecEnv,
        model: str | Path | MultimodalVAE,
        **options: Unpack[EncoderOptions],
    ) -> None:
        if not isinstance(venv, VecEnv):
            raise UserError(
                "expected a vectorised environment of Gymnasium or Stable-Baselines3, "
                f"got {venv!r}; NexusObservation wraps a single one"
            )
        self.encoder = Encoder(model, venv, **options)
        super().__init__(venv, self.encoder.space)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed the environments, and the samples with them, at the next reset."""
        return pass_seed(self, seed)

    def reset(self) -> Latents:
        """Reset the environments; what was held is forgotten."""
        seeds = take_seeds(self)
        observations: Any = self.venv.reset()
        self.encoder.seed(seeds, partial(self.venv.get_attr, "np_random"))
        latents, _ = self.encoder.encode(observations, np.ones(self.num_envs, bool))
        return latents

    def step_wait(self) -> tuple[Latents, Any, Any, list[dict[str, Any]]]:
        """Step the environments, which are reset at once where an episode ended."""
        observations: Any
        observations, rewards, dones, infos = self.venv.step_wait()
        final = {
            i: terminal_observation(infos, i) for i in np.flatnonzero(dones).tolist()
        }
        latents, last = self.encoder.encode(observations, dones, final)
        for i, latent in last.items():
            infos[i]["terminal_observation"] = latent
        return latents, rewards, dones, infos
