"""The runs of an experiment with agents, read from their JSON, and their scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from agent_rows import Experiment

from agents.conditions import EVERYTHING
from agents.results import Evaluation
from agents.scores import Estimate, estimate, mean_returns, normalised
from nexus_rl.errors import UserError, choose
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

    @cached_property
    def returns(self) -> dict[str, dict[str, float]]:
        """The mean return of an episode, by agent and condition."""
        return mean_returns(self.evaluation)

    @property
    def random(self) -> float:
        """The mean return of random actions."""
        return self._reference(RANDOM)

    @property
    def oracle(self) -> float:
        """The mean return of the agent that sees the true state."""
        return self._reference(ORACLE)

    def _reference(self, row: str) -> float:
        agents = self.evaluation.methods[row]
        return fmean(self.returns[agent][EVERYTHING] for agent in agents)

    def normalised(self, value: float) -> float:
        """0 for random actions, 1 for the oracle; ``UserError`` if that is worse."""
        return normalised(value, self.random, self.oracle)

    def score(self, row: str, conditions: Sequence[str]) -> Estimate | None:
        """Mean score over conditions; None if the row was not measured in all."""
        values = self.values(row, conditions)
        return estimate(values) if values else None

    def values(self, row: str, conditions: Sequence[str]) -> list[float]:
        """The same, one a training seed; none if it was not measured in all."""
        values = []
        for agent in self.evaluation.methods[row] if row in self.titles else ():
            known = self.returns[agent]
            if not conditions or not all(name in known for name in conditions):
                return []
            values.append(self.normalised(fmean(known[name] for name in conditions)))
        return values

    def group(self, *groups: str) -> list[str]:
        """The conditions of some groups."""
        found = self.evaluation.conditions.items()
        return [name for name, group in found if group in groups]

    def only(self, rows: Iterable[str]) -> Evaluation:
        """The evaluation of some rows, and of the references."""
        kept = {*rows, RANDOM, ORACLE}
        methods = {r: a for r, a in self.evaluation.methods.items() if r in kept}
        agents = {agent for several in methods.values() for agent in several}
        part = [row for row in self.evaluation.rows if row["agent"] in agents]
        return replace(self.evaluation, rows=tuple(part), methods=methods)


def read_measured(folder: Path, plan: Experiment) -> Measured:
    """The runs in ``folder``, in the order of ``plan``.

    Raises ``UserError`` without random and oracle, for agents that the experiment does
    not have, and for runs that do not compare: of one row they differ by their seed
    alone.
    """
    parts = {"row": str, "env": str, "env_kwargs": dict, "episodes": int}
    found = {p.stem: read_json(p, "run", **parts) for p in folder.glob("*.json")}
    order = {row: place for place, row in enumerate([*plan.rows, RANDOM])}

    def place(name: str) -> tuple[int, int]:
        run = found[name]
        return choose(run["row"], order, f"agent in {folder}"), run.get("seed", 0)

    runs: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    methods: dict[str, tuple[str, ...]] = {}
    parts = []
    for name in sorted(found, key=place):
        run = found[name]
        runs[run["row"]].append(run)
        methods[run["row"]] = (*methods.get(run["row"], ()), name)
        told = (run["env"], run["env_kwargs"], run["episodes"], (0,))
        parts.append(Evaluation(*told, tuple(expand(name, run))))
    for row in (RANDOM, ORACLE):
        if row not in runs:
            raise UserError(f"no page without {row}, which scores need, in {folder}")
    for row, several in runs.items():
        check_alike(row, several)
    evaluation = replace(
        Evaluation.join(parts), methods=methods, random=RANDOM, oracle=ORACLE
    )
    titles = {row: plan.rows[row].title for row in runs if row != RANDOM}
    return Measured(plan, evaluation, runs, titles)


def check_alike(row: str, runs: Sequence[Mapping[str, Any]]) -> None:
    """Raises ``UserError`` unless the runs of a row differ by their seed alone."""
    names = ("algo", "steps", "sensor_dropout", "hyperparameters", "perception")
    told = [run for run in runs if "encoder_training" in run]  # the first did not
    for name, several in {
        **dict.fromkeys(names, runs),
        "encoder_training": told,
    }.items():
        one = _given(several[0].get(name)) if several else None
        for run in several:
            if _given(run.get(name)) != one:
                raise UserError(
                    f"runs of {row} do not compare: {name} is {one!r} in one and "
                    f"{run.get(name)!r} in that of seed {run['seed']}; make it again"
                )


def _given(value: Any) -> Any:
    """A setting without its seed and data, and fields that say nothing or are newer."""
    if isinstance(value, Mapping):
        own = {k: _given(v) for k, v in value.items() if k not in ("seed", "data")}
        return {key: each for key, each in own.items() if each}
    return value


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
