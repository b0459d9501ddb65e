"""A picture of what all agents of an experiment reach, by the way sensors fail."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from agent_claims import mean
from agent_scores import Measured
from matplotlib.figure import Figure

from nexus_rl.figures import png


def heat_map(found: Measured, columns: Mapping[str, list[str]]) -> bytes:
    """A line an agent, a column a group of conditions: mean scores, as a PNG.

    What was not measured, as of agents whose only sensor is missing, stays white.
    """
    cells = [
        [mean(found, row, names) for names in columns.values()] for row in found.titles
    ]
    means = [[math.nan if cell is None else cell for cell in line] for line in cells]
    size = (3.8 + 0.9 * len(columns), 1.1 + 0.3 * len(means))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.imshow(means, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    centred: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 9}
    for k, line in enumerate(cells):
        for n, cell in enumerate(line):
            if cell is not None:
                ink = "black" if cell > 0.5 else "white"
                axes.text(n, k, f"{cell:.2f}", color=ink, **centred)
    names = [name.replace("_", " ") for name in columns]
    axes.set_xticks(range(len(names)), names, rotation=30, ha="left")
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_yticks(range(len(means)), list(found.titles.values()))
    axes.spines[:].set_visible(False)
    return png(figure)
