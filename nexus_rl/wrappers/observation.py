"""Observations become latents, in one environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar, Unpack, cast

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from nexus_rl.models.core import MultimodalVAE
from nexus_rl.wrappers.encoder import Encoder, EncoderOptions
from nexus_rl.wrappers.episode import Episode
from nexus_rl.wrappers.masking import Observation
from nexus_rl.wrappers.readings import Latents

Action = TypeVar("Action")


class NexusObservation(
    gym.Wrapper[Latents, Action, Observation, Action], RecordConstructorArgs
):
    """Replaces a Dict of sensors by the model's latent z_sigma of those available.

    ``model`` is a folder written by ``save_pretrained`` or a model. Observations become
    ``Box(-inf, inf, (size,), float32)``: size is ``model.latent_dim``, twice that with
    ``latent="mean_logvar"``, plus the sensors of ``append`` and the columns of
    ``append_mask``. The key "available", (M,), as
    ``SensorDropout`` adds it, says which sensors count; without it all do. What is
    missing may be absent or None. ``options`` are ``EncoderOptions``: ``latent``,
    ``append``, ``ignore``, ``append_mask``, ``absent``, ``when_blind``, ``columns`` and
    ``device``.

    The model runs in eval mode, without gradients, and is never trained by the agent.
    The noise of ``latent="sample"`` is keyed by the seed given to ``reset``.
    ``gym.make(env.spec)`` builds the same again; a folder is recorded as given, a model
    as the object itself, which JSON cannot hold: give a folder to specs that leave the
    process.

    Raises ``UserError`` where model, environment and options do not fit together.

    Example:
    >>> import gymnasium as gym
    >>> from nexus_rl import make_model
    >>> from nexus_rl.spaces import modalities_from_space
    >>> from nexus_rl.wrappers.observation import NexusObservation
    >>> env = gym.make("envs:nexus_rl/MultimodalPendulum-v0")
    >>> model = make_model("nexus", modalities_from_space(env.observation_space))
    >>> env = NexusObservation(env, model)
    >>> latent, info = env.reset(seed=0)
    >>> latent.shape, latent.dtype
    ((16,), dtype('float32'))
    >>> env.close()
    """

    def __init__(
        self,
        env: gym.Env[Observation, Action],
        model: str | Path | MultimodalVAE,
        **options: Unpack[EncoderOptions],
    ) -> None:
        recorded = str(model) if isinstance(model, Path) else model
        RecordConstructorArgs.__init__(
            self, model=recorded, **options, _disable_deepcopy=True
        )
        # Gymnasium types the environment's observations as if they were the wrapper's.
        gym.Wrapper.__init__(self, cast(Any, env))
        self.encoder = Encoder(model, env, **options)
        self.observation_space = self.encoder.space
        self._episode = Episode(env)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Latents, dict[str, Any]]:
        """Reset the environment; what was held is forgotten."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._episode.reset()
        self.encoder.seed([seed], lambda: [self.np_random])
        return self._encode(observation, started=True), info

    def step(self, action: Action) -> tuple[Latents, Any, bool, bool, dict[str, Any]]:
        """Step the environment and encode what it shows."""
        self._episode.check()
        observation, reward, terminated, truncated, info = self.env.step(action)
        begins = self._episode.step(terminated or truncated)
        latent = self._encode(observation, started=begins)
        return latent, reward, terminated, truncated, info

    def _encode(self, observation: Any, started: bool) -> Latents:
        batch = {
            name: np.asarray(value)[None]
            for name, value in observation.items()
            if value is not None
        }
        latents, _ = self.encoder.encode(batch, np.array([started]))
        latent: Latents = latents[0]
        return latent
