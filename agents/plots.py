"""Plots of evaluations: the return in every condition, and over drop rates."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from agents.scores import Estimate, Scores
from agents.scores import drop_rates as rates_of
from nexus_rl.figures import png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind can tell apart. One marker more than
# colours, so that pairs repeat after 56 methods.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
REFERENCES = {"random": ":", "oracle": "--"}


def returns(scores: Scores) -> bytes:
    """The return of every method in every condition, a line a condition: PNG."""
    from matplotlib.figure import Figure

    conditions = scores.evaluation.conditions
    methods = scores.evaluation.compared
    spread = 0.16 * (len(methods) - 1)
    line = max(0.24, 0.1 * len(methods))  # inches
    height = 1.2 + line * len(conditions)
    figure = Figure(figsize=(8, height), layout="constrained")
    axes = figure.subplots()
    for k, method in enumerate(methods):
        shift = (k / max(len(methods) - 1, 1) - 0.5) * min(spread, 0.6)
        found = [
            (row + shift, score.returns)
            for row, name in enumerate(conditions)
            if (score := scores.of(method, name)) is not None
        ]
        places = [place for place, _ in found]
        estimates = [estimate for _, estimate in found]
        axes.errorbar(
            [estimate.mean for estimate in estimates],
            places,
            xerr=_whiskers(estimates),
            linestyle="none",
            label=method,
            **_style(k),
        )
    _mark_groups(axes, list(conditions.values()))
    _mark_references(axes.axvline, scores)
    axes.set_yticks(range(len(conditions)), list(conditions))
    axes.set_ylim(len(conditions) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("return of an episode" + _means(scores))
    _legend(figure, axes)
    return png(figure)


def drop_rates(scores: Scores) -> bytes | None:
    """The return over the drop rate, a curve a method: PNG, None without rates."""
    from matplotlib.figure import Figure

    rates = rates_of(scores.evaluation)
    if not rates:
        return None
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for k, method in enumerate(scores.evaluation.compared):
        found = [
            (100 * rate, score.returns)
            for name, rate in sorted(rates.items(), key=lambda item: item[1])
            if (score := scores.of(method, name)) is not None
        ]
        estimates = [estimate for _, estimate in found]
        axes.errorbar(
            [rate for rate, _ in found],
            [estimate.mean for estimate in estimates],
            yerr=_whiskers(estimates),
            label=method,
            **_style(k),
        )
    _mark_references(axes.axhline, scores)
    axes.grid(alpha=0.3)
    axes.set_xlabel("chance of each sensor to be missing in a step, in %; never all")
    axes.set_ylabel("return of an episode" + _means(scores))
    _legend(figure, axes)
    return png(figure)


def _style(k: int) -> dict[str, Any]:
    return {
        "color": COLOURS[k % len(COLOURS)],
        "marker": MARKERS[k % len(MARKERS)],
        "markersize": 5,
        "capsize": 2,
        "elinewidth": 1.2,
    }


def _whiskers(estimates: list[Estimate]) -> list[list[float]] | None:
    """How far the intervals reach to both sides of the means."""
    if all(estimate.low is None for estimate in estimates):
        return None
    below, above = [], []
    for estimate in estimates:
        low, high = estimate.low, estimate.high
        below.append(0.0 if low is None else estimate.mean - low)
        above.append(0.0 if high is None else high - estimate.mean)
    return [below, above]


def _mark_groups(axes: Axes, groups: list[str]) -> None:
    """A shade behind every other group of conditions."""
    edges = [0, *(k for k, (a, b) in enumerate(pairwise(groups), 1) if a != b)]
    for number, (start, end) in enumerate(pairwise([*edges, len(groups)])):
        if number % 2:
            axes.axhspan(start - 0.5, end - 0.5, color="0.94", zorder=0)


def _mark_references(draw: Any, scores: Scores) -> None:
    named = {"random": scores.random, "oracle": scores.oracle}
    for role, value in named.items():
        if value is not None:
            method = getattr(scores.evaluation, role)
            label = method if method == role else f"{method} ({role})"
            draw(value, color="0.35", linestyle=REFERENCES[role], label=label)


def _means(scores: Scores) -> str:
    evaluation = scores.evaluation
    one = all(len(evaluation.methods[method]) == 1 for method in evaluation.compared)
    return "" if one else ";\nmean and 95 % interval over training seeds"


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    columns = min(len(labels), 4)
    figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=columns,
        frameon=False,
        fontsize=9,
    )
