"""What environments declare about themselves, through any wrappers around them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorWrapper


def declared(env: Any, name: str) -> list[Any]:
    """What ``env`` declares as its attribute ``name``: a value an environment, or none.

    ``env`` is a single environment, or vectorised ones of Gymnasium or of
    Stable-Baselines3, where a wrapper around all of them declares one value. The
    outermost declaration counts.
    """
    if isinstance(env, gym.Env):
        return [env.get_wrapper_attr(name)] if env.has_wrapper_attr(name) else []
    *_, base = layers = list(layers_of(env))
    for layer in layers:
        if name in vars(layer) or hasattr(type(layer), name):
            return [getattr(layer, name)]
    # Asked first: a process of an environment dies of an unknown attribute.
    known = called(base, "has_wrapper_attr", name)
    return called(base, "get_wrapper_attr", name) or [] if known and all(known) else []


def layers_of(env: Any) -> Iterator[Any]:
    """``env`` and what it wraps, from the outside in: of one kind, vectors or not."""
    while True:
        yield env
        if isinstance(env, gym.Wrapper | VectorWrapper):
            env = env.env
        elif "venv" in vars(env):  # a VecEnvWrapper of Stable-Baselines3
            env = env.venv
        else:
            return


def called(base: Any, method: str, *args: Any) -> list[Any] | None:
    """What ``method`` of each environment in the vector ``base`` returns.

    None if the vector is not made of Gymnasium's environments.
    """
    call = getattr(base, "env_method", None) or getattr(base, "call", None)
    try:
        return None if call is None else list(call(method, *args))
    except (AttributeError, NotImplementedError):
        return None
