"""What pictures share: sounds and pens in a panel, and figures as bytes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FAINT = "#dddddd"


def png(figure: Figure, **options: Any) -> bytes:
    """The figure as a PNG; ``options`` are those of its ``savefig``."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, **options)
    return content.getvalue()


def hide_axes(axes: Any) -> None:
    """Leaves the pictures alone."""
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)


def show_sound(ax: Any, spectrogram: Any) -> None:
    """A spectrogram (frames, bands), in its frame."""
    ax.imshow(spectrogram.T, "magma", origin="lower", aspect="auto")
    ax.spines[:].set(visible=True, color=FAINT)


def show_trajectory(ax: Any, trajectory: Any) -> None:
    """A pen's way (200,), from violet to yellow."""
    x, y = trajectory.astype("float32").reshape(2, -1)
    ax.plot(x, y, color=FAINT, linewidth=1)
    ax.scatter(x, y, c=range(len(x)), cmap="viridis", s=5, linewidths=0)
    ax.set_aspect("equal", adjustable="datalim")  # boxes stay in line
    ax.invert_yaxis()
    ax.margins(0.15)
