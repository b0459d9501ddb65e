"""An environment whose entries are not all Boxes, for tests, also named in scripts."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

LENGTH = 8


class Labelled(gym.Env[dict[str, Any], Any]):
    """Two sensors, a class, buttons and a text, in no order; of eight steps.

    With ``goals`` it shows those too; ``ends=False`` goes on for ever.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(
        self, goals: bool = False, ends: bool = True, render_mode: str | None = None
    ) -> None:
        self.ends, self.render_mode = ends, render_mode
        entries: list[tuple[str, spaces.Space[Any]]] = [
            ("way", spaces.Discrete(4)),
            ("right", spaces.Box(-1.0, 1.0, (3,))),
            ("mission", spaces.Text(9)),
            ("buttons", spaces.MultiBinary(2)),
            ("left", spaces.Box(0, 255, (1, 8, 8), np.uint8)),
        ]
        if goals:
            names = ("desired_goal", "achieved_goal")
            entries += [(name, spaces.Box(-1.0, 1.0, (2,))) for name in names]
        self.observation_space = spaces.Dict(entries)
        self.action_space = spaces.Discrete(3)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.done, self.way = 0, int(self.np_random.integers(4))
        return self._show()

    def step(
        self, action: Any
    ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        self.done += 1
        self.way = (self.way + int(action)) % 4
        observation, info = self._show()
        return observation, 1.0, self.ends and self.done == LENGTH, False, info

    def render(self) -> Any:
        return np.zeros((32, 32, 3), np.uint8)

    def _show(self) -> tuple[dict[str, Any], dict[str, Any]]:
        shown: dict[str, Any] = {
            "way": np.int64(self.way),
            "right": np.full(3, self.way / 4 - 0.9, np.float32),
            "mission": "findit",
            "buttons": np.array([self.way > 1, True], np.int8),
            "left": np.full((1, 8, 8), 10 + self.way, np.uint8),
            "desired_goal": np.ones(2, np.float32),
            "achieved_goal": np.ones(2, np.float32),
        }
        seen = {name: shown[name] for name in self.observation_space}
        return seen, {"state": np.array([self.way, self.done], np.float32)}


gym.register("nexus_rl_tests/Labelled-v0", Labelled)
