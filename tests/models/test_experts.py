"""Fusions of experts against their closed forms, row by row."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributions import Normal

from nexus_rl.draws import Draws, seeded
from nexus_rl.models.experts import (
    Both,
    Experts,
    JointFusion,
    MixtureFusion,
    PriorProductFusion,
    ProductFusion,
)
from nexus_rl.models.gaussian import Gaussian, product

DIMS = {"a": 3, "b": 5, "c": 2}
LATENT = 4
KINDS = (ProductFusion, PriorProductFusion, MixtureFusion)

masks = st.lists(
    st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=5
).map(torch.tensor)
some = settings(max_examples=50, deadline=None)


def fusion_of(kind: type[Experts]) -> Experts:
    return kind(DIMS, LATENT, 6, 2)


def posteriors_for(rows: int, seed: int = 0) -> dict[str, Gaussian]:
    noise = seeded(rows, seed)
    return {
        name: Gaussian(*torch.randn(2, rows, LATENT, generator=noise)) for name in DIMS
    }


def only(*names: str, rows: int = 3) -> Tensor:
    return torch.tensor([name in names for name in DIMS]).expand(rows, -1)


def same(found: Gaussian, mean: Tensor, variance: Tensor) -> None:
    torch.testing.assert_close(found.mean, mean)
    torch.testing.assert_close(found.logvar.exp(), variance)


# -- Products ------------------------------------------------------------------


def test_the_product_with_the_prior_and_no_expert_is_the_prior() -> None:
    fused = fusion_of(PriorProductFusion).combine(posteriors_for(3), only())
    same(fused, torch.zeros(3, LATENT), torch.ones(3, LATENT))


@pytest.mark.parametrize("name", DIMS)
def test_one_expert_beside_the_prior(name: str) -> None:
    posteriors = posteriors_for(3)
    mean, variance = posteriors[name].mean, posteriors[name].logvar.exp()
    fused = fusion_of(PriorProductFusion).combine(posteriors, only(name))
    same(fused, mean / (1 + variance), variance / (1 + variance))


def test_two_experts_without_the_prior() -> None:
    """The textbook's product of two Gaussian densities."""
    posteriors = posteriors_for(3)
    (m, u), (n, v) = ((q.mean, q.logvar.exp()) for q in map(posteriors.get, "ac"))
    fused = fusion_of(ProductFusion).combine(posteriors, only("a", "c"))
    same(fused, (m * v + n * u) / (u + v), u * v / (u + v))


@some
@given(masks, st.sampled_from([0.0, 1.0]))
def test_precisions_of_available_experts_add_up(mask: Tensor, prior: float) -> None:
    posteriors = posteriors_for(len(mask))
    kind = PriorProductFusion if prior else ProductFusion
    fused = fusion_of(kind).combine(posteriors, mask)
    for i, row in enumerate(mask.tolist()):
        kept = [q for q, seen in zip(posteriors.values(), row, strict=True) if seen]
        if kept or prior:
            precision, pull = torch.full((LATENT,), prior), torch.zeros(LATENT)
            for q in kept:
                precision += (-q.logvar[i]).exp()
                pull += q.mean[i] * (-q.logvar[i]).exp()
            torch.testing.assert_close(fused.logvar[i], -precision.log())
            torch.testing.assert_close(fused.mean[i], pull / precision)
        assert fused.mean[i].isfinite().all() and fused.logvar[i].isfinite().all()


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.floats(0.1, 1))
@settings(max_examples=20, deadline=None)
def test_powers_of_densities_multiplied_on_a_grid(
    weights: list[float], prior: float
) -> None:
    """Geometric means included: the density, normalised by a sum over a fine grid."""
    experts = [Gaussian(*torch.randn(2, 1, 1, generator=seeded(k))) for k in range(3)]
    z = torch.linspace(-20, 20, 40_001)
    log = prior * Normal(0, 1).log_prob(z)
    for weight, expert in zip(weights, experts, strict=True):
        log = log + weight * expert.normal().log_prob(z[:, None]).squeeze(1)
    density = log.softmax(0)
    mean = (density * z).sum()
    variance = (density * (z - mean).square()).sum()
    fused = product(experts, torch.tensor([weights]), prior)
    torch.testing.assert_close(fused.mean.squeeze(), mean, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        fused.logvar.exp().squeeze(), variance, rtol=1e-3, atol=1e-3
    )


# -- Mixtures ------------------------------------------------------------------


@some
@given(masks)
def test_the_mixtures_moments(mask: Tensor) -> None:
    """Mean and variance of equally weighted components: E[m], E[v + m^2] - E[m]^2."""
    posteriors = posteriors_for(len(mask))
    fused = fusion_of(MixtureFusion).combine(posteriors, mask)
    for i, row in enumerate(mask.tolist()):
        kept = [q for q, seen in zip(posteriors.values(), row, strict=True) if seen]
        if kept:
            mean = sum(q.mean[i] for q in kept) / len(kept)
            square = sum(q.logvar[i].exp() + q.mean[i] ** 2 for q in kept) / len(kept)
            same(Gaussian(fused.mean[i], fused.logvar[i]), mean, square - mean**2)


@pytest.mark.parametrize("draws", [None, Draws(seeded(0))])
def test_a_mixture_of_one_is_that_expert(draws: Draws | None) -> None:
    posteriors = posteriors_for(3)
    fused = fusion_of(MixtureFusion).combine(posteriors, only("b"), draws)
    same(fused, posteriors["b"].mean, posteriors["b"].logvar.exp())


def test_a_random_available_expert_a_row() -> None:
    rows = 9000
    posteriors = {
        name: Gaussian(torch.full((rows, LATENT), float(k)), torch.zeros(rows, LATENT))
        for k, name in enumerate(DIMS)
    }
    mask = torch.cat([only(*DIMS, rows=3000), only("a", "c", rows=6000)])
    chosen = fusion_of(MixtureFusion).combine(posteriors, mask, Draws(seeded(0))).mean
    assert torch.equal(chosen, chosen[:, :1].expand(-1, LATENT))  # whole experts
    shares = [
        (part[:, :1] == torch.arange(3)).float().mean(0).tolist()
        for part in (chosen[:3000], chosen[3000:])
    ]
    assert shares[0] == pytest.approx([1 / 3] * 3, abs=0.03)
    assert shares[1] == pytest.approx([1 / 2, 0, 1 / 2], abs=0.03)
    assert shares[1][1] == 0


# -- Both kinds ----------------------------------------------------------------


@some
@given(masks, st.sampled_from(KINDS), st.booleans())
def test_nothing_flows_to_or_from_masked_experts(
    mask: Tensor, kind: type[Experts], sample: bool
) -> None:
    mask[:, 0] |= ~mask.any(1)  # a row without any is the caller's business
    posteriors = posteriors_for(len(mask))
    clean = fusion_of(kind).combine(
        posteriors, mask, Draws(seeded(1)) if sample else None
    )
    for column, q in enumerate(posteriors.values()):
        for part in q:
            part[~mask[:, column]] = math.nan
            part.requires_grad_()
    fused = fusion_of(kind).combine(
        posteriors, mask, Draws(seeded(1)) if sample else None
    )
    assert torch.equal(fused.mean, clean.mean)
    assert torch.equal(fused.logvar, clean.logvar)
    (fused.mean.sum() + fused.logvar.sum()).backward()
    for column, q in enumerate(posteriors.values()):
        for part in q:
            if part.grad is not None:
                assert part.grad[~mask[:, column]].count_nonzero() == 0
                assert part.grad.isfinite().all()


@pytest.mark.parametrize("kind", [*KINDS, JointFusion])
def test_a_name_left_out_equals_a_masked_one(kind: type[Experts]) -> None:
    fusion = fusion_of(kind).eval()
    noise = seeded(0)
    codes = {name: torch.randn(3, dim, generator=noise) for name, dim in DIMS.items()}
    without = {name: code for name, code in codes.items() if name != "b"}
    mask = torch.tensor([[True, False, True], [True, False, False]])[[0, 1, 0]]
    whole, partial = fusion(codes, mask), fusion(without, mask)
    torch.testing.assert_close(partial, whole)


# -- A joint encoder -----------------------------------------------------------


def test_complete_rows_go_through_the_joint_encoder_and_others_do_not() -> None:
    fusion = JointFusion(DIMS, LATENT, 6, 2).eval()
    noise = seeded(0)
    codes = {name: torch.randn(4, dim, generator=noise) for name, dim in DIMS.items()}
    everything = torch.ones(4, 3, dtype=torch.bool)
    mask = everything.clone()
    mask[1], mask[2] = only("b")[0], only("a", "c")[0]
    fused = fusion(codes, mask)
    joint = fusion.joint(codes, everything)
    parts = fusion.parts(codes, mask)
    for row, expected in enumerate((joint, parts, parts, joint)):
        torch.testing.assert_close(fused.mean[row], expected.mean[row])
        torch.testing.assert_close(fused.logvar[row], expected.logvar[row])
    torch.testing.assert_close(fused.mean[1], fusion.parts.messages(codes)["b"].mean[1])


def test_incomplete_rows_do_not_reach_the_joint_encoders_statistics() -> None:
    mask = torch.tensor([[True] * 3, [True] * 3, [True, False, True]])
    statistics = []
    for last in (0.0, math.nan):
        fusion = JointFusion(DIMS, LATENT, 6, 2)
        for weight in fusion.parameters():
            nn.init.constant_(weight, 0.1)
        messages = {
            name: Both(*torch.ones(2, 3, LATENT), torch.ones(3, 6)) for name in DIMS
        }
        messages["b"].joint[2] = last
        fusion.combine(messages, mask)
        statistics.append([b.clone() for b in fusion.joint.buffers()])
    torch.testing.assert_close(statistics[1], statistics[0])
