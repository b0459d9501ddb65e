"""Observations become latents, in vectorised environments of either kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from nexus_rl.models.core import MultimodalVAE
from nexus_rl.wrappers.encoder import Encoder, EncoderOptions
from nexus_rl.wrappers.masking import Observation
from nexus_rl.wrappers.readings import Latents
from nexus_rl.wrappers.vector_episodes import Episodes

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

    from nexus_rl.wrappers.sb3_observation import SB3NexusObservation

    Wrapper = VectorWrapper[Latents, Any, Observation, Any, NDArray[Any]]
else:  # not generic before Gymnasium 1.4
    Wrapper = VectorWrapper

Model = str | Path | MultimodalVAE


class VectorNexusObservation(Wrapper):
    """``NexusObservation`` around a ``gymnasium.vector.VectorEnv`` of N environments.

    Arguments and errors are those of ``NexusObservation``; observations are (N, size),
    from one call of the model a step. Environment i gives what it would if it were
    wrapped alone. All three modes of autoreset work; with SAME_STEP the observations in
    ``infos["final_obs"]`` are encoded too, in the same call. With DISABLED, resetting
    some environments encodes all, so that ``latent="sample"`` redraws the others.

    Example:
    >>> import gymnasium as gym
    >>> from nexus_rl import make_model
    >>> from nexus_rl.spaces import modalities_from_space
    >>> envs = gym.make_vec("envs:nexus_rl/MultimodalPendulum-v0", num_envs=4)
    >>> modalities = modalities_from_space(envs.single_observation_space)
    >>> envs = VecNexusObservation(envs, make_model("nexus", modalities))
    >>> latents, infos = envs.reset(seed=0)
    >>> latents.shape
    (4, 16)
    >>> envs.close()
    """

    def __init__(
        self,
        env: VectorEnv[Observation, Any, NDArray[Any]],
        model: Model,
        **options: Unpack[EncoderOptions],
    ) -> None:
        self.encoder = Encoder(model, env, **options)
        # Not before what may be refused: until Gymnasium 1.4 a wrapper that is thrown
        # away closes what it wraps.
        super().__init__(env)
        self.single_observation_space = self.encoder.space
        self.observation_space = batch_space(self.encoder.space, env.num_envs)
        self._episodes = Episodes(env)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Latents, dict[str, Any]]:
        """Reset the environments, or those of ``options["reset_mask"]`` (N,) bool."""
        # Read first: the environment takes the mask out of ``options``.
        started, seeds = self._episodes.reset(seed, options)
        observations, infos = self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]
        given = [s if new else None for s, new in zip(seeds, started, strict=True)]
        self.encoder.seed(given, lambda: self.env.np_random)
        latents, _ = self.encoder.encode(observations, started=started)
        return latents, infos

    def step(
        self, actions: Any
    ) -> tuple[Latents, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Step the environments; those that ended are reset as their mode says."""
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        started = self._episodes.step(terminated, truncated)
        final = self._episodes.final(infos, started)
        latents, last = self.encoder.encode(observations, started, final)
        for i, latent in last.items():
            infos["final_obs"][i] = latent
        return latents, rewards, terminated, truncated, infos


@overload
def VecNexusObservation(
    env: VectorEnv[Observation, Any, NDArray[Any]],
    model: Model,
    **options: Unpack[EncoderOptions],
) -> VectorNexusObservation: ...


@overload
def VecNexusObservation(
    env: VecEnv, model: Model, **options: Unpack[EncoderOptions]
) -> SB3NexusObservation: ...


def VecNexusObservation(  # noqa: N802, it stands for the two classes
    env: VectorEnv[Observation, Any, NDArray[Any]] | VecEnv,
    model: Model,
    **options: Unpack[EncoderOptions],
) -> VectorNexusObservation | SB3NexusObservation:
    """``NexusObservation`` around a vectorised environment, of Gymnasium or of SB3.

    Returns a ``VectorNexusObservation`` for a ``gymnasium.vector.VectorEnv`` and an
    ``SB3NexusObservation`` for a ``VecEnv`` of Stable-Baselines3; use these classes in
    isinstance checks. Arguments and errors are those of ``NexusObservation``, which is
    the wrapper for a single environment.

    Example:
    >>> from stable_baselines3.common.env_util import make_vec_env
    >>> from nexus_rl import make_model
    >>> from nexus_rl.spaces import modalities_from_space
    >>> venv = make_vec_env("envs:nexus_rl/MultimodalPendulum-v0", n_envs=4, seed=0)
    >>> modalities = modalities_from_space(venv.observation_space)
    >>> venv = VecNexusObservation(venv, make_model("nexus", modalities))
    >>> venv.reset().shape
    (4, 16)
    >>> venv.close()
    """
    if isinstance(env, VectorEnv):
        return VectorNexusObservation(env, model, **options)
    from nexus_rl.wrappers.sb3_observation import SB3NexusObservation

    return SB3NexusObservation(env, model, **options)
