"""An environment whose episodes last 1 to 20 steps, for tests."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

Observation = dict[str, Any]


class Uneven(gym.Env[Observation, Any]):
    """The length of an episode is drawn at its reset; every step is worth 1."""

    def __init__(self) -> None:
        box = spaces.Box(0.0, 1.0, (1,))
        self.observation_space = spaces.Dict({"left": box, "right": box})
        self.action_space = spaces.Discrete(2)
        self.left = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(1, 21))
        return self._observe(), {}

    def step(
        self, action: Any
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        return self._observe(), 1.0, self.left == 0, False, {}

    def _observe(self) -> Observation:
        return {name: np.zeros(1, np.float32) for name in ("left", "right")}


gym.register("nexus_rl_tests/Uneven-v0", entry_point=Uneven)
