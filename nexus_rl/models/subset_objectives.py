"""Objectives that encode the same subsets of the modalities in every row.

They draw nothing, so the loss in eval mode is that of training. As in the released
code, posteriors are Gaussian, the prior is N(0, I), and nothing is importance-weighted
(K = 1), with which some of these models were first published.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from nexus_rl.draws import Draws
from nexus_rl.modality import subsets
from nexus_rl.models.gaussian import Gaussian, product
from nexus_rl.models.levels import Term
from nexus_rl.models.objective import Objective, Pass, availability


class Plan(NamedTuple):
    """A pass for any batch: ``given`` are the columns available in every row."""

    given: tuple[int, ...]
    targets: tuple[int, ...] | None = None
    weight: float = 1.0
    kl: float = 1.0


class Planned(Objective):
    """The same passes in training and in eval mode; a subclass lists them."""

    def plan(self, modalities: int) -> list[Plan]:
        """The passes over batches of so many modalities."""
        raise NotImplementedError

    def passes(
        self, rows: int, modalities: int, draws: Draws, device: torch.device
    ) -> list[Pass]:
        return self.complete(rows, modalities, device)

    def complete(self, rows: int, modalities: int, device: torch.device) -> list[Pass]:
        return [
            Pass(availability(each.given, rows, modalities, device), *each[1:])
            for each in self.plan(modalities)
        ]


class Everything(Planned):
    """One pass with everything: a VAE of all modalities (paper, Eq. 5)."""

    def plan(self, modalities: int) -> list[Plan]:
        return [Plan(tuple(range(modalities)))]


class AllSubsets(Planned):
    """Every subset explains itself (MVAE; Wu and Goodman 2018), summed.

    The released code lists all subsets, as the first publication does for two
    modalities. With ``explain_all`` each explains everything instead, averaged: the
    objective of MoPoE (Sutter et al. 2021), a mixture of all products of experts.
    """

    def __init__(self, explain_all: bool = False) -> None:
        self.explain_all = explain_all

    def plan(self, modalities: int) -> list[Plan]:
        given = subsets(range(modalities))
        if self.explain_all:
            return [Plan(some, None, 1 / len(given)) for some in given]
        return [Plan(some, some) for some in given]


class EachExpert(Planned):
    """Every modality alone explains everything, averaged (MMVAE; Shi et al. 2019)."""

    def plan(self, modalities: int) -> list[Plan]:
        return [Plan((m,), None, 1 / modalities) for m in range(modalities)]


class Association(Planned):
    """Modalities explain themselves and agree (AVAE; paper, Eq. 6 to 8).

    ``alpha`` weighs the symmetric divergences of all pairs of posteriors.
    """

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def plan(self, modalities: int) -> list[Plan]:
        return [Plan((m,), (m,)) for m in range(modalities)]

    def between(self, posteriors: list[Gaussian]) -> list[Term]:
        return [
            Term("association", p.kl_from(q) + q.kl_from(p), self.alpha)
            for p, q in combinations(posteriors, 2)
        ]


class JointAndParts(Planned):
    """Everything explains everything, and single posteriors follow it.

    JMVAE (Suzuki et al. 2016): ``alpha`` weighs the divergences of the joint posterior
    from those of the single modalities.
    """

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def plan(self, modalities: int) -> list[Plan]:
        singles = [Plan((m,), (), 1.0, 0.0) for m in range(modalities)]
        return [Plan(tuple(range(modalities))), *singles]

    def between(self, posteriors: list[Gaussian]) -> list[Term]:
        joint, *singles = posteriors
        return [Term("parts", joint.kl_from(q), self.alpha) for q in singles]


class Alignment(Planned):
    """Everything explains everything, and what is less has much the same posterior.

    MUSE (Vasco et al. 2022): ``alpha`` weighs the mean over all proper subsets of the
    symmetric divergence between their posterior and that of everything.
    """

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def plan(self, modalities: int) -> list[Plan]:
        *parts, everything = subsets(range(modalities))
        return [Plan(everything), *(Plan(part, (), 1.0, 0.0) for part in parts)]

    def between(self, posteriors: list[Gaussian]) -> list[Term]:
        joint, *parts = posteriors
        if not parts:
            return []
        each = [joint.kl_from(q) + q.kl_from(joint) for q in parts]
        return [Term("alignment", torch.stack(each).mean(0), self.alpha)]


class TotalCorrelation(JointAndParts):
    """As ``JointAndParts``, weighted as a bound on total correlation.

    MVTCAE (Hwang et al. 2021): with M modalities the reconstructions count
    (M - alpha) / M, the divergence from the prior 1 - alpha, and each of those from
    single posteriors alpha / M.
    """

    def plan(self, modalities: int) -> list[Plan]:
        everything, *singles = super().plan(modalities)
        weight = (modalities - self.alpha) / modalities
        kl = (1 - self.alpha) / weight if weight > 0 else 0.0
        return [everything._replace(weight=weight, kl=kl), *singles]

    def between(self, posteriors: list[Gaussian]) -> list[Term]:
        share = self.alpha / (len(posteriors) - 1)
        return [
            term._replace(weight=share, is_kl=True)
            for term in super().between(posteriors)
        ]


class JensenShannon(EachExpert):
    """As ``EachExpert``, but the posteriors and the prior diverge from their mean.

    mmJSD (Sutter et al. 2020): their geometric mean, the dynamic prior, with equal
    weights of all experts and the prior.
    """

    def plan(self, modalities: int) -> list[Plan]:
        return [each._replace(kl=0.0) for each in super().plan(modalities)]

    def between(self, posteriors: list[Gaussian]) -> list[Term]:
        share = 1 / (len(posteriors) + 1)
        first = posteriors[0].mean
        weights = torch.full((len(first), len(posteriors)), share, device=first.device)
        middle = product(posteriors, weights, prior=share)
        prior = Gaussian(torch.zeros_like(first), torch.zeros_like(first))
        spread: Tensor = sum(
            (q.kl_from(middle) for q in posteriors), prior.kl_from(middle)
        )
        return [Term("jensen_shannon", share * spread, 1.0, is_kl=True)]
