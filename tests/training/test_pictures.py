"""What pictures of training show of readings that are no images."""

from __future__ import annotations

import torch

from nexus_rl import Modality, make_model
from nexus_rl.modality import PAPER
from nexus_rl.pictures import draw


def test_a_trajectory_is_drawn_as_a_pen_and_other_vectors_as_lines() -> None:
    sensors = [PAPER["trajectory"], Modality("motion", (200,))]
    model = make_model("nexus", sensors, latent_dim=4)
    batch = {sensor.name: torch.rand(2, 200) for sensor in sensors}
    axes = {
        ax.get_ylabel(): ax for ax in draw(model, batch).axes if ax.get_ylabel().strip()
    }
    pen, motion = axes["trajectory: data"], axes["motion: data"]
    (dots,) = pen.collections
    expected = batch["trajectory"][0].reshape(2, 100).T
    assert torch.equal(torch.tensor(dots.get_offsets()).float(), expected)
    assert pen.yaxis_inverted() and not motion.yaxis_inverted()
    assert not motion.collections and len(motion.lines[0].get_xdata()) == 200
    assert pen.bbox.height > motion.bbox.height
