"""Diagonal Gaussians as (mean, log-variance) pairs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from nexus_rl.draws import Draws


class Gaussian(NamedTuple):
    """``mean`` and ``logvar``, both (B, D)."""

    mean: Tensor
    logvar: Tensor

    def sample(self, draws: Draws | None) -> Tensor:
        """A reparameterised sample, or the mean where ``draws`` is None."""
        if draws is None:
            return self.mean
        return torch.addcmul(
            self.mean, (0.5 * self.logvar).exp(), draws.normal(self.mean)
        )

    def kl(self) -> Tensor:
        """Divergence from the standard normal in nats, (B,)."""
        inner = 1 + self.logvar - self.mean.square() - self.logvar.exp()
        return -0.5 * inner.sum(1)

    def kl_from(self, other: Gaussian) -> Tensor:
        """Divergence of this from ``other`` in nats, (B,)."""
        gap = (self.mean - other.mean).square() + self.logvar.exp()
        inner = 1 + self.logvar - other.logvar - gap / other.logvar.exp()
        return -0.5 * inner.sum(1)

    def normal(self) -> Normal:
        """The same as a ``torch.distributions.Normal``."""
        return Normal(self.mean, (0.5 * self.logvar).exp(), validate_args=False)


class GaussianHeads(nn.Module):
    """Two parallel linear heads: features (B, F) to a Gaussian over (B, D).

    The log-variance is not clamped (as in the released code).
    """

    def __init__(self, features: int, dim: int) -> None:
        super().__init__()
        self.mean = nn.Linear(features, dim)
        self.logvar = nn.Linear(features, dim)

    def forward(self, features: Tensor) -> Gaussian:
        return Gaussian(self.mean(features).float(), self.logvar(features).float())
