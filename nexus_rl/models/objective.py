"""The objective axis: which subsets are encoded in a training step, and what each
must explain."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nexus_rl.draws import Draws


class Pass(NamedTuple):
    """One encoding of the batch: ``available`` (B, M), bool; ``targets`` are columns
    to explain (None: all); ``weight`` scales the pass's loss."""

    available: Tensor
    targets: tuple[int, ...] | None = None
    weight: float = 1.0


class Objective:
    """Yields the passes of one training step."""

    def passes(
        self, rows: int, modalities: int, draws: Draws, device: torch.device
    ) -> list[Pass]:
        """Passes over a batch of ``rows`` in training."""
        raise NotImplementedError


class ForcedPerceptualDropout(Objective):
    """One pass that explains everything, with probability ``rho`` from a subset.

    A dropped row loses U{1, ..., M-1} modalities, chosen uniformly, never all
    (paper, Algorithm 1); one vectorised draw for the whole batch.
    """

    def __init__(self, rho: float) -> None:
        self.rho = rho

    def passes(
        self, rows: int, modalities: int, draws: Draws, device: torch.device
    ) -> list[Pass]:
        return [Pass(self.draw(rows, modalities, draws, device))]

    def draw(
        self, rows: int, modalities: int, draws: Draws, device: torch.device
    ) -> Tensor:
        """Availability (rows, modalities), bool, with at least one True a row."""
        if modalities == 1 or self.rho == 0:
            return torch.ones(rows, modalities, dtype=torch.bool, device=device)
        noise = draws.uniform(rows, modalities + 2, device)
        dropped = (1 + noise[:, 1] * (modalities - 1)).floor().clamp(max=modalities - 1)
        dropped = dropped.where(noise[:, 0] < self.rho, 0.0)
        # Double argsort: each modality's rank in a uniformly random order.
        ranks = noise[:, 2:].argsort(1).argsort(1)
        return ranks >= dropped[:, None]
