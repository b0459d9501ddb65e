"""The core that every model shares: three choices joined (levels, fusion, objective).

A subclass names a fusion and an objective; ``levels`` is chosen when it is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from nexus_rl.config import ModelConfig, Stage
from nexus_rl.draws import Draws
from nexus_rl.errors import UserError
from nexus_rl.modality import Modality
from nexus_rl.models import batches, losses
from nexus_rl.models.fusion import Fusion
from nexus_rl.models.gaussian import Gaussian, repeated
from nexus_rl.models.levels import LEVELS, Bottom
from nexus_rl.models.losses import Loss
from nexus_rl.models.objective import Objective
from nexus_rl.networks import Builder, builder_for, mlp

Batch = Mapping[str, Any]


class MultimodalVAE(nn.Module):
    """A variational autoencoder over any number of modalities, any of them missing.

    Batches are dicts of tensors by modality name, in data space (see ``Modality``);
    ``available`` is (B, M), bool, its columns in the order of ``modalities``. A masked
    entry is never read. Names absent from a batch are unavailable in every row.

    ``networks`` replaces the bottom networks of some modalities, by name, with a
    builder of your own. ``seed`` fixes the initial weights and the noise drawn where
    no ``generator`` is given; PyTorch's global generator is never used.

    A new model is in training mode, where batch statistics join the rows of a batch
    and move with every call: call ``eval()`` before you use it (``load_model`` does).
    """

    name: ClassVar[str]

    def __init__(
        self,
        modalities: Sequence[Modality],
        config: ModelConfig | None = None,
        *,
        networks: Mapping[str, Builder] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.modalities = batches.distinct(modalities)
        self.config = replace(config or ModelConfig(), model=self.name)
        self.config.check_used()
        self.own_networks = batches.known_names(networks or {}, self.modalities)
        self.objective = self.make_objective()
        self.generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self._build(networks or {})

    def _build(self, networks: Mapping[str, Builder]) -> None:
        config, level = self.config, LEVELS[self.config.levels]
        self.bottoms = nn.ModuleDict()
        for modality in self.modalities:
            builder = networks.get(modality.name) or builder_for(modality)
            bottom = level(modality, builder, config.width)
            if modality.name in networks:
                batches.check_networks(bottom)
            self.bottoms[modality.name] = bottom
        dims = {name: bottom.code_dim for name, bottom in self.bottom_items()}
        self.fusion = self.make_fusion(dims)
        self.top_decoders = nn.ModuleDict(
            {name: self.make_top_decoder(dim) for name, dim in dims.items()}
        )

    def make_fusion(self, code_dims: dict[str, int]) -> Fusion[Any]:
        """The fusion over codes of these sizes."""
        raise NotImplementedError

    def make_top_decoder(self, code_dim: int) -> nn.Module:
        """From z_sigma (B, latent_dim) to a code (B, code_dim)."""
        width = self.config.width
        hidden = mlp([self.config.latent_dim] + [width] * self.top_depth)
        return nn.Sequential(hidden, nn.Linear(width, code_dim))

    @property
    def top_depth(self) -> int:
        """Number of hidden layers of a top decoder."""
        return 3

    def make_objective(self) -> Objective:
        """The objective of a training step."""
        raise NotImplementedError

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

    # -- Inference ---------------------------------------------------------------

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

    # -- Training ----------------------------------------------------------------

    def loss(
        self,
        batch: Batch,
        *,
        stage: Stage = "joint",
        warmup: float = 1.0,
        generator: torch.Generator | Draws | None = None,
    ) -> Loss:
        """The loss of a complete batch (paper, Eq. 21), a mean over its rows.

        ``warmup`` scales every KL weight. With stage "bottom" only the modalities'
        own terms count, with "top" only the multimodal level's; then an entry of
        ``batch`` may be a (mean, logvar) pair, the cached posterior of its bottom.
        In eval mode nothing is dropped. Raises ``UserError`` for unfit batches.
        """
        return losses.compute(self, batch, stage, warmup, self._draws(generator))

    forward = loss

    def train(self, mode: bool = True) -> Self:
        """Training or eval mode; frozen bottoms stay in eval mode."""
        super().train(mode)
        for _, bottom in self.bottom_items():
            if bottom.frozen:
                bottom.eval()
        return self

    def freeze_bottom(self, name: str, source: MultimodalVAE | None = None) -> None:
        """Fixes the bottom level of modality ``name``: no gradients, eval mode.

        ``source`` is a model to copy that bottom's weights from, e.g. one that was
        trained on this modality alone. Raises ``UserError`` where they differ.
        """
        batches.known_names([name], self.modalities)
        bottom = self._bottom(name)
        if source is not None:
            batches.same_modality(bottom.modality, source.modalities)
            if source.config.levels != self.config.levels:
                raise UserError(
                    f"modality {name!r}: levels is {self.config.levels} here but "
                    f"{source.config.levels} in the model to copy from"
                )
            bottom.load_state_dict(source.bottoms[name].state_dict())
        bottom.frozen = True
        bottom.requires_grad_(False)
        bottom.eval()

    # -- Files -------------------------------------------------------------------

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes ``config.json`` and ``model.safetensors`` into ``folder``."""
        from nexus_rl.models.files import save

        save(self, Path(folder))

    @classmethod
    def from_pretrained(cls, folder: str | Path, **options: Any) -> Self:
        """A model of this class from ``folder``; options as for ``load_model``."""
        from nexus_rl.models.files import load_model

        model = load_model(folder, **options)
        if not isinstance(model, cls):
            raise UserError(f"{folder} holds a {model.name!r} model, not {cls.name!r}")
        return model
