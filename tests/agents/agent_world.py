"""Small tasks, and agents trained for a moment, that several tests look at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from agents import AgentConfig, Perception, Task
from nexus_rl import make_model
from nexus_rl.environments import make_env
from nexus_rl.spaces import modalities_from_env

PENDULUM = "nexus_rl/MultimodalPendulum-v0"
LENGTH = 20
SHORT = {"image_size": 16, "max_episode_steps": LENGTH}
SMALL = {
    "ppo": {"n_envs": 2, "n_steps": 64, "batch_size": 64, "n_epochs": 2},
    "recurrent_ppo": {
        **{"n_envs": 2, "n_steps": 64, "batch_size": 128, "n_epochs": 1},
        "policy_kwargs": {"net_arch": [8], "lstm_hidden_size": 8},
    },
    "sac": {"n_envs": 2, "learning_starts": 50, "batch_size": 16, "buffer_size": 500},
}


def save_encoder(folder: Path, **options: Any) -> str:
    """An encoder of the short pendulum with weights of its own."""
    modalities = modalities_from_env(make_env(PENDULUM, SHORT))
    model = make_model("nexus", modalities, width=16, latent_dim=4, seed=3, **options)
    model.save_pretrained(folder)
    return str(folder)


def short_task(perception: Perception) -> Task:
    return Task(PENDULUM, SHORT, perception)


def short_config(
    perception: Perception, algo: str = "ppo", steps: int = 256, **options: Any
) -> AgentConfig:
    params = {**SMALL[algo], **options.pop("params", {})}
    options = {"evaluate_every": 0, **options}
    return AgentConfig(
        short_task(perception), algo, params=params, steps=steps, **options
    )


def action(step: int, env: int = 0) -> Any:
    return np.array([np.sin(step + env)], np.float32)


def lines(folder: Path, name: str = "log") -> list[dict[str, Any]]:
    """What training noted in the folder of an agent."""
    text = (folder / "training" / f"{name}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def policy_bytes(folder: Path) -> bytes:
    """The weights in the folder of an agent, which has one file of them."""
    (path,) = folder.glob("policy*.safetensors")
    return path.read_bytes()


def play(venv: Any, steps: int) -> tuple[list[Any], list[Any]]:
    """Observations and infos, those of the reset first."""
    observations, infos = [venv.reset()], [venv.reset_infos]
    for step in range(steps):
        actions = np.stack([action(step, env) for env in range(venv.num_envs)])
        seen, _, _, told = venv.step(actions)
        observations.append(seen)
        infos.append(told)
    venv.close()
    return observations, infos


class Follow(gym.Env[dict[str, Any], Any]):
    """Two lamps show the action to choose next; each right one is worth 1, of 10."""

    def __init__(self) -> None:
        lamp = spaces.Box(0.0, 1.0, (3,), np.float32)
        self.observation_space = spaces.Dict({"left": lamp, "right": lamp})
        self.action_space = spaces.Discrete(3)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.left = 10
        return self._show(), {}

    def step(
        self, action: Any
    ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        reward = float(action == self.wanted)
        self.left -= 1
        return self._show(), reward, self.left == 0, False, {}

    def _show(self) -> dict[str, Any]:
        self.wanted = int(self.np_random.integers(3))
        lamp = np.eye(3, dtype=np.float32)[self.wanted]
        return {"left": lamp, "right": lamp.copy()}


class Photo(gym.Env[dict[str, Any], Any]):
    """Shows how many steps were done, of 3, in an image of (H, W, C).

    ``second`` adds one of (C, H, W). A sensor that it has no more left its format.
    """

    def __init__(self, second: bool = False) -> None:
        self.sensor_formats = {"image": "one frame", "radar": "2 frames"}
        entries: dict[str, spaces.Box] = {
            "image": spaces.Box(0, 255, (10, 12, 3), np.uint8),
            "clock": spaces.Box(0.0, 3.0, (1,)),
        }
        if second:
            entries["second"] = spaces.Box(0, 255, (3, 10, 12), np.uint8)
        self.observation_space = spaces.Dict(entries)
        self.action_space = spaces.Box(-1.0, 1.0, (1,))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.done = 0
        return self._show(), {}

    def step(
        self, action: Any
    ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        self.done += 1
        return self._show(), float(action[0]), self.done == 3, False, {}

    def _show(self) -> dict[str, Any]:
        return {
            name: np.full(space.shape, self.done, space.dtype)
            for name, space in self.observation_space.items()
        }


gym.register("nexus_rl_tests/Follow-v0", entry_point=Follow)
gym.register("nexus_rl_tests/Photo-v0", entry_point=Photo)
