"""How readings are made, as far as environments declare it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nexus_rl.declared import declared
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
    for told in declared(env, FORMATS):
        if not isinstance(told, Mapping):
            raise UserError(
                f"{FORMATS} must be a dict of texts by sensor, got {told!r}"
            )
        for name, text in told.items():
            if not isinstance(text, str):
                raise UserError(f"{FORMATS}[{name!r}] must be a text, got {text!r}")
            if formats.setdefault(name, text) != text:
                raise UserError(
                    f"the environments read sensor {name!r} in different formats, "
                    f"{formats[name]!r} and {text!r}; one model cannot fit both"
                )
    return formats
