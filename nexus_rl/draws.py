"""Random draws for the rows of a batch, never from the global generators."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class Draws:
    """Noise for ``rows`` of a batch, from ``generator``.

    When several processes share a batch, ``share = (start, stop, total)`` names this
    process's rows: noise is drawn for all ``total`` rows on each process, and each
    keeps its own, so the numbers do not depend on how many processes there are. A
    batch may be encoded several times at once, all its rows after one another.
    """

    def __init__(
        self,
        generator: torch.Generator,
        share: tuple[int, int, int] | None = None,
    ) -> None:
        self.generator = generator
        self.share = share

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal noise shaped like ``like``: (B, ...)."""
        return self._draw(torch.randn, like.shape, like.device)

    def uniform(self, rows: int, columns: int, device: torch.device) -> Tensor:
        """Uniform noise in [0, 1): (rows, columns)."""
        return self._draw(torch.rand, torch.Size((rows, columns)), device)

    def _draw(self, draw: object, shape: torch.Size, device: torch.device) -> Tensor:
        start, stop, total = self.share or (0, shape[0], shape[0])
        own = stop - start
        times = shape[0] // own if own else 1
        if times * own != shape[0]:
            raise ValueError(f"a share of {own} rows was asked for {shape[0]}")
        noise: Tensor = draw(  # type: ignore[operator]
            (times, total, *shape[1:]),
            generator=self.generator,
            device=self.generator.device,
        )
        return noise[:, start:stop].reshape(shape).to(device)


def seeded(*key: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose stream depends on every number of ``key``."""
    # SeedSequence mixes the numbers: (1, 2) and (2, 1) are unrelated.
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state) >> 1)
