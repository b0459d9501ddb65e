"""The models that Nexus is compared with, each a fusion and an objective.

Posteriors are Gaussian and nothing is importance-weighted, as in the released code, so
that only the two choices differ. Its bugs (a sound expert that is never trained, sound
terms that are left out) are not reproduced. The defaults of ``alpha`` are ours: the
paper has no numbers. MUSE and GMC are of the authors' work on agents.
"""

from __future__ import annotations

from typing import ClassVar

from nexus_rl.errors import UserError
from nexus_rl.models import subset_objectives as objectives
from nexus_rl.models.contrastive import GMC
from nexus_rl.models.core import MultimodalVAE
from nexus_rl.models.experts import (
    Experts,
    JointFusion,
    MixtureFusion,
    PriorProductFusion,
    ProductFusion,
)
from nexus_rl.models.fusion import ConcatFusion
from nexus_rl.models.objective import Objective


class ExpertModel(MultimodalVAE):
    """A model whose fusion joins one posterior a modality.

    ``default_alpha`` stands in where the configuration has no ``alpha``.
    """

    fusion_kind: ClassVar[type[Experts | JointFusion]] = ProductFusion
    default_alpha: ClassVar[float] = 0.0

    @property
    def top_depth(self) -> int:
        """As in the released code; experts are as deep."""
        return 3 if self.config.levels == 2 else 2

    @property
    def alpha(self) -> float:
        """The weight by which posteriors are pulled together."""
        alpha = self.config.alpha
        return self.default_alpha if alpha is None else alpha

    def make_fusion(self, code_dims: dict[str, int]) -> Experts | JointFusion:
        config = self.config
        return self.fusion_kind(
            code_dims, config.latent_dim, config.width, self.top_depth
        )


class MVAE(ExpertModel):
    """Product of experts and prior; every subset explains itself (Wu, Goodman 2018)."""

    name = "mvae"
    fusion_kind = PriorProductFusion

    def make_objective(self) -> Objective:
        return objectives.AllSubsets()


class MMVAE(ExpertModel):
    """Mixture of experts; each alone explains everything (Shi et al. 2019).

    Several modalities are encoded by one of theirs a row, chosen at random, where
    samples are asked for; otherwise by the Gaussian of the mixture's moments.
    """

    name = "mmvae"
    fusion_kind = MixtureFusion

    def make_objective(self) -> Objective:
        return objectives.EachExpert()


class MoPoE(ExpertModel):
    """Mixture of products of experts; every subset explains all (Sutter et al. 2021).

    What is available is encoded by the product of its experts, without the prior.
    """

    name = "mopoe"

    def make_objective(self) -> Objective:
        return objectives.AllSubsets(explain_all=True)


class MVTCAE(ExpertModel):
    """Product of experts, bounded total correlation (Hwang et al. 2021).

    ``alpha``, 0.9 by default, is from 0 (the prior regularises) to 1 (the single
    posteriors do). The prior is not among the experts.
    """

    name = "mvtcae"
    default_alpha = 0.9

    def make_objective(self) -> Objective:
        if self.alpha > 1:
            raise UserError(f"alpha of mvtcae must be at most 1, got {self.alpha}")
        return objectives.TotalCorrelation(self.alpha)


class MMJSD(ExpertModel):
    """Mixture of experts, Jensen-Shannon divergence (Sutter et al. 2020)."""

    name = "mmjsd"
    fusion_kind = MixtureFusion

    def make_objective(self) -> Objective:
        return objectives.JensenShannon()


class JMVAE(ExpertModel):
    """A joint encoder, and single ones that follow it (Suzuki et al. 2016).

    ``alpha``, 0.1 by default, weighs how closely, without warm-up.
    """

    name = "jmvae"
    fusion_kind = JointFusion
    default_alpha = 0.1

    def make_objective(self) -> Objective:
        return objectives.JointAndParts(self.alpha)


class AVAE(ExpertModel):
    """A VAE a modality, with posteriors alike (paper, Eq. 6 to 8; any number of them).

    ``alpha``, 1 by default, weighs the symmetric divergences of all pairs, without
    warm-up. Several modalities are encoded as by MMVAE.
    """

    name = "avae"
    fusion_kind = MixtureFusion
    default_alpha = 1.0

    def make_objective(self) -> Objective:
        return objectives.Association(self.alpha)


class MUSE(ExpertModel):
    """Product of experts and prior, aligned with those of less (Vasco et al. 2022).

    ``alpha``, 1 by default, weighs the symmetric divergences between the posteriors of
    all proper subsets and that of everything, averaged, without warm-up.
    """

    name = "muse"
    fusion_kind = PriorProductFusion
    default_alpha = 1.0

    def make_objective(self) -> Objective:
        return objectives.Alignment(self.alpha)


class VAE(MultimodalVAE):
    """One encoder of everything at once (paper, Eq. 5).

    It is never trained to do without a modality; zeros stand in for a missing one.
    """

    name = "vae"

    def make_fusion(self, code_dims: dict[str, int]) -> ConcatFusion:
        return ConcatFusion(code_dims, self.config.latent_dim, self.config.width)

    def make_objective(self) -> Objective:
        return objectives.Everything()


BASELINES = (MVAE, MMVAE, MoPoE, MVTCAE, MMJSD, JMVAE, AVAE, VAE, MUSE, GMC)
