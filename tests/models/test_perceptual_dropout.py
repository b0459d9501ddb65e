"""Forced perceptual dropout (paper, Algorithm 1)."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import FOUR, ConstantNoise, batch_of, make
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from nexus_rl.draws import Draws, seeded
from nexus_rl.models.gaussian import Gaussian
from nexus_rl.models.objective import ForcedPerceptualDropout

CPU = torch.device("cpu")
ROWS = 12_000


def kept(rho: float, rows: int = ROWS, modalities: int = 4, seed: int = 0) -> Tensor:
    dropout = ForcedPerceptualDropout(rho)
    return dropout.draw(rows, modalities, Draws(seeded(seed)), CPU)


def test_kept_subsets_have_sizes_1_2_3_equally_often() -> None:
    sizes = kept(rho=1).sum(1).bincount(minlength=5) / ROWS
    assert sizes[0] == sizes[4] == 0
    assert sizes[1:4].tolist() == pytest.approx([1 / 3] * 3, abs=0.02)


def test_each_modality_is_kept_half_of_the_time() -> None:
    assert kept(rho=1).float().mean(0).tolist() == pytest.approx([0.5] * 4, abs=0.02)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_subsets_of_one_size_are_equally_likely(size: int) -> None:
    masks = kept(rho=1)
    masks = masks[masks.sum(1) == size]
    subsets = list(itertools.combinations(range(4), size))
    for subset in subsets:
        wanted = torch.zeros(4, dtype=torch.bool)
        wanted[list(subset)] = True
        share = (masks == wanted).all(1).float().mean().item()
        assert share == pytest.approx(1 / len(subsets), abs=0.03)


def test_rho_is_the_share_of_reduced_rows() -> None:
    sizes = kept(rho=0.2).sum(1)
    assert (sizes < 4).float().mean().item() == pytest.approx(0.2, abs=0.015)
    assert (sizes == 1).float().mean().item() == pytest.approx(0.2 / 3, abs=0.01)


def test_rows_are_dropped_independently() -> None:
    """Neighbouring rows agree in size as often as strangers do."""
    sizes = kept(rho=1).sum(1)
    agree = (sizes[1:] == sizes[:-1]).float().mean().item()
    assert agree == pytest.approx(1 / 3, abs=0.02)


@settings(max_examples=100, deadline=None)
@given(st.floats(0, 1), st.integers(0, 64), st.integers(1, 8), st.integers(0, 2**32))
def test_something_is_always_kept(
    rho: float, rows: int, modalities: int, seed: int
) -> None:
    masks = kept(rho, rows, modalities, seed)
    assert masks.shape == (rows, modalities)
    assert masks.dtype == torch.bool
    assert masks.any(1).all()
    if rho == 0 or modalities == 1:
        assert masks.all()
    if rho == 1 and modalities > 1:
        assert not masks.all(1).any()


class CountedDraws(Draws):
    """Counts how often noise is asked for."""

    calls = 0

    def uniform(self, rows: int, columns: int, device: torch.device) -> Tensor:
        self.calls += 1
        return super().uniform(rows, columns, device)


def test_a_batch_is_one_draw() -> None:
    draws = CountedDraws(seeded(0))
    (only,) = ForcedPerceptualDropout(1).passes(ROWS, 4, draws, CPU)
    assert draws.calls == 1
    assert only.available.shape == (ROWS, 4)
    assert only.targets is None  # everything is explained, seen or not


@pytest.mark.parametrize("name", ["nexus", "nexus0"])
def test_eval_mode_drops_nothing(name: str) -> None:
    batch = batch_of()
    losses = {}
    for rho in (0.0, 1.0):
        model = make(name=name, rho=rho)
        for mode in (False, True):  # training moves statistics
            loss = model.train(mode).loss(batch, stage="top", generator=seeded(1))
            losses[rho, mode] = loss.total.item()
    assert losses[0, False] == losses[1, False]
    assert losses[0, True] != losses[1, True]


# -- Alignment, an addition to the paper ---------------------------------------


def test_aligned_steps_encode_everything_and_a_subset() -> None:
    dropout = ForcedPerceptualDropout(0.2, align=3.0)
    full, some = dropout.passes(ROWS, 4, Draws(seeded(0)), CPU)
    assert full.available.all()
    assert some.available.any(1).all()
    assert not some.available.all(1).any()
    assert (full.weight, some.weight) == pytest.approx((0.8, 0.2))
    assert full.targets is some.targets is None


def test_the_alignment_term_is_the_symmetric_divergence() -> None:
    noise = seeded(0)
    full, some = (Gaussian(*torch.randn(2, 5, 3, generator=noise)) for _ in range(2))
    (term,) = ForcedPerceptualDropout(0.2, align=3.0).between([full, some])
    p, q = full.normal(), some.normal()
    expected = (kl_divergence(p, q) + kl_divergence(q, p)).sum(1)
    torch.testing.assert_close(term.value, expected)
    assert (term.weight, term.is_kl) == (3.0, False)


@pytest.mark.parametrize("levels", [1, 2])
def test_alignment_adds_its_term_to_the_training_loss_alone(levels: int) -> None:
    model = make(levels=levels, rho=0.5, align=2.0)
    batch = batch_of()
    training = model.train().loss(batch, generator=ConstantNoise())
    assert training.terms["alignment"] > 0
    gamma = {f"{m.name}/top": m.weight if levels == 1 else m.top_weight for m in FOUR}
    lambdas = {f"{m.name}/reconstruction": m.weight for m in FOUR}
    betas = {f"{m.name}/kl": m.beta for m in FOUR}
    weights = gamma | lambdas | betas | {"kl": 1.0, "alignment": 2.0}
    parts = [weights[name] * value for name, value in training.terms.items()]
    torch.testing.assert_close(training.total.detach(), sum(parts))
    training.total.backward()
    assert all(
        p.grad.isfinite().all() for p in model.parameters() if p.grad is not None
    )
    plain = make(levels=levels, rho=0.5).eval()
    aligned = make(levels=levels, rho=0.5, align=2.0).eval()
    a, b = (m.loss(batch, generator=ConstantNoise()).total for m in (plain, aligned))
    assert torch.equal(a, b)


# -- No dropout ----------------------------------------------------------------


def test_without_dropout_training_encodes_the_plain_mean() -> None:
    """In training, rho = 0 explains what a posterior of everything explains."""
    model, batch = make(rho=0.0).train(), batch_of()
    loss = model.loss(batch, generator=ConstantNoise())
    q = model.posterior(batch)
    kl = kl_divergence(q, Normal(0, 1))
    torch.testing.assert_close(loss.terms["kl"], kl.sum(1).mean())
