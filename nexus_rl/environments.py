"""Environments by their Gymnasium ids, and what is said where they cannot be made."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator
from gymnasium.wrappers import TimeLimit

from nexus_rl.declared import layers_of
from nexus_rl.entries import without
from nexus_rl.errors import UserError, choose

Env = gym.Env[Any, Any]

OURS = "nexus_rl/"  # the ids that the package `envs` registers


def make_env(
    env_id: str,
    env_kwargs: Mapping[str, Any] | None = None,
    ignore: Collection[str] = (),
    *,
    trains: bool = True,
) -> Env:
    """``gym.make(env_id, **env_kwargs)``, with errors that say what to do.

    ``env_id`` may name the module that registers it, "MODULE:ID"; this project's own
    ids, "nexus_rl/...", need none. Observations come without the entries to ``ignore``.
    A process that never ``trains`` need not wait for ``prepare_training``. Raises
    ``UserError`` if there is no such environment, for arguments that it does not take,
    and for entries that it does not have.

    Example:
    >>> make_env("nexus_rl/HyperHot-v0", {"enemies": 2}).unwrapped.enemies
    2
    """
    if trains:
        prepare_training()
    return without(_make(env_id, dict(env_kwargs or {})), ignore)


def prepare_training() -> None:
    """Imports what optimisers import: before an environment exists, let alone renders.

    Where Mesa has rendered before (EGL, OSMesa), importing it kills the process: Mesa
    loads one LLVM, Triton another. Optimisers need it anyway, so that training starts
    no later; anything else does by about a second, and another for torch itself.
    """
    import_module("torch._dynamo")


def time_limit(env: Env) -> int | None:
    """The steps after which its wrappers cut an episode off; None if none does.

    Those that an environment counts by itself are not known.
    """
    limits = [e._max_episode_steps for e in layers_of(env) if isinstance(e, TimeLimit)]
    return min(limits, default=None)


def _make(env_id: str, kwargs: dict[str, Any]) -> Env:
    asked = env_id
    if env_id.startswith(OURS) and env_id not in gym.registry:
        env_id = f"envs:{env_id}"
    module, _, name = env_id.rpartition(":")
    try:
        if module:
            import_module(module)
        _check_arguments(name, kwargs)
        return gym.make(name, **kwargs)
    except UserError:
        raise
    except (gym.error.Error, ImportError) as error:
        unknown = isinstance(error, gym.error.UnregisteredEnv) and not module
        hint = ". Name the module that registers it: MODULE:ID" if unknown else ""
        said = str(error).rstrip(".")
        raise UserError(f"cannot make environment {asked!r}: {said}{hint}") from error
    except (TypeError, ValueError, AssertionError, LookupError) as error:
        if not kwargs:  # not the user's doing
            raise
        given = " ".join(f"{key}={value!r}" for key, value in kwargs.items())
        raise UserError(
            f"cannot make environment {asked!r} with {given}: {error}"
        ) from error


def _check_arguments(name: str, kwargs: Mapping[str, Any]) -> None:
    """Raises ``UserError`` for unknown arguments, and where a switch gets no bool."""
    spec = gym.registry.get(name)
    if spec is None or spec.entry_point is None:
        return
    creator: Any = spec.entry_point
    if isinstance(creator, str):
        creator = load_env_creator(creator)
    takes = inspect.signature(creator).parameters
    anything = any(p.kind == p.VAR_KEYWORD for p in takes.values())
    for key, value in kwargs.items():
        if not anything:
            choose(key, {**takes, "max_episode_steps": None}, f"argument of {name}")
        switch = key in takes and isinstance(takes[key].default, bool)
        if switch and not isinstance(value, bool):
            raise UserError(
                f"argument {key!r} of {name} must be true or false, got {value!r}"
            )
