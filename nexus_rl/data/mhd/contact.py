"""What is in the dataset, to look at and to hear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from nexus_rl.data.audio import waveform
from nexus_rl.data.mhd.store import EXAMPLES, Folder
from nexus_rl.data.mhd.wav import write_wav
from nexus_rl.figures import hide_axes, png, show_sound, show_trajectory
from nexus_rl.files import write_atomic

SHOWN = 3  # samples a digit
RATE = 16_000
NAMES = ("image", "trajectory", "sound")


def write_examples(folder: Folder, scale: Mapping[str, Any]) -> None:
    """Writes ``contact.png`` and a sound a digit, ``examples/<digit>.wav``.

    ``scale`` has the decibels that sounds are normalised by, ``min`` and ``max``. The
    sounds are those of the first rows of the picture.
    """
    labels = folder.read("train_label")
    rows = [np.flatnonzero(labels == digit)[:SHOWN] for digit in range(10)]
    content = png(draw(folder, rows), metadata={"Software": None})
    write_atomic(folder.path / "contact.png", content)
    spectrograms = _sounds(folder, np.array([row[0] for row in rows]))
    levels = scale["min"], scale["max"]
    sounds = waveform(torch.from_numpy(spectrograms[:, 0]).float() / 255, levels)
    for digit, sound in enumerate(sounds):
        write_wav(folder.path / EXAMPLES / f"{digit}.wav", sound, RATE)


def _sounds(folder: Folder, rows: Any) -> Any:
    return np.array(folder.read("sound")[folder.read("train_sound")[rows]])


def draw(folder: Folder, rows: list[Any]) -> Figure:
    """A column a digit; for each of its samples image, trajectory and sound."""
    figure = Figure(
        figsize=(12, 1.28 * 3 * SHOWN + 0.4),
    )
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02)
    axes: Any = figure.subplots(3 * SHOWN, 10, squeeze=False)
    hide_axes(axes)
    for digit, samples in enumerate(rows):
        axes[0][digit].set_title(str(digit), fontsize=16)
        for k, row in enumerate(samples):
            column = axes[3 * k : 3 * k + 3, digit]
            column[0].imshow(folder.read("train_image")[row, 0], "gray")
            show_trajectory(column[1], folder.read("train_trajectory")[row])
            show_sound(column[2], _sounds(folder, row)[0])
    for k in range(SHOWN):
        for name, ax in zip(NAMES, axes[3 * k : 3 * k + 3, 0], strict=True):
            ax.set_ylabel(name, fontsize=9)
    return figure
