"""Diagonal Gaussians as (mean, log-variance) pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

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


Rows = TypeVar("Rows", bound="Tensor | tuple[Tensor, ...]")


def repeated(values: Rows, times: int) -> Rows:
    """All rows (B, D) ``times`` times, one after the other: a tensor, or a tuple's."""
    if times == 1:
        return values
    if isinstance(values, Tensor):
        return values.repeat(times, 1)  # type: ignore[return-value]
    parts: Rows = type(values)(*(part.repeat(times, 1) for part in values))
    return parts


EPSILON = 1e-8


def product(
    experts: Sequence[Gaussian], weights: Tensor, prior: float = 0.0
) -> Gaussian:
    """The density proportional to the product of the experts' powers ``weights``.

    ``weights`` is (B, E), one column an expert; an expert of weight 0 is never read.
    ``prior`` is the power of a standard normal beside them. With weights of 0 or 1 it
    is a product of experts, with weights that sum to 1 a geometric mean.
    """
    precisions, means = [], []
    for k, expert in enumerate(experts):
        weight = weights[:, [k]]
        logvar = expert.logvar.where(weight > 0, 0.0)
        precisions.append(weight / (logvar.exp() + EPSILON))
        means.append(expert.mean.where(weight > 0, 0.0))
    total = torch.stack(precisions).sum(0) + prior
    total = total.clamp(min=EPSILON)
    mean = sum(p * m for p, m in zip(precisions, means, strict=True)) / total
    return Gaussian(mean, -total.log())


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
