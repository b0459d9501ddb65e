"""Pictures of what a model reconstructs and imagines (as Figs. 17 to 19)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from nexus_rl.data.dataset import classes_of
from nexus_rl.draws import seeded
from nexus_rl.figures import show_trajectory
from nexus_rl.modality import PAPER, Modality
from nexus_rl.models.core import MultimodalVAE

INK, RIGHT, WRONG = "#222222", "#1a7f37", "#c2410c"
IMAGINED = 3  # rows of samples from the only other modality; from each of several one

Row = tuple[str, Tensor]


def examples(batch: dict[str, Tensor], modalities: Sequence[Modality]) -> Tensor:
    """Indices of ten rows to show: one of each class where there are classes."""
    for modality in modalities:
        if modality.categorical:
            classes = classes_of(batch[modality.name])
            firsts = [(classes == k).nonzero()[:1, 0] for k in range(modality.shape[0])]
            return torch.cat(firsts)[:10]
    return torch.arange(min(10, len(next(iter(batch.values())))))


def draw(
    model: MultimodalVAE,
    batch: dict[str, Tensor],
    classes: Sequence[str] = (),
    stage: str = "joint",
) -> Figure:
    """A column an example: data, reconstructions of both levels, and imagination.

    Each modality's part shows the data, its bottom and top reconstruction, and samples
    from each single other modality, three where there is one. ``stage`` "bottom" leaves
    the top out. Puts the model into eval mode.
    """
    model.eval()
    sections = [
        (modality, _rows(model, modality, batch, stage))
        for modality in model.modalities
    ]
    columns = len(next(iter(batch.values())))
    heights = [_height(m) for m, rows in sections for _ in rows]
    figure = Figure(figsize=(1.6 + 0.85 * columns, 0.85 * sum(heights) + 0.4))
    figure.set_layout_engine("constrained", w_pad=0.01, h_pad=0.01, hspace=0, wspace=0)
    grid: Any = figure.subplots(
        len(heights), columns, squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    axes = iter(grid)
    for modality, rows in sections:
        for title, values in rows:
            line = next(axes)
            line[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=9)
            data = rows[0][1]
            truths = [None] * len(data) if values is data else data
            for ax, value, truth in zip(line, values, truths, strict=True):
                ax.set(xticks=[], yticks=[])
                ax.spines[:].set_visible(False)
                _show(ax, modality, value, truth, classes)
    return figure


def _rows(
    model: MultimodalVAE, modality: Modality, batch: dict[str, Tensor], stage: str
) -> list[Row]:
    name = modality.name
    noise = seeded(0, device=model.device)
    alone = {name: batch[name]}
    data = modality.denormalise(modality.normalise(batch[name]))
    rows = [(f"{name}: data", data)]
    if model.config.levels == 2:
        bottom = model.reconstruct(alone, generator=noise)[name]
        rows.append(("bottom level", bottom))
    if stage == "bottom":
        return rows
    top = model.generate(alone, targets=[name], generator=noise)[name]
    rows.append(("top level", top))
    others = [source for source in batch if source != name]
    for source in others:
        for k in range(IMAGINED if len(others) == 1 else 1):
            given = {source: batch[source]}
            imagined = model.generate(given, targets=[name], generator=noise)[name]
            rows.append((f"from {source}" if k == 0 else "", imagined))
    return rows


def _height(modality: Modality) -> float:
    if modality.kind in ("image", "frames"):
        channels, height, width = modality.shape
        return height / (width if _coloured(modality) else channels * width)
    if _drawn(modality):
        return 1.0
    return {"label": 0.32, "vector": 0.6}.get(modality.kind, 1.0)


def _drawn(modality: Modality) -> bool:
    """Whether it is the paper's way of a pen, which says little as 200 numbers."""
    pen = PAPER["trajectory"]
    return (modality.name, modality.shape) == (pen.name, pen.shape)


def _coloured(modality: Modality) -> bool:
    return modality.kind == "image" and modality.shape[0] == 3


def _show(
    ax: Axes,
    modality: Modality,
    value: Tensor,
    truth: Tensor | None,
    classes: Sequence[str],
) -> None:
    array = value.cpu().numpy()
    if modality.categorical:
        best = int(array.argmax())
        name = classes[best] if classes else str(best)
        text, colour = name, INK
        if truth is not None:
            text = f"{name}\n{array[best]:.0%}"
            colour = RIGHT if best == int(truth.argmax()) else WRONG
        ax.text(0.5, 0.5, text, ha="center", va="center", fontsize=7, color=colour)
    elif modality.kind in ("image", "frames"):
        low, high = modality.range
        if _coloured(modality):
            ax.imshow(((array - low) / (high - low)).transpose(1, 2, 0))
        else:
            side_by_side = np.concatenate(array, 1)
            ax.imshow(side_by_side, cmap="gray", vmin=low, vmax=high)
    elif modality.kind == "spectrogram":
        low, high = modality.range
        ax.imshow(
            array[0].T, "magma", origin="lower", aspect="auto", vmin=low, vmax=high
        )
    elif _drawn(modality):
        show_trajectory(ax, array)
    else:
        ax.plot(array.flatten(), color=INK, linewidth=0.8)
        ax.set_ylim(*modality.range)
