"""The training loss (paper, Eq. 21): its terms, weights, stages and gradients."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import (
    FOUR,
    IMAGE,
    KINDS,
    LABEL,
    TWO_LEVELS,
    VECTOR,
    ConstantNoise,
    batch_of,
    gradients,
    make,
    nll,
    shared,
)
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from nexus_rl import TrainConfig
from nexus_rl.draws import Draws, seeded
from nexus_rl.errors import UserError
from nexus_rl.models import MultimodalVAE

SQUARED = (IMAGE, VECTOR, LABEL)  # likelihoods in which rows are independent


def kl_of(mean: Tensor, logvar: Tensor) -> Tensor:
    q = Normal(mean, (logvar / 2).exp())
    return kl_divergence(q, Normal(0, 1)).sum(1).mean()


@settings(max_examples=20, deadline=None)
@given(st.floats(-1.5, 1.5), st.floats(0, 1), st.floats(0, 3), st.integers(0, 2**32))
def test_two_levels_by_hand(
    noise: float, warmup: float, beta: float, seed: int
) -> None:
    """Every term from the networks' outputs, and the total from the terms."""
    model = make(beta=beta).eval()
    batch = batch_of(seed=seed, one_hot=True)
    with torch.no_grad():
        loss = model.loss(batch, warmup=warmup, generator=ConstantNoise(noise))
        terms, total, messages, codes = {}, torch.zeros(()), [], {}
        for m in FOUR:
            bottom = model.bottoms[m.name]
            x = m.normalise(batch[m.name])
            features = bottom.encoder(x)
            mean, logvar = bottom.heads.mean(features), bottom.heads.logvar(features)
            z = codes[m.name] = mean + (logvar / 2).exp() * noise
            output = bottom.decoder(z)
            output = output if m.categorical else output.sigmoid()
            terms[f"{m.name}/reconstruction"] = nll(output, x, m.likelihood)
            terms[f"{m.name}/kl"] = kl_of(mean, logvar)
            total += m.weight * terms[f"{m.name}/reconstruction"]
            total += warmup * m.beta * terms[f"{m.name}/kl"]
            messages.append(model.fusion.maps[m.name](z))
        features = model.fusion.encoder(sum(messages) / 4)
        mean = model.fusion.heads.mean(features)
        logvar = model.fusion.heads.logvar(features)
        z_sigma = mean + (logvar / 2).exp() * noise
        for m in FOUR:
            down = model.top_decoders[m.name](z_sigma)
            terms[f"{m.name}/top"] = nll(down, codes[m.name], m.top_likelihood)
            total += m.top_weight * terms[f"{m.name}/top"]
        terms["kl"] = kl_of(mean, logvar)
        total += warmup * beta * terms["kl"]
    # The sound's sigma has a soft floor in data space, far below these errors.
    torch.testing.assert_close(loss.terms, terms, rtol=2e-3, atol=1e-3)
    torch.testing.assert_close(loss.total, total, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("warmup", [0.0, 0.3, 1.0])
def test_one_level_by_hand(warmup: float) -> None:
    """Data are explained directly, with lambda; gamma and the bottom KLs are gone."""
    model, batch = make(levels=1, beta=2).eval(), batch_of(one_hot=True)
    loss = model.loss(batch, warmup=warmup, generator=ConstantNoise())
    q = model.posterior(batch)
    decoded = model.decode(q.mean)
    total = 2 * warmup * kl_of(q.mean, 2 * q.stddev.log())
    for m in FOUR:
        output, x = m.normalise(decoded[m.name]), m.normalise(batch[m.name])
        value = nll(output.log() if m.categorical else output, x, m.likelihood)
        torch.testing.assert_close(
            loss.terms[f"{m.name}/top"], value, rtol=2e-3, atol=1e-3
        )
        total += m.weight * value
    torch.testing.assert_close(loss.total, total, rtol=2e-3, atol=1e-3)
    assert set(loss.terms) == {"kl", *(f"{m.name}/top" for m in FOUR)}


def test_training_samples_the_latents_of_both_levels() -> None:
    """Sampled codes go upward and are the top targets, so noise moves every term."""
    model, batch = shared("nexus", "zero", 2), batch_of()
    still = model.loss(batch, generator=ConstantNoise(0)).terms
    moved = model.loss(batch, generator=ConstantNoise(1)).terms
    divergences = {f"{m.name}/kl" for m in FOUR}
    for name in still:
        assert torch.equal(still[name], moved[name]) == (name in divergences)


@pytest.mark.parametrize("levels", [1, 2])
@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(6)), copies=st.integers(1, 3))
def test_the_loss_is_a_mean_over_rows_in_any_order(
    levels: int, order: list[int], copies: int
) -> None:
    model, batch = shared("nexus", "zero", levels), batch_of()
    loss = model.loss(batch, generator=ConstantNoise(0.5))
    other = {
        name: data[order].repeat_interleave(copies, 0) for name, data in batch.items()
    }
    again = model.loss(other, generator=ConstantNoise(0.5))
    torch.testing.assert_close(again.terms, loss.terms, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(again.total, loss.total, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("levels", [1, 2])
def test_the_loss_of_two_batches_is_the_mean_of_their_losses(levels: int) -> None:
    model = make(SQUARED, levels=levels).eval()
    first, second = batch_of(SQUARED, seed=1), batch_of(SQUARED, seed=2)
    both = {name: torch.cat([first[name], second[name]]) for name in first}
    a, b, ab = (
        model.loss(batch, generator=ConstantNoise(0.5)).total
        for batch in (first, second, both)
    )
    torch.testing.assert_close(ab, (a + b) / 2)


@pytest.mark.parametrize(
    ("levels", "stage"), [(1, "joint"), (2, "joint"), (2, "bottom"), (2, "top")]
)
def test_classes_and_one_hot_rows_give_equal_losses(levels: int, stage: str) -> None:
    model = shared("nexus", "zero", levels)
    classes, one_hot = (
        model.loss(batch_of(one_hot=one_hot), stage=stage, generator=ConstantNoise(0.5))
        for one_hot in (False, True)
    )
    assert torch.equal(classes.total, one_hot.total)


def test_stored_bytes_and_floats_give_equal_losses() -> None:
    model, batch = shared("nexus", "zero", 2), batch_of()
    stored = (batch["image"] * 255).round().to(torch.uint8)
    as_bytes = model.loss(batch | {"image": stored}, generator=ConstantNoise())
    floats = batch | {"image": stored.float() / 255}
    as_floats = model.loss(floats, generator=ConstantNoise())
    torch.testing.assert_close(as_bytes.total, as_floats.total)


def test_a_perfect_model_pays_nothing_for_classes_it_is_sure_of() -> None:
    """The label's term is cross-entropy in nats: ln K when nothing is known."""
    model = make((LABEL,), levels=1).eval()
    last = model.bottoms["label"].decoder[-1][-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    batch = {"label": torch.tensor([0, 1, 2, 1])}
    unsure = model.loss(batch).terms["label/top"]
    assert unsure.item() == pytest.approx(math.log(3))
    last.bias.data = 100 * F.one_hot(torch.tensor(1), 3).float()
    sure = model.loss({"label": torch.tensor([1, 1])}).terms["label/top"]
    assert sure.item() == pytest.approx(0, abs=1e-6)


# -- Stages --------------------------------------------------------------------


@pytest.mark.parametrize("name", TWO_LEVELS)
def test_joint_is_bottom_plus_top(name: str) -> None:
    model = make(name=name).train()
    model.bottoms.eval()  # as stage top has them: its batch statistics are fixed
    joint, bottom, top = (
        model.loss(batch_of(), stage=stage, warmup=0.4, generator=seeded(5))
        for stage in ("joint", "bottom", "top")
    )
    torch.testing.assert_close(joint.total, bottom.total + top.total)
    assert not bottom.terms.keys() & top.terms.keys()
    torch.testing.assert_close(
        joint.terms, bottom.terms | top.terms, rtol=1e-5, atol=1e-5
    )
    assert set(bottom.terms) == {
        f"{m.name}/{term}" for m in FOUR for term in ("reconstruction", "kl")
    }


def test_cached_posteriors_stand_in_for_data_in_stage_top() -> None:
    model, batch = shared("nexus", "zero", 2), batch_of()
    cached = {
        m.name: tuple(model.bottoms[m.name].encode(m.normalise(batch[m.name])))
        for m in FOUR
    }
    some = batch | {name: cached[name] for name in ("image", "label")}
    totals = [
        model.loss(each, stage="top", generator=seeded(5)).total
        for each in (batch, cached, some)
    ]
    torch.testing.assert_close(totals[1], totals[0])
    torch.testing.assert_close(totals[2], totals[0])


def test_training_needs_every_modality() -> None:
    model, batch = make(SQUARED), batch_of(SQUARED)
    del batch["vector"]
    with pytest.raises(UserError, match=r"has no 'vector'; it holds: image, label"):
        model.loss(batch)


@pytest.mark.parametrize(
    ("levels", "stage", "change", "message"),
    [
        (2, "joint", {"image": torch.zeros(6, 8, 8)}, "modality 'image': expected"),
        (2, "joint", {"label": torch.zeros(6)}, "modality 'label': classes must be"),
        (2, "joint", {"label": torch.zeros(5).long()}, "label 5"),
        (2, "joint", {"image": (torch.zeros(6, 6),) * 2}, "modality 'image'"),
        (1, "top", {}, "levels"),
        (1, "bottom", {}, "levels"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(
    levels: int, stage: str, change: dict[str, object], message: str
) -> None:
    model = shared("nexus", "zero", levels)
    with pytest.raises(UserError, match=message):
        model.loss(batch_of() | change, stage=stage)


# -- Gradients -----------------------------------------------------------------


def gradients_of(model: MultimodalVAE, stage: str) -> dict[str, Tensor]:
    model.zero_grad()
    noise = Draws(seeded(5))
    model.loss(batch_of(), stage=stage, generator=noise).total.backward()
    return gradients(model)


@pytest.mark.parametrize("name", TWO_LEVELS)
def test_the_top_level_gives_no_gradient_to_the_bottom(name: str) -> None:
    """Its inputs and its targets are detached (section 4.2)."""
    found = gradients_of(make(name=name).train(), "top")
    assert not any(name.startswith("bottoms.") for name in found)
    assert any(name.startswith("fusion.") for name in found)
    assert any(name.startswith("top_decoders.") for name in found)


@pytest.mark.parametrize("name", TWO_LEVELS)
def test_trained_jointly_each_level_learns_as_if_alone(name: str) -> None:
    """So bottom VAEs train exactly as independent VAEs do."""
    model = make(name=name).train()
    model.bottoms.eval()  # as stage top has them: its batch statistics are fixed
    joint = gradients_of(model, "joint")
    alone = gradients_of(model, "bottom") | gradients_of(model, "top")
    torch.testing.assert_close(joint, alone, rtol=1e-4, atol=1e-6)
    assert {name.split(".")[0] for name in joint} == {
        "bottoms",
        "fusion",
        "top_decoders",
    }


@pytest.mark.parametrize(("name", "levels"), KINDS)
def test_every_weight_learns(name: str, levels: int) -> None:
    """Every expert, too: the released code never trains that of the sound."""
    model = make(name=name, levels=levels).train()
    # A bias before batch normalisation is cancelled by it: its gradient is rounding.
    weights = {
        name for name, p in model.named_parameters() if p.requires_grad and p.dim() > 1
    }
    assert weights <= set(gradients_of(model, "joint"))


@pytest.mark.parametrize("levels", [1, 2])
def test_evaluating_the_loss_needs_no_gradients(levels: int) -> None:
    with torch.no_grad():
        loss = shared("nexus", "zero", levels).loss(batch_of())
    assert not loss.total.requires_grad
    assert loss.total.isfinite()


# -- Warm-up -------------------------------------------------------------------


def test_kl_weights_rise_linearly_over_twenty_epochs() -> None:
    config = TrainConfig()
    expected = [0.05 * epoch for epoch in range(1, 20)] + [1.0] * 81
    assert [config.warmup(e) for e in range(1, 101)] == pytest.approx(expected)
    assert config.warmup(19) == pytest.approx(0.95)
    assert config.warmup(20) == 1.0


def test_warmup_may_be_left_out_or_shortened() -> None:
    assert TrainConfig(warmup_epochs=0).warmup(1) == 1.0
    assert [TrainConfig(warmup_epochs=2).warmup(e) for e in (1, 2, 3)] == [0.5, 1, 1]
