"""Scores of agents: beside random and oracle, over conditions and training seeds.

Free of torch, so that pages can be made from JSON alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from agents.conditions import EVERYTHING
from agents.results import Evaluation
from nexus_rl.errors import UserError

DRAWS = 10_000  # of the bootstrap


@dataclass(frozen=True)
class Estimate:
    """A mean over ``count`` training seeds, and its 95 % interval if there are more."""

    mean: float
    low: float | None
    high: float | None
    count: int


@dataclass(frozen=True)
class Score:
    """A method in a condition.

    ``returns`` is the mean return of an episode; ``normalised`` is 0 for random and 1
    for the oracle; ``retained`` is what is left of the normalised score with
    everything, and needs no oracle. None where it cannot be told.
    """

    method: str
    condition: str
    group: str
    returns: Estimate
    normalised: Estimate | None
    retained: Estimate | None


@dataclass(frozen=True)
class Overall:
    """A method over all conditions.

    ``worst`` is its score in the condition of the lowest return, ``area`` the mean
    return over all drop rates of the curve (None without one), and ``area_normalised``
    the same of normalised scores.
    """

    method: str
    worst: Score
    area: Estimate | None
    area_normalised: Estimate | None


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and percentile bootstrap interval of one value a training seed.

    The interval is drawn from a seed of its own: the same values give the same one.

    Example:
    >>> estimate([3.0])
    Estimate(mean=3.0, low=None, high=None, count=1)
    """
    array = np.asarray(values, np.float64)
    mean = float(array.mean())
    if len(array) < 2:
        return Estimate(mean, None, None, len(array))
    rows = np.random.default_rng(0).integers(len(array), size=(DRAWS, len(array)))
    low, high = np.quantile(array[rows].mean(axis=1), [0.025, 0.975])
    return Estimate(mean, float(low), float(high), len(array))


def normalised(value: float, random: float, oracle: float) -> float:
    """(value - random) / (oracle - random).

    Raises ``UserError`` unless the oracle is better than random.
    """
    if not oracle > random:
        raise UserError(
            f"scores cannot be normalised: the oracle's return {oracle:.4g} is not "
            f"above that of random actions, {random:.4g}"
        )
    return (value - random) / (oracle - random)


def retained(value: float, everything: float, random: float) -> float | None:
    """What is left of the normalised score with everything; the oracle cancels.

    None where the agent is no better than random with everything.
    """
    if not everything > random:
        return None
    return (value - random) / (everything - random)


def area(curve: Mapping[float, float]) -> float | None:
    """The mean of a curve over the drop rates from its first to its last point.

    The area below straight lines between the points, divided by its width. None for
    less than two points.

    Example:
    >>> area({0.0: 1.0, 0.5: 0.5, 1.0: 0.5})
    0.625
    """
    if len(curve) < 2:
        return None
    rates = sorted(curve)
    pieces = [(b - a) * (curve[a] + curve[b]) / 2 for a, b in pairwise(rates)]
    return sum(pieces) / (rates[-1] - rates[0])


def drop_rates(evaluation: Evaluation) -> dict[str, float]:
    """The drop rate of each condition on the drop-rate curve, everything's being 0.

    Those of the group "bernoulli"; empty if there are none.
    """
    rates = {EVERYTHING: 0.0} if EVERYTHING in evaluation.conditions else {}
    for name, group in evaluation.conditions.items():
        found = re.fullmatch(r"bernoulli_(\d+)", name)
        if group == "bernoulli" and found:
            rates[name] = int(found[1]) / 100
    return rates if len(rates) > 1 else {}


def mean_returns(evaluation: Evaluation) -> dict[str, dict[str, float]]:
    """The mean return over all episodes, by agent and condition."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in evaluation.rows:
        found[row["agent"]][row["condition"]].append(row["return"])
    return {
        agent: {name: float(np.mean(values)) for name, values in each.items()}
        for agent, each in found.items()
    }


class Scores:
    """All scores of an evaluation, every condition's and overall.

    ``random`` and ``oracle`` are the returns, with everything, of the methods that the
    evaluation names; None if it names none.
    """

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        self._returns = mean_returns(evaluation)
        self.random = self._reference(evaluation.random)
        self.oracle = self._reference(evaluation.oracle)

    @property
    def comparable(self) -> bool:
        """Whether scores can be normalised."""
        one, other = self.random, self.oracle
        return one is not None and other is not None and other > one

    def of(self, method: str, condition: str) -> Score | None:
        """The score of a method in a condition, None where it was not measured."""
        returns = self._values(method, condition)
        if not returns:
            return None
        group = self.evaluation.conditions[condition]
        return Score(
            method,
            condition,
            group,
            estimate(returns),
            self._normalised(returns),
            self._retained(method, returns),
        )

    def overall(self, method: str) -> Overall:
        """The worst condition and the area below the drop-rate curve."""
        every = [self.of(method, name) for name in self.evaluation.conditions]
        measured = [score for score in every if score is not None]
        worst = min(measured, key=lambda score: score.returns.mean)
        areas = self._areas(method)
        return Overall(
            method,
            worst,
            estimate(areas) if areas else None,
            self._normalised(areas) if areas else None,
        )

    def _reference(self, method: str | None) -> float | None:
        values = [] if method is None else self._values(method, EVERYTHING)
        return float(np.mean(values)) if values else None

    def _values(self, method: str, condition: str) -> list[float]:
        """One mean return a training seed; none unless all were measured."""
        agents = self.evaluation.methods[method]
        found = [self._returns[agent].get(condition) for agent in agents]
        values = [value for value in found if value is not None]
        return values if len(values) == len(agents) else []

    def _normalised(self, values: Sequence[float]) -> Estimate | None:
        if not self.comparable:
            return None
        assert self.random is not None and self.oracle is not None
        return estimate([normalised(v, self.random, self.oracle) for v in values])

    def _retained(self, method: str, values: Sequence[float]) -> Estimate | None:
        everything = self._values(method, EVERYTHING)
        if self.random is None or not everything:
            return None
        parts = [
            retained(value, whole, self.random)
            for value, whole in zip(values, everything, strict=True)
        ]
        told = [part for part in parts if part is not None]
        return estimate(told) if len(told) == len(parts) else None

    def _areas(self, method: str) -> list[float]:
        """The area of each training seed."""
        rates = drop_rates(self.evaluation)
        columns = {rate: self._values(method, name) for name, rate in rates.items()}
        if not columns or not all(columns.values()):
            return []
        seeds = range(len(self.evaluation.methods[method]))
        curves = [{rate: each[k] for rate, each in columns.items()} for k in seeds]
        return [found for curve in curves if (found := area(curve)) is not None]
