"""Figures of the paper's experiments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from paper_four import COUNTS, targets_of
from paper_groups import COLUMNS, NEWER, Group, by_dataset, rho_of, title
from paper_runs import TABLE1, TABLE2

from nexus_rl.cmi.spread import Spread
from nexus_rl.figures import png

MARKERS = "o^s*Dvp"
KNOWN = (*TABLE2, *TABLE1, *(f"{name}_2" for name in NEWER))


def plot_table2(groups: Sequence[Group]) -> bytes:
    """Cross and joint accuracy against MFD, a point a model."""
    figure, grid = _grid(len(by_dataset(groups)), 2, (13, 4.2))
    looks = _looks(groups)
    for axes, (dataset, mine) in zip(grid, by_dataset(groups).items(), strict=True):
        for ax, kind in zip(axes, ("cross", "joint"), strict=True):
            for group in mine:
                _point(ax, looks[group.row], group, kind)
            ax.set(
                xlabel="MFD of images from labels (class)",
                ylabel=f"{kind} accuracy, %",
                title=dataset,
            )
            ax.grid(alpha=0.3)
        axes[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return png(figure)


def _looks(groups: Sequence[Group]) -> dict[str, dict[str, str]]:
    """Marker and colour of each row, the same on all pages."""
    rows = dict.fromkeys((*KNOWN, *(group.row for group in groups)))
    return {
        row: {"marker": MARKERS[k // 10], "color": f"C{k % 10}"}
        for k, row in enumerate(rows)
    }


def _point(ax: Any, look: dict[str, str], group: Group, kind: str) -> None:
    accuracy, mfd = group.spread(kind, "accuracy"), group.spread("cross", "mfd_class")
    if accuracy is None or mfd is None:
        return
    ax.errorbar(
        mfd.mean,
        100 * accuracy.mean,
        100 * (accuracy.over_seeds or 0),
        mfd.over_seeds or 0,
        **look,
        label=title(group.row),
        linestyle="",
    )


def plot_frontier(groups: Sequence[Group]) -> bytes:
    """Accuracy against MFD of images from labels, a line of more noise a model.

    In black, of the bottoms that two-level models share: reconstructions, and codes
    from a Gaussian a class; hollow, the same of models with a +; star: real images.
    """
    datasets = by_dataset(groups)
    figure, (axes,) = _grid(1, len(datasets), (8.5 * len(datasets), 5.5))
    looks = _looks(groups)
    for ax, (dataset, mine) in zip(axes, datasets.items(), strict=True):
        ceilings: dict[tuple[str, str], tuple[float, float]] = {}
        for group in mine:
            points = group.frontier()
            line = [at for what, at in points.items() if what not in CEILINGS]
            if line:
                ax.plot(
                    [mfd for _, mfd in line],
                    [100 * accuracy for accuracy, _ in line],
                    **looks[group.row],
                    label=title(group.row),
                    linewidth=1,
                )
            own = " +" if "_plus" in group.row else ""  # bottoms of their own
            for what in CEILINGS.keys() & points.keys():
                if not (own and what == "real"):
                    ceilings.setdefault((what, own), points[what])
        for (what, own), (accuracy, mfd) in sorted(ceilings.items()):
            look = {"fillstyle": "none" if own else "full", "label": what + own}
            ax.plot(mfd, 100 * accuracy, CEILINGS[what], color="black", **look)
        ax.set(xlabel="class MFD", ylabel="accuracy, %", title=dataset, xscale="log")
        ax.grid(alpha=0.3, which="both")
        ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return png(figure)


CEILINGS = {"bottom": "s", "bottom, others": "o", "class Gaussian": "D", "real": "*"}


def plot_fig_a21(groups: Sequence[Group]) -> bytes:
    """Accuracies, and the MFD of images from labels, against rho."""
    figure, grid = _grid(len(by_dataset(groups)), 2, (10, 3.6))
    for (left, right), (dataset, mine) in zip(
        grid, by_dataset(groups).items(), strict=True
    ):
        mine = sorted(mine, key=rho_of)
        rhos = [rho_of(group) for group in mine]
        for kind in COLUMNS:
            accuracies = [group.spread(kind, "accuracy") for group in mine]
            _curve(left, rhos, accuracies, 100, label=kind)
        left.set(xlabel="rho", ylabel="accuracy, %", title=dataset)
        left.legend(fontsize=8)
        mfds = [group.spread("cross", "mfd_class") for group in mine]
        _curve(right, rhos, mfds, 1, label="class")
        right.set(xlabel="rho", ylabel="MFD of images from labels", title=dataset)
    return png(figure)


def plot_table3(groups: Sequence[Group]) -> bytes:
    """Accuracy and MFD of each target against the number of given modalities."""
    datasets = by_dataset(groups)
    targets, looks = targets_of(groups), _looks(groups)
    figure, grid = _grid(2 * len(datasets), len(targets), (3.2 * len(targets), 2.8))
    panels = [
        (dataset, mine, *panel)
        for dataset, mine in datasets.items()
        for panel in (("accuracy", "accuracy, %", 100), ("mfd_class", "class MFD", 1))
    ]
    for line, (dataset, mine, measure, label, scale) in zip(grid, panels, strict=True):
        for ax, target in zip(line, targets, strict=True):
            for group in mine:
                found = [group.given(count, target)[measure] for count in COUNTS]
                if None in found:  # a label's MFD
                    ax.set_axis_off()
                    break
                look = looks[group.row]
                _curve(ax, [*COUNTS], found, scale, label=title(group.row), **look)
            else:
                ax.set(xlabel="given modalities", ylabel=label)
                ax.set(title=f"{target}, {dataset}", xticks=COUNTS)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=6, fontsize=9)
    return png(figure)


def _curve(
    ax: Any, x: list[float], spreads: list[Spread | None], scale: float, **look: str
) -> None:
    known = [(at, s) for at, s in zip(x, spreads, strict=True) if s is not None]
    ax.errorbar(
        [at for at, _ in known],
        [scale * s.mean for _, s in known],
        [scale * (s.over_seeds or 0) for _, s in known],
        **{"marker": "o", **look},
    )
    ax.grid(alpha=0.3)


def _grid(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, Any]:
    """A figure of panels; ``size`` is that of one row."""
    figure = Figure(figsize=(size[0], size[1] * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)
