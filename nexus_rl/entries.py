"""Entries of Dict observations: those that nobody needs, and those that are arrays."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import gymnasium as gym
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from nexus_rl.errors import UserError
from nexus_rl.mask import dict_entries, sensors_of
from nexus_rl.wrappers.checks import as_names, check_names
from nexus_rl.wrappers.masking import Observation

Entries = dict[str, spaces.Space[Any]]

# What rollouts and the vectorised environments of Stable-Baselines3 can hold.
ARRAYS = (spaces.Box, spaces.Discrete, spaces.MultiBinary, spaces.MultiDiscrete)


def kept_entries(space: spaces.Space[Any], ignore: Collection[str] = ()) -> Entries:
    """The entries of a Dict space but "available" and those to ``ignore``.

    Raises ``UserError`` for unknown names, and if no entry is left.
    """
    entries = sensors_of(space)
    check_names(ignore, tuple(entries))
    ignored = as_names(ignore)
    kept = {name: entry for name, entry in entries.items() if name not in ignored}
    if not kept:
        raise UserError(
            f"nothing is left to see of {', '.join(entries) or space}: ignore less"
        )
    return kept


def check_arrays(entries: Entries, ignore: Collection[str] = ()) -> None:
    """Raises ``UserError`` for ``entries`` that are no arrays, such as texts.

    ``ignore`` names those that are ignored already.
    """
    strange = {n: e for n, e in entries.items() if not isinstance(e, ARRAYS)}
    if not strange:
        return
    said = ", ".join(f"{n!r} is a {type(e).__name__}" for n, e in strange.items())
    them = "it" if len(strange) == 1 else "them"
    if len(strange) == len(entries):
        raise UserError(f"{said}: no agent can see {them}; make one a Box by a wrapper")
    raise UserError(
        f"{said}: no agent can see {them}; name {them} in "
        f"ignore={[*as_names(ignore), *strange]} (--ignore on the command line)"
    )


class WithoutEntries(
    gym.ObservationWrapper[Observation, Any, Observation], RecordConstructorArgs
):
    """Leaves the entries to ``ignore`` out of Dict observations.

    The columns of a key "available" stay as they are. Raises ``UserError`` for unknown
    names, and if no entry is left.
    """

    def __init__(self, env: gym.Env[Observation, Any], ignore: Collection[str]) -> None:
        self._ignore = as_names(ignore)
        RecordConstructorArgs.__init__(self, ignore=self._ignore)
        gym.ObservationWrapper.__init__(self, env)
        kept_entries(env.observation_space, ignore)
        entries = dict_entries(env.observation_space)
        # A sequence of pairs, for Dict sorts the keys of a mapping.
        self.observation_space = spaces.Dict(
            [(name, e) for name, e in entries.items() if name not in self._ignore]
        )

    def observation(self, observation: Observation) -> Observation:
        """The observation without them."""
        return {n: value for n, value in observation.items() if n not in self._ignore}


def without(env: gym.Env[Any, Any], ignore: Collection[str]) -> gym.Env[Any, Any]:
    """``env`` without the entries to ``ignore``, if there are any."""
    return WithoutEntries(env, ignore) if ignore else env
