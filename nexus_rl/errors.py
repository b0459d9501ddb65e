"""Errors that name the offending thing, what was expected, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


class UserError(ValueError):
    """A mistake the user can mend; scripts print its message without a traceback."""


def choose(name: str, table: Mapping[str, T], what: str) -> T:
    """The entry of ``table`` called ``name``.

    Raises ``UserError`` that lists the known names and suggests the closest one.
    ``what`` says what is being chosen, e.g. ``"dataset"``.
    """
    if name in table:
        return table[name]
    names = sorted(map(str, table))  # keys of an observation may be anything
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise UserError(f"unknown {what} {name!r}.{hint} Known: {', '.join(names)}")
