"""Where episodes begin and end in vectorised environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from nexus_rl.errors import UserError
from nexus_rl.wrappers.seeds import seeds_of

Flags = NDArray[np.bool_]
Seeds = int | Sequence[int | None] | None


class Episodes:
    """Which of N environments begin an episode, in any mode of autoreset.

    Raises ``UserError`` where ``env`` does not declare its mode.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        mode = autoreset_mode(env)
        self._same_step = mode == AutoresetMode.SAME_STEP
        self._next_step = mode == AutoresetMode.NEXT_STEP
        self._ended = np.zeros(env.num_envs, bool)  # begin in the step to come

    def reset(
        self, seed: Seeds, options: Mapping[str, Any] | None
    ) -> tuple[Flags, list[int | None]]:
        """Which begin in a reset with these arguments, (N,), and the seed of each."""
        every = np.ones(len(self._ended), bool)
        started = np.array((options or {}).get("reset_mask", every), bool)
        self._ended &= ~started
        return started, seeds_of(seed, len(every))

    def step(self, terminated: Flags, truncated: Flags) -> Flags:
        """Which begin in a step that ended these: (N,) bool."""
        ended = np.logical_or(terminated, truncated)
        started = ended if self._same_step else self._ended
        if self._next_step:
            self._ended = ended.copy()
        return started

    def final(self, infos: dict[str, Any], started: Flags) -> dict[int, Any]:
        """The last observations of episodes that ended as these started.

        Leaves ``infos["final_obs"]`` as an array of one observation an environment.
        Raises ``UserError`` if one is not there.
        """
        if not self._same_step or not started.any():
            return {}
        told = infos.get("final_obs")
        final: dict[int, Any] = {}
        for i in np.flatnonzero(started).tolist():
            if isinstance(told, Mapping):  # batched
                final[i] = {name: batch[i] for name, batch in told.items()}
            else:
                final[i] = None if told is None else told[i]
            if final[i] is None:
                raise UserError(
                    f"environment {i} ended an episode and began the next, but infos"
                    "['final_obs'] does not hold its last observation, which the mode "
                    "of autoreset that it declares, SAME_STEP, asks for"
                )
        infos["final_obs"] = np.full(len(started), None, object)
        for i, observation in final.items():
            infos["final_obs"][i] = observation
        return final


def autoreset_mode(env: VectorEnv[Any, Any, Any]) -> AutoresetMode:
    """The mode of autoreset that ``env`` declares, also as text.

    Raises ``UserError`` if it declares none, or one that does not exist.
    """
    told = (env.metadata or {}).get("autoreset_mode")
    text = str(told).rpartition(".")[-1].replace("_", "").replace("-", "").lower()
    for mode in AutoresetMode:
        if told is mode or text == mode.value.lower():
            return mode
    raise UserError(
        f"{env} must declare when it resets its environments, metadata = "
        "{'autoreset_mode': AutoresetMode.NEXT_STEP} (or SAME_STEP, DISABLED), of "
        f"gymnasium.vector.AutoresetMode; it has {told!r}"
    )


def terminal_observation(infos: Sequence[Mapping[str, Any]], env: int) -> Any:
    """The last observation of an episode that ended in one environment of a VecEnv.

    Raises ``UserError`` if its info does not hold one.
    """
    final = infos[env].get("terminal_observation")
    if final is None:
        raise UserError(
            f"environment {env} ended an episode, but its info has no "
            "'terminal_observation', the last observation, which every VecEnv of "
            "Stable-Baselines3 must give"
        )
    return final
