"""The fusion axis: how the available modalities' codes make one posterior.

A fusion maps ``codes``, a dict of (B, code_dim) tensors by modality name, to a message
each, and messages and ``available`` (B, M), bool, to a Gaussian over (B, latent_dim).
Messages are made once a batch and combined once a pass. Those behind a False are never
read; names may be missing where a whole column is False. The row with nothing available
is the caller's business: it may be anything finite. ``draws`` is for fusions that
choose at random; None asks for their deterministic answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from nexus_rl.draws import Draws
from nexus_rl.errors import UserError
from nexus_rl.models.gaussian import Gaussian, GaussianHeads
from nexus_rl.models.named import NamedModules
from nexus_rl.networks import mlp

Codes = dict[str, Tensor]
Message = TypeVar("Message", bound="Tensor | tuple[Tensor, ...]")


class Fusion(nn.Module, Generic[Message]):
    """What every fusion does. A message is a tensor of B rows, or a tuple of them."""

    names: Sequence[str]

    def messages(self, codes: Codes) -> dict[str, Message]:
        """Codes (B, code_dim) by name to messages of B rows."""
        raise NotImplementedError

    def combine(
        self,
        messages: dict[str, Message],
        available: Tensor,
        draws: Draws | None = None,
    ) -> Gaussian:
        """Messages of the available modalities to a posterior (B, latent_dim)."""
        raise NotImplementedError

    def forward(
        self, codes: Codes, available: Tensor, draws: Draws | None = None
    ) -> Gaussian:
        return self.combine(self.messages(codes), available, draws)

    def column(self, available: Tensor, name: str) -> Tensor:
        """Whether modality ``name`` is available, (B, 1)."""
        return available[:, [self.names.index(name)]]


class MessageFusion(Fusion[Tensor]):
    """Maps each code linearly to a message of ``width``, aggregates, encodes.

    Two hidden layers lead from the aggregate to the posterior's two heads.
    """

    def __init__(
        self,
        code_dims: Mapping[str, int],
        latent_dim: int,
        width: int,
        aggregate_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.names = tuple(code_dims)
        self.maps = NamedModules(
            {name: nn.Linear(dim, width) for name, dim in code_dims.items()}
        )
        self.encoder = mlp([aggregate_dim or width, width, width])
        self.heads = GaussianHeads(width, latent_dim)

    def aggregate(self, messages: Codes, available: Tensor) -> Tensor:
        """Messages (B, width) by name to one aggregate (B, aggregate_dim)."""
        raise NotImplementedError

    def messages(self, codes: Codes) -> Codes:
        return {name: self.maps[name](code) for name, code in codes.items()}

    def combine(
        self, messages: Codes, available: Tensor, draws: Draws | None = None
    ) -> Gaussian:
        posterior: Gaussian = self.heads(
            self.encoder(self.aggregate(messages, available))
        )
        return posterior


class MeanFusion(MessageFusion):
    """Nexus: the mean of the available messages (paper, Eq. 17)."""

    def aggregate(self, messages: Codes, available: Tensor) -> Tensor:
        kept = [
            message.where(self.column(available, name), 0.0)
            for name, message in messages.items()
        ]
        count = available.sum(1, keepdim=True).clamp(min=1)
        return torch.stack(kept).sum(0) / count


class ConcatFusion(MessageFusion):
    """Nexus-0: messages side by side, something else where one is missing.

    The paper does not say what stands in: ``fill`` is "zero", "learned" (a vector a
    modality) or "mask" (zeros, and the availability appended to the aggregate).
    """

    def __init__(
        self,
        code_dims: Mapping[str, int],
        latent_dim: int,
        width: int,
        fill: str = "zero",
    ) -> None:
        if fill not in ("zero", "learned", "mask"):
            raise UserError(f"unknown fill {fill!r}: expected zero, learned or mask")
        mask = len(code_dims) if fill == "mask" else 0
        super().__init__(code_dims, latent_dim, width, width * len(code_dims) + mask)
        self.append_mask = fill == "mask"
        self.fill = nn.Parameter(
            torch.zeros(len(code_dims), width), requires_grad=fill == "learned"
        )

    def aggregate(self, messages: Codes, available: Tensor) -> Tensor:
        parts = []
        for column, name in enumerate(self.names):
            fill = self.fill[column].expand(len(available), -1)
            seen = available[:, [column]]
            message = messages.get(name)
            parts.append(fill if message is None else message.where(seen, fill))
        if self.append_mask:
            parts.append(available.to(parts[0].dtype))
        return torch.cat(parts, 1)
