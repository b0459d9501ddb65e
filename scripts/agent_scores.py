"""The runs of an experiment with agents, read from their JSON, and their scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from agent_rows import Experiment

from agents.results import Evaluation
from agents.scores import Estimate, Scores, estimate, mean_returns
from nexus_rl.errors import UserError
from nexus_rl.files import read_json

RANDOM, ORACLE = "random", "oracle"


@dataclass(frozen=True)
class Measured:
    """All runs: ``evaluation`` of them, ``runs`` as they were written, by row.

    ``titles`` names the rows that are there, in the order of the experiment.
    """

    plan: Experiment
    evaluation: Evaluation
    runs: Mapping[str, Sequence[Mapping[str, Any]]]
    titles: Mapping[str, str]

    @property
    def random(self) -> float:
        """The mean return of random actions."""
        return self._reference(Scores(self.evaluation).random)

    @property
    def oracle(self) -> float:
        """The mean return of the agent that sees the true state."""
        return self._reference(Scores(self.evaluation).oracle)

    def _reference(self, value: float | None) -> float:
        if value is None:
            raise UserError("scores need the rows random and oracle: run oracle first")
        return value

    def normalised(self, value: float) -> float:
        """0 for random actions, 1 for the oracle."""
        return (value - self.random) / (self.oracle - self.random)

    def score(self, row: str, conditions: Sequence[str]) -> Estimate | None:
        """Mean score over conditions; None if the row was not measured in all."""
        values = self.values(row, conditions)
        return estimate(values) if values else None

    def values(self, row: str, conditions: Sequence[str]) -> list[float]:
        """The same, one a training seed; none if it was not measured in all."""
        if row not in self.titles:
            return []
        returns, values = mean_returns(self.evaluation), []
        for agent in self.evaluation.methods[row]:
            known = returns[agent]
            if not all(name in known for name in conditions):
                return []
            values.append(self.normalised(fmean(known[name] for name in conditions)))
        return values

    def group(self, *groups: str) -> list[str]:
        """The conditions of some groups."""
        found = self.evaluation.conditions.items()
        return [name for name, group in found if group in groups]

    def only(self, rows: Iterable[str]) -> Evaluation:
        """The evaluation of some rows, and of the references."""
        kept = [*rows, RANDOM]
        methods = {r: a for r, a in self.evaluation.methods.items() if r in kept}
        agents = {agent for several in methods.values() for agent in several}
        part = [row for row in self.evaluation.rows if row["agent"] in agents]
        return replace(self.evaluation, rows=tuple(part), methods=methods)


def read_measured(folder: Path, plan: Experiment) -> Measured:
    """The runs in ``folder``, in the order of ``plan``."""
    runs: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    rows: list[dict[str, Any]] = []
    methods: dict[str, list[str]] = {}
    found = {p.stem: read_json(p, "run") for p in sorted(folder.glob("*.json"))}
    order = [*plan.rows, RANDOM]
    for name in sorted(found, key=lambda stem: order.index(found[stem]["row"])):
        run = found[name]
        runs[run["row"]].append(run)
        methods.setdefault(run["row"], []).append(name)
        rows += expand(name, run)
    first = next(iter(found.values()), None)
    if first is None or RANDOM not in runs or ORACLE not in runs:
        raise UserError(f"no page without {RANDOM} and {ORACLE} in {folder}")
    evaluation = Evaluation(
        first["env"],
        first["env_kwargs"],
        first["episodes"],
        (0,),
        tuple(rows),
        {name: tuple(each) for name, each in methods.items()},
        RANDOM,
        ORACLE,
    )
    titles = {row: plan.rows[row].title for row in runs if row != RANDOM}
    return Measured(plan, evaluation, runs, titles)


def expand(agent: str, run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of an evaluation, of one run's JSON."""
    return [
        {
            "agent": agent,
            "condition": condition,
            "group": known["group"],
            "seed": 0,
            "episode": episode,
            "return": value,
            "length": known["length"][episode],
            # Written once where it is the same in all episodes.
            "available": known["available"][episode % len(known["available"])],
        }
        for condition, known in run["conditions"].items()
        for episode, value in enumerate(known["return"])
    ]
