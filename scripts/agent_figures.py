"""A picture of what all agents of an experiment reach, by the way sensors fail."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from agent_scores import Measured
from matplotlib.figure import Figure


def heat_map(found: Measured, columns: Mapping[str, Sequence[str]]) -> bytes:
    """A line an agent, a column a group of conditions: mean scores, as a PNG.

    What was not measured, as of agents whose only sensor is missing, stays white.
    """
    scores = [
        [found.score(row, list(names)) for names in columns.values()]
        for row in found.titles
    ]
    means = [[float("nan") if s is None else s.mean for s in line] for line in scores]
    size = (3.8 + 0.9 * len(columns), 1.1 + 0.3 * len(means))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.imshow(means, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    for k, line in enumerate(means):
        for n, mean in enumerate(line):
            ink = "black" if mean > 0.5 else "white"
            if mean == mean:
                axes.text(
                    n, k, f"{mean:.2f}", ha="center", va="center", color=ink, fontsize=9
                )
    names = [name.replace("_", " ") for name in columns]
    axes.set_xticks(range(len(names)), names, rotation=30, ha="left")
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_yticks(range(len(means)), list(found.titles.values()))
    axes.spines[:].set_visible(False)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()
