"""What goes up from a bottom level, and what comes down to be compared."""

import pytest
import torch
import torch.nn.functional as F
from tiny import FOUR, IMAGE, LABEL, ConstantNoise, batch_of, gradients, make

from nexus_rl.columns import beside_data, bottom_posteriors
from nexus_rl.draws import seeded

READ = LABEL.replace(top_likelihood="categorical")
PAIR = (IMAGE, READ)


# -- Means upward --------------------------------------------------------------


def test_with_means_upward_samples_are_of_the_top_level_alone() -> None:
    model, batch = make(upward="mean").eval(), batch_of()
    sampled = model.posterior(batch, sample=True)
    assert torch.equal(sampled.mean, model.posterior(batch).mean)
    a, b = (model.encode(batch, sample=True) for _ in range(2))
    assert not torch.equal(a, b)


def test_with_means_upward_bottoms_still_learn_from_samples() -> None:
    """Means are what the top decoders must meet; noise moves what is below."""
    batch = batch_of()
    still, moved = (
        make(upward="mean").eval().loss(batch, stage="bottom", generator=noise).terms
        for noise in (ConstantNoise(0), ConstantNoise(1))
    )
    for m in FOUR:
        assert still[f"{m.name}/reconstruction"] != moved[f"{m.name}/reconstruction"]
    # Without noise a sample is the mean, and there is nothing to choose.
    losses = [
        make(upward=upward).eval().loss(batch, generator=ConstantNoise(0)).terms
        for upward in ("mean", "sample")
    ]
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize("stage", ["joint", "top"])
def test_top_decoders_must_meet_the_means(stage: str) -> None:
    model, batch = make(upward="mean").eval(), batch_of()
    with torch.no_grad():
        loss = model.loss(batch, stage=stage, generator=ConstantNoise(0.5))
        q = model.posterior(batch)
        codes = model.codes(q.mean + 0.5 * q.stddev)
        expected = [
            (codes[name] - below.mean).square().sum(1).mean()
            for name, below in model.bottom_posteriors(batch).items()
        ]
    for m, value in zip(FOUR, expected, strict=True):
        if m.top_likelihood == "squared_error":
            torch.testing.assert_close(loss.terms[f"{m.name}/top"], value)


@pytest.mark.parametrize("upward", ["mean", "sample"])
def test_cached_posteriors_go_upward_like_those_of_data(upward: str) -> None:
    model, batch = make((*PAIR,), upward=upward).eval(), batch_of(PAIR)
    cached = beside_data(model, bottom_posteriors(model, batch), batch)
    found = [
        model.loss(each, stage="top", generator=seeded(5)) for each in (batch, cached)
    ]
    torch.testing.assert_close(found[0].terms, found[1].terms)


# -- A label read through its own decoder --------------------------------------


def test_a_label_may_be_compared_with_the_data() -> None:
    """Cross-entropy of what its own decoder makes of the code that came down."""
    model, batch = make(PAIR).eval(), batch_of(PAIR)
    with torch.no_grad():
        q = model.posterior(batch)
        down = model.codes(q.mean)["label"]
        logits = model.bottoms["label"].decoder(down)
        loss = model.loss(batch, generator=ConstantNoise(0))
    expected = F.cross_entropy(logits, batch["label"])
    torch.testing.assert_close(loss.terms["label/top"], expected)


def test_the_decoder_that_reads_it_learns_nothing_from_it() -> None:
    model = make(PAIR).train()
    statistics = {n: b.clone() for n, b in model.bottoms.named_buffers()}
    model.loss(batch_of(PAIR), stage="top").total.backward()
    found = gradients(model)
    assert not any(name.startswith("bottoms.") for name in found)
    assert any(name.startswith("top_decoders.label") for name in found)
    for name, buffer in model.bottoms.named_buffers():
        assert torch.equal(buffer, statistics[name])
    assert model.bottoms["label"].decoder.training


# -- Down again ----------------------------------------------------------------


@pytest.mark.parametrize("levels", [1, 2])
def test_decoding_is_codes_and_their_decoders(levels: int) -> None:
    model = make(levels=levels).eval()
    z = torch.randn(5, 4, generator=seeded(0))
    with torch.no_grad():
        whole = model.decode(z, ["sound", "label"])
        parts = model.decode_codes(model.codes(z, ["sound", "label"]))
    assert whole.keys() == parts.keys() == {"sound", "label"}
    torch.testing.assert_close(whole, parts)


@pytest.mark.parametrize("levels", [1, 2])
def test_the_prior_is_decoded_from_standard_normal_latents(levels: int) -> None:
    model = make(levels=levels).eval()
    found = model.prior(7, ["vector"], generator=seeded(3))
    z = torch.randn(7, 4, generator=seeded(3))
    torch.testing.assert_close(found, model.decode(z, ["vector"]), check_stride=False)
    assert {name: len(x) for name, x in model.prior(2).items()} == {
        m.name: 2 for m in FOUR
    }
