"""An environment that tells no state, to be named on a command line."""

from typing import Any

import gymnasium as gym
from gymnasium import spaces


class Silent(gym.Env[Any, Any]):
    """One sensor; it must not be played."""

    observation_space = spaces.Dict({"heat": spaces.Box(0, 1, (2,))})
    action_space = spaces.Discrete(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        raise AssertionError("something was simulated")


gym.register("nexus_rl_tests/Silent-v0", Silent)
