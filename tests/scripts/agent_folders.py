"""Tiny agents that learned nothing, as folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents.algorithms import build
from agents.bundle import save_agent
from agents.config import AgentConfig
from agents.perception import Perception, Task, make_vec_env

PENDULUM = "nexus_rl/MultimodalPendulum-v0"
SHORT = {"image_size": 16, "max_episode_steps": 20}


def save_tiny(
    folder: Path,
    seed: int = 0,
    sees: Any = "raw",
    env: str = PENDULUM,
    env_kwargs: dict[str, Any] = SHORT,
    steps: int = 0,
) -> None:
    """Save an untrained agent, another for each seed."""
    task = Task(env, env_kwargs, Perception(sees))
    config = AgentConfig(
        task, seed=seed, params={"n_envs": 1, "n_steps": 8, "batch_size": 8}
    )
    venv = make_vec_env(task, 1, seed)
    folder.mkdir(parents=True)
    save_agent(folder, build(config, venv).policy, config, venv, {"steps": steps})
    venv.close()
