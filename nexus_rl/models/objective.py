"""The objective axis: which subsets are encoded in a training step, and what each
must explain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nexus_rl.draws import Draws
from nexus_rl.models.gaussian import Gaussian
from nexus_rl.models.levels import Term


class Pass(NamedTuple):
    """One encoding of the batch: ``available`` (B, M), bool; ``targets`` are columns
    to explain (None: all); ``weight`` scales the pass's loss, ``kl`` further the
    divergence of its posterior from the prior."""

    available: Tensor
    targets: tuple[int, ...] | None = None
    weight: float = 1.0
    kl: float = 1.0

    def targets_of(self, modalities: int) -> Sequence[int]:
        """The columns to explain, of so many."""
        return range(modalities) if self.targets is None else self.targets


def availability(
    columns: Iterable[int], rows: int, modalities: int, device: torch.device
) -> Tensor:
    """(rows, modalities), bool, with the same ``columns`` available in every row."""
    mask = torch.zeros(modalities, dtype=torch.bool, device=device)
    mask[list(columns)] = True
    return mask.expand(rows, -1)


class Objective:
    """Yields the passes of one training step."""

    def passes(
        self, rows: int, modalities: int, draws: Draws, device: torch.device
    ) -> list[Pass]:
        """Passes over a batch of ``rows`` in training."""
        raise NotImplementedError

    def complete(self, rows: int, modalities: int, device: torch.device) -> list[Pass]:
        """Passes of a batch in eval mode: one, with nothing dropped."""
        return [Pass(availability(range(modalities), rows, modalities, device))]

    def between(self, posteriors: list[Gaussian]) -> list[Term]:
        """Loss terms between the posteriors of all passes.

        Those with ``is_kl`` are scaled like the model's divergence from the prior, by
        beta and the warm-up.
        """
        return []


class ForcedPerceptualDropout(Objective):
    """One pass that explains everything, with probability ``rho`` from a subset.

    A dropped row loses U{1, ..., M-1} modalities, chosen uniformly, never all
    (paper, Algorithm 1); one vectorised draw for the whole batch.

    With ``align`` above 0, an addition to the paper, each row is encoded twice: with
    everything, which counts 1 - rho, and with a subset, which counts rho (the same
    loss in expectation); and ``align`` weighs the symmetric divergence between the
    two posteriors, so that a subset's latent lands where the full one does.
    """

    def __init__(self, rho: float, align: float = 0.0) -> None:
        self.rho, self.align = rho, align

    def passes(
        self, rows: int, modalities: int, draws: Draws, device: torch.device
    ) -> list[Pass]:
        if self.align == 0:
            return [Pass(self.draw(rows, modalities, draws, device))]
        everything = self.complete(rows, modalities, device)[0].available
        always = ForcedPerceptualDropout(1.0)
        some = always.draw(rows, modalities, draws, device)
        return [Pass(everything, None, 1 - self.rho), Pass(some, None, self.rho)]

    def between(self, posteriors: list[Gaussian]) -> list[Term]:
        if len(posteriors) == 1:
            return []
        full, some = posteriors
        divergence = full.kl_from(some) + some.kl_from(full)
        return [Term("alignment", divergence, self.align)]

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
