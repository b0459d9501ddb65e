"""Digits that models imagine from their labels: image, trajectory and sound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from paper_groups import title
from torch import Tensor

from nexus_rl.data import Dataset
from nexus_rl.data.audio import waveform
from nexus_rl.data.dataset import classes_of
from nexus_rl.data.mhd.contact import RATE
from nexus_rl.data.mhd.wav import write_wav
from nexus_rl.draws import seeded
from nexus_rl.figures import hide_axes, png, show_sound, show_trajectory
from nexus_rl.files import write_atomic
from nexus_rl.models import MultimodalVAE

DIGITS = (0, 4, 7, 9)  # those of Fig. 17
SHOWN = ("image", "trajectory", "sound")
Line = dict[str, Tensor]
Models = Mapping[str, MultimodalVAE]


def write_samples(
    models: Models, dataset: Dataset, levels: tuple[float, float], out: Path
) -> list[Path]:
    """Writes a picture with a line a model, and a sound a model and digit, in ``out``.

    The first line and sounds are those of test items. ``levels`` are the decibels that
    the sounds' [0, 1] stand for.
    """
    lines = dict(imagined(models, dataset))
    picture = out / f"samples_{dataset.name}.png"
    write_atomic(picture, png(draw(lines)))
    paths = [picture]
    for row, line in lines.items():
        sounds = waveform(line["sound"][:, 0], levels)
        for digit, sound in zip(DIGITS, sounds, strict=True):
            paths.append(out / f"samples_{dataset.name}" / f"{row}_{digit}.wav")
            write_wav(paths[-1], sound, RATE)
    return paths


def imagined(models: Models, dataset: Dataset) -> Iterator[tuple[str, Line]]:
    """By row, "data" first, each modality of ``SHOWN`` (len(DIGITS), *shape)."""
    classes = classes_of(dataset.test["label"])
    first = torch.stack([(classes == digit).nonzero()[0, 0] for digit in DIGITS])
    known = {modality.name: modality for modality in dataset.modalities}
    yield (
        "data",
        {name: known[name].normalise(dataset.test[name][first]) for name in SHOWN},
    )
    for row, model in models.items():
        label = torch.tensor(DIGITS)
        made = model.generate(
            {"label": label}, targets=[*SHOWN], generator=seeded(0, device=model.device)
        )
        yield row, {name: made[name].cpu() for name in SHOWN}


def draw(lines: Mapping[str, Line]) -> Figure:
    """Image, trajectory and sound of every digit, a line a row of the table."""
    figure = Figure(figsize=(1.2 + 0.98 * 3 * len(DIGITS), 0.95 * len(lines) + 0.3))
    top = 1 - 0.3 / figure.get_figheight()
    figure.subplots_adjust(0.09, 0.01, 0.99, top, wspace=0.08, hspace=0.08)
    gap = 0.3  # between digits
    widths = ([1.0] * len(SHOWN) + [gap]) * len(DIGITS)
    grid: Any = figure.subplots(
        len(lines), len(widths), squeeze=False, gridspec_kw={"width_ratios": widths}
    )
    hide_axes(grid)
    axes = [[ax for ax, w in zip(line, widths, strict=True) if w == 1] for line in grid]
    for k, digit in enumerate(DIGITS):
        axes[0][3 * k + 1].set_title(f"from the label {digit}", fontsize=10)
    for line, (row, made) in zip(axes, lines.items(), strict=True):
        name = "data" if row == "data" else title(row)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
        for k in range(len(DIGITS)):
            image, trajectory, sound = line[3 * k : 3 * k + 3]
            image.imshow(made["image"][k, 0], "gray")
            show_trajectory(trajectory, made["trajectory"][k].numpy())
            show_sound(sound, made["sound"][k, 0])
    return figure
