"""An environment of one sensor, for tests."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class OneSensor(gym.Env[dict[str, Any], Any]):
    """Shows zeros, for ever."""

    def __init__(self) -> None:
        self.observation_space = spaces.Dict({"sonar": spaces.Box(0.0, 1.0, (3,))})
        self.action_space = spaces.Discrete(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        return {"sonar": np.zeros(3, np.float32)}, {}


gym.register("nexus_rl_tests/OneSensor-v0", entry_point=OneSensor)
