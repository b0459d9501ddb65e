"""Where episodes begin in Gymnasium's vectorised environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

Flags = NDArray[np.bool_]


class Episodes:
    """Which of N environments begin an episode, in any mode of autoreset.

    ``same_step`` is whether one ends and the next begins in the same step.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        # NEXT_STEP is Gymnasium's own default.
        mode = env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        self.same_step = mode == AutoresetMode.SAME_STEP
        self._next_step = mode == AutoresetMode.NEXT_STEP
        self._ended = np.zeros(env.num_envs, bool)  # begin in the step to come

    def reset(
        self,
        seed: int | Sequence[int | None] | None,
        options: Mapping[str, Any] | None,
    ) -> tuple[Flags, Flags]:
        """Which begin in a reset with these arguments, and which have a seed: (N,)."""
        every = np.ones(len(self._ended), bool)
        started = np.array((options or {}).get("reset_mask", every), bool)
        seeds = seed if isinstance(seed, Sequence) else [seed] * len(every)
        self._ended &= ~started
        return started, np.array([each is not None for each in seeds])

    def step(self, terminated: Flags, truncated: Flags) -> Flags:
        """Which begin in a step that ended these: (N,) bool."""
        ended = np.logical_or(terminated, truncated)
        started = ended if self.same_step else self._ended
        if self._next_step:
            self._ended = ended.copy()
        return started
