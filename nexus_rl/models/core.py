"""The core that every model shares: three choices joined (levels, fusion, objective).

A subclass names a fusion and an objective; ``levels`` is chosen when it is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn

from nexus_rl.config import ModelConfig, Stage
from nexus_rl.draws import Draws
from nexus_rl.errors import UserError
from nexus_rl.modality import Modality
from nexus_rl.models import batches, losses
from nexus_rl.models.fusion import Fusion
from nexus_rl.models.inference import Batch, Inference
from nexus_rl.models.levels import LEVELS, Bottom
from nexus_rl.models.losses import Loss
from nexus_rl.models.named import NamedModules
from nexus_rl.models.objective import Objective
from nexus_rl.networks import Builder, builder_for, mlp


class MultimodalVAE(Inference):
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
        config = config or ModelConfig().for_model(self.name)
        self.config = replace(config, model=self.name)
        self.config.check_used()
        self.own_networks = batches.known_names(networks or {}, self.modalities)
        self.objective = self.make_objective()
        self.generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self._build(networks or {})

    def _build(self, networks: Mapping[str, Builder]) -> None:
        self.bottoms = NamedModules()
        for modality in self.modalities:
            builder = networks.get(modality.name) or builder_for(modality)
            bottom = self.make_bottom(modality, builder)
            if modality.name in networks:
                batches.check_networks(bottom, self.generative)
            self.bottoms[modality.name] = bottom
        dims = {name: bottom.code_dim for name, bottom in self.bottom_items()}
        self.fusion = self.make_fusion(dims)
        self.top_decoders = NamedModules(
            {
                name: self.make_top_decoder(dim)
                for name, dim in dims.items()
                if self.generative
            }
        )

    def make_bottom(self, modality: Modality, builder: Builder) -> Bottom:
        """What stands between a modality's data and its code."""
        return LEVELS[self.config.levels](modality, builder, self.config.width)

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
            if type(source.bottoms[name]) is not type(bottom):
                raise UserError(
                    f"modality {name!r}: the bottoms of gmc, of other models with one "
                    f"level, and of two levels differ: this is {self.name} with levels="
                    f"{self.config.levels}, the model to copy from {source.name} with "
                    f"levels={source.config.levels}"
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
