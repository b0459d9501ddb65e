"""What a model infers and imagines, whatever its three choices are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from nexus_rl.config import ModelConfig
from nexus_rl.draws import Draws
from nexus_rl.errors import UserError
from nexus_rl.modality import Modality
from nexus_rl.models import batches
from nexus_rl.models.fusion import Fusion
from nexus_rl.models.gaussian import Gaussian, repeated
from nexus_rl.models.levels import Bottom

Batch = Mapping[str, Any]


class Inference(nn.Module):
    """From data to posteriors and back, with the parts that a subclass builds.

    Batches, ``available`` and ``generator`` are those of ``MultimodalVAE``.
    """

    # Whether there are posteriors and decoders; without, a model can only ``encode``.
    generative: ClassVar[bool] = True

    modalities: tuple[Modality, ...]
    config: ModelConfig
    generator: torch.Generator
    bottoms: nn.ModuleDict
    fusion: Fusion[Any]
    top_decoders: nn.ModuleDict

    def bottom_items(self) -> list[tuple[str, Bottom]]:
        """Names and bottoms, in the order of ``modalities``."""
        return list(self.bottoms.items())  # type: ignore[arg-type]

    @property
    def latent_dim(self) -> int:
        """Size of z_sigma."""
        return self.config.latent_dim

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def posterior(
        self,
        batch: Batch,
        available: Tensor | None = None,
        *,
        sample: bool = False,
        generator: torch.Generator | None = None,
    ) -> Normal:
        """q(z_sigma | the available modalities), over (B, latent_dim).

        ``sample`` draws the bottom latents instead of passing their means upward, and
        one expert a row of a mixture instead of its moments. A row with nothing
        available gives the prior. Raises ``UserError`` for batches that do not fit the
        modalities.
        """
        draws = self._draws(generator) if sample else None
        return self._posterior(batch, available, draws).normal()

    def encode(
        self,
        batch: Batch,
        available: Tensor | None = None,
        *,
        sample: bool = False,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """z_sigma, (B, latent_dim): the posterior mean, or a sample of both levels."""
        draws = self._draws(generator) if sample else None
        return self._posterior(batch, available, draws).sample(draws)

    def decode(self, z: Tensor, targets: Sequence[str] | None = None) -> dict[str, Any]:
        """Means in data space of ``targets`` (default: all) given z_sigma.

        A label's mean is its (B, K) class probabilities.
        """
        return self.decode_codes(self.codes(z, targets))

    def codes(self, z: Tensor, targets: Sequence[str] | None = None) -> dict[str, Any]:
        """The codes (B, code_dim) of ``targets`` that the top decoders expect."""
        names = batches.known_names(targets, self.modalities)
        return {name: self.top_decoders[name](z) for name in names}

    def decode_codes(self, codes: Mapping[str, Tensor]) -> dict[str, Any]:
        """Codes of modalities, (B, code_dim), to means in data space."""
        batches.known_names(codes, self.modalities)
        return {
            name: self._bottom(name).decode(code).float()
            for name, code in codes.items()
        }

    @torch.no_grad()
    def generate(
        self,
        batch: Batch,
        available: Tensor | None = None,
        targets: Sequence[str] | None = None,
        *,
        sample: bool = True,
        samples: int | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Cross-modality inference: ``targets`` imagined from what is available.

        Latents are drawn at both levels, as in the paper (section 6.1), or are
        posterior means without ``sample``; decoders give means (no observation noise).
        With ``samples=S`` each target is (S, B, *shape): independent draws from one
        encoding of the data. Raises ``UserError`` for samples of means.
        """
        if samples is None:
            z = self.encode(batch, available, sample=sample, generator=generator)
            return self.decode(z, targets)
        if samples < 1 or not sample:
            raise UserError("samples must be at least 1, and needs sample=True")
        draws = self._draws(generator)
        z = self._posterior(batch, available, draws, samples).sample(draws)
        return {
            name: x.unflatten(0, (samples, -1))
            for name, x in self.decode(z, targets).items()
        }

    @torch.no_grad()
    def prior(
        self,
        rows: int,
        targets: Sequence[str] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """``rows`` joint samples: means in data space given z_sigma from N(0, I)."""
        like = torch.empty(rows, self.latent_dim, device=self.device)
        return self.decode(self._draws(generator).normal(like), targets)

    @torch.no_grad()
    def bottom_posteriors(self, batch: Batch) -> dict[str, Gaussian]:
        """The posterior of each given modality's own latent, over (B, code_dim).

        Raises ``UserError`` for models of one level, which have none.
        """
        if self.config.levels != 2:
            raise UserError("only models with two levels have bottom posteriors")
        inputs, _ = batches.read(batch, None, self.modalities, self.device)
        return {n: self._bottom(n).encode(x) for n, x in inputs.items()}  # type: ignore[misc]

    @torch.no_grad()
    def reconstruct(
        self,
        batch: Batch,
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Each given modality through its own bottom level alone, in data space."""
        draws = self._draws(generator) if sample else None
        inputs, _ = batches.read(batch, None, self.modalities, self.device)
        result = {}
        for name, x in inputs.items():
            bottom = self._bottom(name)
            result[name] = bottom.decode(bottom.code(bottom.encode(x), draws)).float()
        return result

    def _posterior(
        self,
        batch: Batch,
        available: Tensor | None,
        draws: Draws | None,
        samples: int = 1,
    ) -> Gaussian:
        """Of all rows, ``samples`` times one after the other, encoded once."""
        inputs, seen = batches.read(batch, available, self.modalities, self.device)
        upward = draws if self.config.upward == "sample" else None
        codes = {}
        for name, x in inputs.items():
            bottom = self._bottom(name)
            encoded = repeated(bottom.encode(x), samples)
            codes[name] = bottom.code(encoded, upward)
        messages = self.fusion.messages(codes)
        return self.combine(messages, seen.repeat(samples, 1), draws)

    def combine(
        self, messages: dict[str, Any], available: Tensor, draws: Draws | None
    ) -> Gaussian:
        """Messages of the fusion to a posterior, with ``available`` (B, M), bool."""
        if not messages:
            zeros = torch.zeros(len(available), self.latent_dim, device=self.device)
            return Gaussian(zeros, zeros)
        mean, logvar = self.fusion.combine(messages, available, draws)
        some = available.any(1, keepdim=True)
        return Gaussian(mean.where(some, 0.0), logvar.where(some, 0.0))

    def _bottom(self, name: str) -> Bottom:
        return self.bottoms[name]  # type: ignore[return-value]

    def _draws(self, source: torch.Generator | Draws | None) -> Draws:
        return source if isinstance(source, Draws) else Draws(source or self.generator)
