"""What models imagine, side by side (Figs. 17 to 19 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure
from paper_groups import title
from torch import Tensor

from nexus_rl.data import Dataset
from nexus_rl.data.dataset import classes_of
from nexus_rl.draws import seeded
from nexus_rl.models import MultimodalVAE

# The classes of Fig. 18; of other data sets the first four.
CLASSES = {"mnist": (2, 5, 7, 9), "fashion_mnist": (1, 5, 7, 8)}
EACH = 6  # images a class
Models = Mapping[str, MultimodalVAE]


def draw_labels(models: Models, dataset: Dataset) -> Figure:
    """Images imagined from labels alone, a line a model, below real ones."""
    classes = classes_of(dataset.test["label"])
    chosen = CLASSES.get(dataset.name, range(min(4, int(classes.max()) + 1)))
    label = torch.tensor([k for k in chosen for _ in range(EACH)])
    real = torch.cat([(classes == k).nonzero()[:EACH, 0] for k in chosen])
    lines = {"data": _values(dataset, dataset.test["image"][real])}
    for row, model in models.items():
        made = model.generate({"label": label}, targets=["image"], generator=seeded(0))
        lines[title(row)] = made["image"]
    return _lines(lines, EACH)


def draw_levels(models: Models, dataset: Dataset) -> Figure:
    """Test images, and what is left of them after the bottom and after the top level.

    From the image alone. Models that share a bottom stand below it; those of one level
    have none.
    """
    data = dataset.test["image"][: 4 * EACH]
    lines = {"data": _values(dataset, data)}
    below: dict[bytes, str] = {}
    batch = {"image": data}
    for row, model in models.items():
        if model.config.levels == 2:
            left = model.reconstruct(batch, generator=seeded(0))["image"]
            known = below.setdefault(left.numpy().tobytes(), f"bottom of {title(row)}")
            lines.setdefault(known, left)
        made = model.generate(batch, targets=["image"], generator=seeded(0))
        lines[title(row)] = made["image"]
    return _lines(lines)


def _values(dataset: Dataset, data: Tensor) -> Tensor:
    (modality,) = [m for m in dataset.modalities if m.name == "image"]
    return modality.normalise(data)


def _lines(lines: Mapping[str, Tensor], group: int = 0) -> Figure:
    """A line of pictures (N, 1, H, W) in [0, 1] each, with its name.

    A red line after every ``group`` of them.
    """
    size = next(iter(lines.values())).shape[-1]
    count = len(next(iter(lines.values())))
    figure = Figure(figsize=(1.8 + 0.42 * count, 0.45 * len(lines)))
    axes = figure.subplots(len(lines), 1, squeeze=False)[:, 0]
    figure.subplots_adjust(0.16, 0.01, 0.99, 0.99, hspace=0.06)
    for ax, (name, images) in zip(axes, lines.items(), strict=True):
        ax.imshow(torch.cat([*images[:, 0].cpu()], 1), cmap="gray_r", vmin=0, vmax=1)
        for place in range(group, count, group) if group else ():
            ax.axvline(place * size - 0.5, color="tab:red", linewidth=0.8)
        ax.set(xticks=[], yticks=[])
        ax.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    return figure
