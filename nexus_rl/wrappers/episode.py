"""Where episodes begin in one environment."""

from __future__ import annotations

from typing import Any

from gymnasium.wrappers import Autoreset

from nexus_rl.declared import layers_of
from nexus_rl.errors import UserError


class Episode:
    """Whether a step of ``env`` begins an episode, as with ``Autoreset`` inside."""

    def __init__(self, env: Any) -> None:
        inside = layers_of(env)
        self._resets_itself = any(isinstance(layer, Autoreset) for layer in inside)
        self._ended: bool | None = None  # None before the first reset

    def reset(self) -> None:
        """The environment was reset."""
        self._ended = False

    def check(self) -> None:
        """Raise ``UserError`` if the environment must be reset before a step."""
        if self._ended is None:
            raise UserError("call reset() before the first step()")
        if self._ended and not self._resets_itself:
            raise UserError(
                "the episode has ended: call reset() before the next step(), or put "
                "gymnasium.wrappers.Autoreset around this environment"
            )

    def step(self, ended: bool) -> bool:
        """Whether the step, which ended an episode or not, was the first of one."""
        begins, self._ended = bool(self._ended), ended
        return begins
