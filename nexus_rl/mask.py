"""The key "available" of observations: which of its columns tells of which entry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from nexus_rl.declared import called, declared, layers_of
from nexus_rl.errors import UserError, choose

MASK = "available"
COLUMNS = "mask_columns"  # where the maker of a mask declares its columns
# The column that tells of each entry; None for entries that are always there.
Columns = dict[str, int | None]

ADVICE = (
    f"declare them in the environment, {COLUMNS} = {{'camera': 0, 'sound': 1}} (None "
    "for an entry that is always there), or name the sensor of each column, "
    "columns=[...]"
)


def dict_entries(space: spaces.Space[Any]) -> dict[str, spaces.Space[Any]]:
    """The entries of a Dict space; ``UserError`` if it is another kind."""
    if not isinstance(space, spaces.Dict):
        raise UserError(f"observations must be a Dict, one key a sensor, got {space}")
    return space.spaces


def sensors_of(space: spaces.Space[Any]) -> dict[str, spaces.Space[Any]]:
    """The sensors of a Dict space: its entries without "available"."""
    return {name: e for name, e in dict_entries(space).items() if name != MASK}


def with_mask(space: spaces.Space[Any], columns: int) -> spaces.Dict:
    """``space`` with the key "available" of so many columns."""
    # A sequence of pairs, for Dict sorts the keys of a mapping.
    mask = spaces.Box(0.0, 1.0, (columns,), np.float32)
    return spaces.Dict([*sensors_of(space).items(), (MASK, mask)])


def columns_of(told: Iterable[str], entries: Iterable[str]) -> Columns:
    """The column of each entry in a mask of those ``told``, in their order."""
    numbers = {name: k for k, name in enumerate(told)}
    return {name: numbers.get(name) for name in entries}


def mask_width(space: spaces.Space[Any]) -> int:
    """How many columns the key "available" has; 0 if there is none."""
    mask = dict_entries(space).get(MASK)
    return 0 if mask is None else int(np.prod(mask.shape))  # type: ignore[arg-type]


def read_mask(values: Any, columns: int) -> NDArray[np.bool_]:
    """``values`` of the key "available", (..., columns), as booleans.

    Raises ``UserError`` for another shape, and for anything but zeros and ones.
    """
    mask = np.asarray(values)
    there: NDArray[np.bool_] = mask == 1
    if mask.shape[-1:] != (columns,) or not (there | (mask == 0)).all():
        raise UserError(
            f"observations must hold {columns} zeros and ones in {MASK!r}, got "
            f"{values!r}; keep wrappers that scale or stack observations off this key"
        )
    return there


class Presence:
    """Which entries of an observation are there, by the mask that it comes with.

    ``columns`` are the ``mask_columns`` of the environments ``env``, ``told`` names the
    entries that have one, and ``width`` is the number of all columns.
    """

    def __init__(self, env: Any) -> None:
        self.columns = mask_columns(env)
        self.told = tuple(name for name, k in self.columns.items() if k is not None)
        self.width = mask_width(space_of(env))

    def of(
        self, observation: Mapping[str, Any], names: Iterable[str]
    ) -> dict[str, bool]:
        """Which of ``names`` are there; raises ``UserError`` if one is not, or None."""
        mask = [True]
        if self.width:
            mask = read_mask(observation.get(MASK), self.width).tolist()
        present = {}
        for name in names:
            column = self.columns[name]
            present[name] = column is None or mask[column]
            if present[name] and observation.get(name) is None:
                raise UserError(lost(name))
        return present


def lost(name: str) -> str:
    """What is said of a sensor that is available, but not in an observation."""
    return (
        f"sensor {name!r} counts as available, but the observation has no such entry, "
        f"or None; give a reading, or mark it as missing in {MASK!r}"
    )


def mask_columns(env: Any, asked: Sequence[str] | None = None) -> Columns:
    """Which column of "available" tells of each entry that ``env`` shows.

    ``env`` is a single environment, or vectorised ones of Gymnasium or of
    Stable-Baselines3. A mask belongs to the wrapper or environment that made it, and
    its columns keep their meaning whatever is wrapped around. The maker's own
    ``mask_columns`` tells, or else the order of its keys. ``asked`` names the sensor of
    each column instead; other entries are then always there.

    Raises ``UserError`` where nobody can know: environments in other processes that
    declare nothing, entries that were added outside the maker, and another number of
    columns.
    """
    space = space_of(env)
    sensors, mask = sensors_of(space), dict_entries(space).get(MASK)
    if mask is None:
        if asked is not None:
            raise UserError(f"columns given, but observations have no {MASK!r}")
        return dict.fromkeys(sensors)
    known = _known_columns(env)
    columns = known if asked is None else _asked_columns(asked, sensors, known)
    if columns is None:
        raise UserError(
            f"nobody tells which sensor each column of {MASK!r} is about; {ADVICE}"
        )
    told = [name for name, column in columns.items() if column is not None]
    if mask.shape != (len(told),):
        raise UserError(
            f"{MASK!r} has shape {mask.shape}, but {len(told)} sensors: "
            f"{', '.join(told)}; {ADVICE}"
        )
    if added := [name for name in sensors if name not in columns]:
        raise UserError(
            f"{', '.join(map(repr, added))}: not among what {MASK!r} tells of, "
            f"{', '.join(columns)}, so nobody knows when it is there. Put the wrapper "
            f"that adds or renames it inside the one that adds {MASK!r}, or {ADVICE}"
        )
    return {name: columns[name] for name in sensors}


def _asked_columns(
    asked: Sequence[str], sensors: Mapping[str, Any], known: Columns | None
) -> Columns:
    names = (asked,) if isinstance(asked, str) else tuple(asked)
    for name in names:
        choose(name, sensors, "sensor")
    if len({*names}) < len(names):
        raise UserError(f"columns name a sensor twice: {', '.join(names)}")
    columns = columns_of(names, sensors)
    wrong = [n for n in names if (known or {}).get(n) not in (None, columns[n])]
    if wrong and {*names} == {n for n, k in (known or {}).items() if k is not None}:
        raise UserError(
            f"columns={list(names)}, but what makes {MASK!r} has them in the order "
            f"{_in_order(known or {})}; leave columns out"
        )
    return columns


def _in_order(columns: Columns) -> list[str]:
    told = {name: k for name, k in columns.items() if k is not None}
    return sorted(told, key=told.__getitem__)


def _known_columns(env: Any) -> Columns | None:
    """The columns that the maker of the mask has; None if it cannot be asked."""
    found = declared(env, COLUMNS)
    if not found:
        maker = _maker(env)
        names = None if maker is None else sensors_of(maker)
        return None if names is None else columns_of(names, names)
    columns = found[0]
    numbers = columns.values() if isinstance(columns, Mapping) else [-1]
    told = sorted(k for k in numbers if k is not None)
    if told != list(range(len(told))):
        raise UserError(
            f"{COLUMNS} must be a dict from entry to its column of {MASK!r}, 0, 1 and "
            f"so on, or None for an entry that is always there; got {columns!r}"
        )
    if any(each != columns for each in found):
        raise UserError(
            f"the environments of a vector declare different {COLUMNS}: {found}"
        )
    return dict(columns)


def _maker(env: Any) -> spaces.Space[Any] | None:
    """The observations of the innermost layer that shows a mask, if it can be seen."""
    layers = list(layers_of(env))
    if not isinstance(env, gym.Env):
        if inside := getattr(layers[-1], "envs", ()):
            layers += layers_of(inside[0])
        elif called(layers[-1], "has_wrapper_attr", COLUMNS) is not None:
            return None  # made of environments in other processes
    return [space for space in map(space_of, layers) if _shows_mask(space)][-1]


def space_of(env: Any) -> spaces.Space[Any]:
    """The observation space of one environment, also of vectorised ones."""
    single = getattr(env, "single_observation_space", None)
    space: spaces.Space[Any] = env.observation_space if single is None else single
    return space


def _shows_mask(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Dict) and MASK in space.spaces
