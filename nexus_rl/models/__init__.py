"""Every model, and how one is made by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from nexus_rl.config import ModelConfig
from nexus_rl.errors import choose
from nexus_rl.modality import Modality
from nexus_rl.models.baselines import BASELINES
from nexus_rl.models.core import MultimodalVAE
from nexus_rl.models.fusion import ConcatFusion, MeanFusion, MessageFusion
from nexus_rl.models.losses import Loss
from nexus_rl.models.objective import ForcedPerceptualDropout, Objective
from nexus_rl.networks import Builder

__all__ = ["MODELS", "Loss", "MultimodalVAE", "Nexus", "Nexus0", "make_model"]


class Nexus(MultimodalVAE):
    """The paper's model: mean of messages, forced perceptual dropout."""

    name = "nexus"

    def make_fusion(self, code_dims: dict[str, int]) -> MessageFusion:
        return MeanFusion(code_dims, self.config.latent_dim, self.config.width)

    def make_objective(self) -> Objective:
        return ForcedPerceptualDropout(self.config.rho, self.config.align)


class Nexus0(Nexus):
    """Nexus with concatenated messages (the paper's ablation)."""

    name = "nexus0"

    def make_fusion(self, code_dims: dict[str, int]) -> MessageFusion:
        config = self.config
        return ConcatFusion(code_dims, config.latent_dim, config.width, config.fill)


MODELS: dict[str, type[MultimodalVAE]] = {
    model.name: model for model in (Nexus, Nexus0, *BASELINES)
}


def make_model(
    name: str,
    modalities: Sequence[Modality],
    *,
    networks: Mapping[str, Builder] | None = None,
    seed: int = 0,
    **options: Any,
) -> MultimodalVAE:
    """A new model by name, one of ``MODELS`` ("nexus", "mvae", ...).

    ``options`` are fields of ``ModelConfig``: ``levels``, ``latent_dim``, ``rho``, ...
    Raises ``UserError`` for unknown names or unfit values.
    """
    kind = choose(name, MODELS, "model")
    known = ModelConfig.__dataclass_fields__
    for option in options:
        choose(option, known, "model option")
    config = replace(ModelConfig().for_model(name), **options)
    return kind(modalities, config, networks=networks, seed=seed)
