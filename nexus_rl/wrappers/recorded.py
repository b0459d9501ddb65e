"""Schedules and corruptions as plain data, for the specs of environments in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields
from typing import Any

from nexus_rl.wrappers import faults, schedules

KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        schedules.Bernoulli,
        schedules.CommonCause,
        schedules.Curriculum,
        schedules.Fixed,
        schedules.Markov,
        schedules.PerEpisode,
        schedules.Periodic,
        schedules.Scripted,
        schedules.Window,
        faults.Delay,
        faults.Drift,
        faults.Frozen,
        faults.Gaussian,
        faults.Lie,
        faults.Occlusion,
    )
}


def recorded(value: Any) -> Any:
    """``value`` with what is in ``KINDS`` as dicts of its fields and its "kind".

    Functions of a ``Curriculum``, and classes of a user's own, stay as they are: they
    can be pickled and no more.
    """
    if type(value) in KINDS.values():
        told = {f.name: recorded(getattr(value, f.name)) for f in fields(value)}
        return {"kind": type(value).__name__, **told}
    if isinstance(value, Mapping):
        return {name: recorded(each) for name, each in value.items()}
    if isinstance(value, AbstractSet):
        return sorted(value)
    if isinstance(value, list | tuple):
        return [recorded(each) for each in value]
    return value


def restored(value: Any) -> Any:
    """What ``recorded`` recorded, and anything else as it is."""
    if isinstance(value, Mapping):
        plain = {name: restored(each) for name, each in value.items()}
        kind = plain.get("kind")
        if not isinstance(kind, str) or kind not in KINDS:
            return plain
        plain.pop("kind")
        return KINDS[kind](**plain)
    if isinstance(value, list | tuple):
        return [restored(each) for each in value]
    return value
