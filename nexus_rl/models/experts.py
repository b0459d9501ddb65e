"""Fusions of experts: every modality has a posterior of its own, and they are joined.

Experts are those of the released code: 3 hidden layers on a code of two levels, 2 on a
trunk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from nexus_rl.draws import Draws
from nexus_rl.models.fusion import Codes, ConcatFusion, Fusion
from nexus_rl.models.gaussian import EPSILON, Gaussian, GaussianHeads, product
from nexus_rl.models.named import NamedModules
from nexus_rl.networks import mlp

Posteriors = dict[str, Gaussian]


class Experts(Fusion[Gaussian]):
    """Posteriors q(z | x^m), one network a modality; a subclass joins them."""

    def __init__(
        self, code_dims: Mapping[str, int], latent_dim: int, width: int, depth: int
    ) -> None:
        super().__init__()
        self.names = tuple(code_dims)
        self.experts = NamedModules(
            {
                name: nn.Sequential(
                    mlp([dim] + [width] * depth), GaussianHeads(width, latent_dim)
                )
                for name, dim in code_dims.items()
            }
        )

    def messages(self, codes: Codes) -> Posteriors:
        return {name: self.experts[name](code) for name, code in codes.items()}

    def columns(self, available: Tensor, names: Iterable[str]) -> Tensor:
        """Whether the modalities ``names`` are available, (B, len(names)), bool."""
        return torch.cat([self.column(available, name) for name in names], 1)


class ProductFusion(Experts):
    """Product of the available experts (Wu and Goodman 2018).

    ``prior`` is the power of a standard normal beside them.
    """

    prior: ClassVar[float] = 0.0

    def combine(
        self, messages: Posteriors, available: Tensor, draws: Draws | None = None
    ) -> Gaussian:
        seen = self.columns(available, messages)
        return product(list(messages.values()), seen.float(), self.prior)


class PriorProductFusion(ProductFusion):
    """Product of the available experts and the prior, N(0, I) (MVAE)."""

    prior = 1.0


class MixtureFusion(Experts):
    """Mixture of the available experts with equal weights (Shi et al. 2019).

    With ``draws`` every row gets the posterior of one expert, chosen at random;
    without, the Gaussian with the mixture's mean and variance.
    """

    def combine(
        self, messages: Posteriors, available: Tensor, draws: Draws | None = None
    ) -> Gaussian:
        seen = self.columns(available, messages)
        means = torch.stack([message.mean for message in messages.values()], 1)
        logvars = torch.stack([message.logvar for message in messages.values()], 1)
        if draws is not None:
            noise = draws.uniform(len(seen), len(messages), seen.device)
            chosen = noise.where(seen, -1.0).argmax(1)[:, None, None]
            return Gaussian(
                means.take_along_dim(chosen, 1).squeeze(1),
                logvars.take_along_dim(chosen, 1).squeeze(1),
            )
        kept, count = seen[:, :, None], seen.sum(1, keepdim=True).clamp(min=1)
        # First of all, for the gradient of what follows is NaN where its input is.
        means, logvars = means.where(kept, 0.0), logvars.where(kept, 0.0)
        mean = means.sum(1) / count
        spread = logvars.exp() + (means - mean[:, None]).square()
        return Gaussian(mean, (spread.where(kept, 0.0).sum(1) / count + EPSILON).log())


class Both(NamedTuple):
    """An expert's posterior, and a message for the joint encoder."""

    mean: Tensor
    logvar: Tensor
    joint: Tensor


class JointFusion(Fusion[Both]):
    """An encoder of everything, and experts for what is less (JMVAE, Suzuki 2016).

    A row with every modality goes through the joint encoder; any other is the product
    of its experts, which for one modality is that expert.
    """

    def __init__(
        self, code_dims: Mapping[str, int], latent_dim: int, width: int, depth: int
    ) -> None:
        super().__init__()
        self.names = tuple(code_dims)
        self.parts = ProductFusion(code_dims, latent_dim, width, depth)
        self.joint = ConcatFusion(code_dims, latent_dim, width)

    def messages(self, codes: Codes) -> dict[str, Both]:
        joint = self.joint.messages(codes)
        return {
            name: Both(*part, joint[name])
            for name, part in self.parts.messages(codes).items()
        }

    def combine(
        self,
        messages: dict[str, Both],
        available: Tensor,
        draws: Draws | None = None,
    ) -> Gaussian:
        experts = {name: Gaussian(m.mean, m.logvar) for name, m in messages.items()}
        some = self.parts.combine(experts, available, draws)
        # Only these rows: others must not reach the joint encoder's statistics.
        rows = available.all(1).nonzero().squeeze(1)
        if len(rows) == 0:
            return some
        inputs = {name: m.joint[rows] for name, m in messages.items()}
        full = self.joint.combine(inputs, available[rows], draws)
        return Gaussian(
            some.mean.index_copy(0, rows, full.mean),
            some.logvar.index_copy(0, rows, full.logvar),
        )
