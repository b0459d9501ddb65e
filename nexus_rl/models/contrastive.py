"""GMC: codes that find each other, where other models explain data.

Poklukar et al., "Geometric multimodal contrastive representation learning", 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nexus_rl.distributed import global_rows
from nexus_rl.draws import Draws
from nexus_rl.errors import UserError
from nexus_rl.modality import Modality
from nexus_rl.models.core import MultimodalVAE
from nexus_rl.models.fusion import Codes, Fusion
from nexus_rl.models.gaussian import Gaussian
from nexus_rl.models.inference import Batch
from nexus_rl.models.levels import Bottom, Term, trunk
from nexus_rl.models.objective import Objective
from nexus_rl.models.subset_objectives import Plan, Planned
from nexus_rl.networks import Builder

TEMPERATURE = 0.3


class TwoTrunks(Bottom):
    """A modality's own trunk, and its part of the joint network; no decoder.

    The code has the features of both, side by side.
    """

    def __init__(self, modality: Modality, builder: Builder, width: int) -> None:
        super().__init__(modality)
        self.code_dim = 2 * width
        self.alone = trunk(builder(modality, width), width)
        self.joint = trunk(builder(modality, width), width)

    def encode(self, x: Tensor) -> Tensor:
        return torch.cat([self.alone(x), self.joint(x)], 1)

    def code(self, encoded: Gaussian | Tensor, draws: Draws | None) -> Tensor:
        assert not isinstance(encoded, Gaussian)
        return encoded

    def own_terms(
        self, x: Tensor, encoded: Gaussian | Tensor, code: Tensor
    ) -> list[Term]:
        return []


class View(NamedTuple):
    """A modality's point on the sphere, and its features for the joint network."""

    point: Tensor
    features: Tensor


class ContrastiveFusion(Fusion[View]):
    """The joint network where everything is there, else the mean of the points.

    One head projects all features onto the unit sphere. There is no variance: that of
    the result is 1.
    """

    def __init__(
        self, code_dims: Mapping[str, int], latent_dim: int, width: int
    ) -> None:
        super().__init__()
        self.names = tuple(code_dims)
        self.join = nn.Sequential(nn.Linear(width * len(code_dims), width), nn.SiLU())
        self.head = nn.Sequential(
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, latent_dim)
        )

    def messages(self, codes: Codes) -> dict[str, View]:
        halves = {name: code.chunk(2, 1) for name, code in codes.items()}
        return {
            name: View(self.point(alone), joint)
            for name, (alone, joint) in halves.items()
        }

    def point(self, features: Tensor) -> Tensor:
        """Features (B, width) to points of length 1, (B, latent_dim)."""
        return F.normalize(self.head(features).float(), dim=1)

    def combine(
        self, messages: dict[str, View], available: Tensor, draws: Draws | None = None
    ) -> Gaussian:
        seen = [
            message.point.where(self.column(available, name), 0.0)
            for name, message in messages.items()
        ]
        count = available.sum(1, keepdim=True).clamp(min=1)
        mean = torch.stack(seen).sum(0) / count
        rows = available.all(1).nonzero().squeeze(1)
        if len(rows):
            features = [messages[name].features[rows] for name in self.names]
            joint = self.point(self.join(torch.cat(features, 1)))
            mean = mean.index_copy(0, rows, joint)
        return Gaussian(mean, torch.zeros_like(mean))


def info_nce(first: Tensor, second: Tensor) -> Tensor:
    """How hard it is to find a row's partner among all rows, in nats, (B,).

    ``first`` and ``second`` are points (B, D); the mean of looking in both directions.
    """
    (firsts, start), (seconds, _) = global_rows(first), global_rows(second)
    truth = torch.arange(start, start + len(first), device=first.device)
    ways = [
        F.cross_entropy(point @ others.T / TEMPERATURE, truth, reduction="none")
        for point, others in ((first, seconds), (second, firsts))
    ]
    return torch.stack(ways).mean(0)


class Contrast(Planned):
    """Every modality's point must find that of everything; nothing is explained."""

    def plan(self, modalities: int) -> list[Plan]:
        everything = tuple(range(modalities))
        singles = [(m,) for m in everything]
        return [Plan(given, (), 1.0, 0.0) for given in (everything, *singles)]

    def between(self, posteriors: list[Gaussian]) -> list[Term]:
        joint, *singles = (posterior.mean for posterior in posteriors)
        return [Term("contrast", info_nce(joint, each), 1.0) for each in singles]


class GMC(MultimodalVAE):
    """A contrastive encoder: no decoder, no variance, nothing random.

    Everything is encoded by a joint network, some of it by the mean of what each
    modality's own network says, nothing by zeros. It has one level, and can only
    ``encode``: whatever needs a posterior or a decoder raises ``UserError``.
    """

    name = "gmc"
    generative = False

    def make_bottom(self, modality: Modality, builder: Builder) -> Bottom:
        return TwoTrunks(modality, builder, self.config.width)

    def make_fusion(self, code_dims: dict[str, int]) -> ContrastiveFusion:
        config = self.config
        return ContrastiveFusion(code_dims, config.latent_dim, config.width)

    def make_objective(self) -> Objective:
        return Contrast()

    def encode(
        self,
        batch: Batch,
        available: Tensor | None = None,
        *,
        sample: bool = False,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The code, (B, latent_dim); there is nothing to ``sample``."""
        return self._cannot() if sample else super().encode(batch, available)

    def _cannot(self, *_: Any, **__: Any) -> NoReturn:
        raise UserError(
            "gmc only encodes: it has no posterior to ask for or sample from, and no "
            "decoder; call encode(batch, available), or use another model, such as muse"
        )

    posterior = codes = decode_codes = generate = prior = reconstruct = _cannot
