"""A report's figures as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from nexus_rl.cmi.report import Point, Report, Row
from nexus_rl.figures import png

BAR = 0.8  # height of all bars of one direction


def plot(report: Report) -> bytes:
    """A line of panels a target: accuracy and MFD by what is given, and the frontier.

    Black lines mark what real data reach: the classifier's ceiling, the MFD's floor.
    """
    targets = list(dict.fromkeys(row.target for row in report.rows))
    by_target = [[row for row in report.rows if row.target == t] for t in targets]
    heights = [1.0 + 0.24 * len(rows) for rows in by_target]
    frontiers = list(dict.fromkeys(point.target for point in report.frontier))
    heights += [4.0] * len(frontiers)
    figure = Figure(figsize=(10, 0.6 + sum(heights)), layout="constrained")
    grid: Any = figure.subplots(
        len(heights), 2, squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for (left, right), target, rows in zip(grid, targets, by_target, strict=False):
        _accuracy(left, target, rows, report.models)
        _mfd(right, target, rows, report.models)
    for (left, right), target in zip(grid[len(targets) :], frontiers, strict=True):
        points = [point for point in report.frontier if point.target == target]
        _frontier(left, points, report.models)
        right.set_axis_off()
    if len(report.models) > 1:
        handles = grid[0][0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside upper center", ncols=4, fontsize=8)
    return png(figure)


def _accuracy(ax: Any, target: str, rows: Sequence[Row], models: Sequence[str]) -> None:
    _bars(ax, rows, models, [100 * row.accuracy for row in rows])
    ax.axvline(100 * rows[0].ceiling, color="black", linewidth=1)
    ax.set(xlim=(0, 101))
    ax.set_title(f"{target} imagined: accuracy in % (line: real)", fontsize=10)


def _mfd(ax: Any, target: str, rows: Sequence[Row], models: Sequence[str]) -> None:
    for kind in ("class", "pooled"):
        values = [getattr(row, f"mfd_{kind}") for row in rows]
        if None not in values:
            _bars(ax, rows, models, values)
            floor = getattr(rows[0], f"floor_{kind}")
            ax.axvline(floor, color="black", linewidth=1)
            ax.set_title(f"{target} imagined: {kind} MFD (line: real)", fontsize=10)
            return
    ax.set_axis_off()


def _bars(
    ax: Any, rows: Sequence[Row], models: Sequence[str], values: Sequence[float]
) -> None:
    places = list(dict.fromkeys(row.given for row in rows))
    size = BAR / len(models)
    for k, model in enumerate(models):
        mine = [i for i, row in enumerate(rows) if row.model == model]
        y = [places.index(rows[i].given) - BAR / 2 + (k + 0.5) * size for i in mine]
        ax.barh(y, [values[i] for i in mine], size, color=f"C{k}", label=model)
    ax.set_yticks(range(len(places)), ["from " + ", ".join(given) for given in places])
    ax.invert_yaxis()
    ax.tick_params(labelsize=8)


def _frontier(ax: Any, points: Sequence[Point], models: Sequence[str]) -> None:
    for k, model in enumerate(models):
        mine = [point for point in points if point.model == model]
        for kind, style, colour in (
            ("imagined", "o-", f"C{k}"),
            ("reconstruction", "s", f"C{k}"),
            ("baseline", "D", f"C{k}"),
            ("real", "*", "black"),
        ):
            made = [point for point in mine if point.kind == kind]
            x = [point.mfd_class for point in made]
            y = [100 * point.accuracy for point in made]
            ax.plot(x, y, style, color=colour)
            for point, place in zip(made, zip(x, y, strict=True), strict=True):
                ax.annotate(
                    point.what,
                    place,
                    xytext=(4, 4),
                    textcoords="offset points",
                    fontsize=7,
                    color=colour,
                )
    ax.set(xlabel="class MFD (lower is better)", ylabel="accuracy in %")
    ax.margins(0.15)
    ax.tick_params(labelsize=8)
    ax.set_title(f"{points[0].target} from {', '.join(points[0].given)}", fontsize=10)
