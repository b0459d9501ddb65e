"""What was measured of agents: tidy rows, as JSON and CSV.

Free of torch, so that pages can be made from JSON alone.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from nexus_rl.errors import UserError, choose
from nexus_rl.files import SEAL, sealed, unsealed

Row = dict[str, Any]

# What content of the wrong kind raises.
UNREADABLE = (AttributeError, KeyError, RecursionError, TypeError, ValueError)

FIELDS = ("agent", "condition", "group", "seed", "episode", "return", "length")


@dataclass(frozen=True)
class Evaluation:
    """Episodes of agents in conditions, all of one environment.

    ``rows`` are dicts of "agent", "condition", "group", "seed" (of the evaluation),
    "episode", "return", "length" and "available", the fraction of the steps in which
    each sensor was there. ``episodes`` is their number a condition and seed.

    ``methods`` says which agents differ by nothing but the seed of their training, and
    is each agent by itself if not given. ``random`` and ``oracle`` name the methods
    that scores of 0 and 1 belong to.

    Raises ``UserError`` for methods of unknown agents, and unknown methods.
    """

    env: str
    env_kwargs: dict[str, Any]
    episodes: int
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    methods: dict[str, tuple[str, ...]] = field(default_factory=dict)
    random: str | None = None
    oracle: str | None = None

    def __post_init__(self) -> None:
        if not self.methods:
            object.__setattr__(self, "methods", {name: (name,) for name in self.agents})
        for agents in self.methods.values():
            for agent in agents:
                choose(agent, dict.fromkeys(self.agents), "agent")
        for method in (self.random, self.oracle):
            if method is not None:
                choose(method, self.methods, "method")

    @property
    def agents(self) -> tuple[str, ...]:
        """Names of the agents, in the order of the rows."""
        return tuple(dict.fromkeys(row["agent"] for row in self.rows))

    @cached_property  # pages ask for it thousands of times
    def conditions(self) -> dict[str, str]:
        """The group of each condition, in the order of the rows."""
        return {row["condition"]: row["group"] for row in self.rows}

    @property
    def compared(self) -> tuple[str, ...]:
        """The methods but random and oracle, which are there to compare with."""
        rest = [m for m in self.methods if m not in (self.random, self.oracle)]
        return tuple(rest or self.methods)

    @classmethod
    def join(cls, parts: Sequence[Evaluation]) -> Evaluation:
        """One evaluation of all agents and conditions, each agent by itself.

        Raises ``UserError`` if they do not compare, or have rows in common.
        """
        if not parts:
            raise UserError("no evaluations to join")
        first = parts[0]
        for part in parts[1:]:
            for name in ("env", "env_kwargs", "episodes", "seeds"):
                one, other = getattr(first, name), getattr(part, name)
                if one != other:
                    raise UserError(
                        f"evaluations do not compare: {name} is {one!r} for "
                        f"{first.agents[0]!r} but {other!r} for {part.agents[0]!r}"
                    )
        rows = tuple(row for part in parts for row in part.rows)
        keys = {
            tuple(row[k] for k in ("agent", "condition", "seed", "episode"))
            for row in rows
        }
        if len(keys) < len(rows):
            raise UserError("evaluations share rows: agents need distinct names")
        return replace(first, rows=rows, methods={}, random=None, oracle=None)

    def to_json(self) -> str:
        """What ``from_json`` reads; a line a row."""
        names = [each.name for each in fields(self) if each.name != "rows"]
        told = {name: getattr(self, name) for name in names}
        told[SEAL] = sealed({**told, "rows": self.rows})[SEAL]
        lines = ",\n".join("  " + json.dumps(row) for row in self.rows)
        head = json.dumps(told, indent=1)[:-2]
        return f'{head},\n "rows": [\n{lines}\n ]\n}}\n'

    @classmethod
    def from_json(cls, text: str) -> Evaluation:
        """The evaluation that ``to_json`` wrote. Raises ``UserError`` for others."""
        try:
            found, _ = unsealed(json.loads(text), "it")
            methods = {name: tuple(each) for name, each in found["methods"].items()}
            rows, seeds = tuple(found["rows"]), tuple(found["seeds"])
            if not all({*FIELDS, "available"} == row.keys() for row in rows):
                raise KeyError("rows of other fields")
            return cls(**{**found, "methods": methods, "rows": rows, "seeds": seeds})
        except UNREADABLE as error:
            raise UserError(f"this is no evaluation of agents: {error}") from None

    def to_csv(self) -> str:
        """The rows, with a column "available_SENSOR" for each sensor."""
        sensors = list(dict.fromkeys(s for row in self.rows for s in row["available"]))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*FIELDS, *(f"available_{name}" for name in sensors)])
        for row in self.rows:
            there = [row["available"].get(name, "") for name in sensors]
            writer.writerow([*(row[name] for name in FIELDS), *there])
        return text.getvalue()
