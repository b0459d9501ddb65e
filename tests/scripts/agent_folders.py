"""Tiny agents that learned nothing, as folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from agents.algorithms import build
from agents.bundle import save_agent
from agents.config import AgentConfig
from agents.perception import Perception, Task, make_vec_env
from nexus_rl import make_model
from nexus_rl.environments import make_env
from nexus_rl.spaces import modalities_from_env

PENDULUM = "nexus_rl/MultimodalPendulum-v0"
SHORT = {"image_size": 16, "max_episode_steps": 20}


def save_tiny(
    folder: Path,
    seed: int = 0,
    sees: Any = "raw",
    env: str = PENDULUM,
    env_kwargs: dict[str, Any] = SHORT,
    steps: int = 0,
    algo: str = "ppo",
    **encoder: Any,
) -> None:
    """Save an untrained agent, another for each seed.

    ``encoder`` says with what ``make_model`` makes that of one that sees latents.
    """
    folder.mkdir(parents=True)
    task = Task(env, env_kwargs, Perception(sees))
    if encoder:
        modalities = modalities_from_env(make_env(env, env_kwargs))
        model = make_model(modalities=modalities, width=16, seed=seed, **encoder)
        model.save_pretrained(folder / "encoder")
        task = replace(task, perception=Perception("latent", str(folder / "encoder")))
    config = AgentConfig(
        task, algo, seed=seed, params={"n_envs": 1, "n_steps": 8, "batch_size": 8}
    )
    venv = make_vec_env(task, 1, seed)
    save_agent(folder, build(config, venv).policy, config, venv, {"steps": steps})
    venv.close()
