"""How readings are made, as far as environments declare it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym

from nexus_rl.errors import UserError

FORMATS = "sensor_formats"  # where an environment says how readings are made


def sensor_formats(env: Any) -> dict[str, str]:
    """How readings are made by sensor, as far as an environment declares it.

    An environment, or a wrapper, may have ``sensor_formats``: a short text a sensor on
    what its space does not tell, such as "2 frames, anti-aliased" or "rad/s over 8".
    ``env`` is one, or vectorised ones of Gymnasium or of Stable-Baselines3.

    Raises ``UserError`` if it is no dict of texts, or if vectorised environments
    declare different ones.
    """
    formats: dict[str, str] = {}
    for declared in _declared_formats(env):
        if not isinstance(declared, Mapping):
            raise UserError(
                f"{FORMATS} must be a dict of texts by sensor, got {declared!r}"
            )
        for name, text in declared.items():
            if not isinstance(text, str):
                raise UserError(f"{FORMATS}[{name!r}] must be a text, got {text!r}")
            if formats.setdefault(name, text) != text:
                raise UserError(
                    f"the environments read sensor {name!r} in different formats, "
                    f"{formats[name]!r} and {text!r}; one model cannot fit both"
                )
    return formats


def _declared_formats(env: Any) -> Sequence[Any]:
    """What ``env`` declares, or each of the environments of a vector."""
    if isinstance(env, gym.Env):
        return [env.get_wrapper_attr(FORMATS)] if env.has_wrapper_attr(FORMATS) else []
    call = getattr(env, "env_method", None) or getattr(env.unwrapped, "call", None)
    if call is None:  # a vector that is not made of environments
        return [getattr(env.unwrapped, FORMATS, {})]
    try:  # asked first: a process of an environment dies of an unknown attribute
        known = all(call("has_wrapper_attr", FORMATS))
    except (AttributeError, NotImplementedError):  # not of Gymnasium's environments
        return []
    declared: Sequence[Any] = call("get_wrapper_attr", FORMATS) if known else []
    return declared
