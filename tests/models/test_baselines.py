"""The models that Nexus is compared with: sizes, bottoms, samples, training."""

import pytest
import torch
from tiny import (
    FOUR,
    IMAGE,
    KINDS,
    LABEL,
    TWO_LEVELS,
    VECTOR,
    batch_of,
    make,
    shared,
    trainable,
)

from nexus_rl import Modality, TrainConfig, UserError, make_model, train
from nexus_rl.draws import seeded
from nexus_rl.modality import PAPER

TWO = (PAPER["image"], PAPER["label"])
EXPERTS = ("mvae", "mmvae", "mopoe", "mvtcae", "mmjsd", "avae", "muse")


# -- Numbers of parameters, as built by the released code ----------------------


@pytest.mark.parametrize("name", EXPERTS)
def test_whole_models(name: str) -> None:
    assert trainable(make_model(name, TWO)) == 3_238_361
    assert trainable(make_model(name, TWO, levels=1)) == 3_401_098


@pytest.mark.parametrize("name", ["mvae", "mmvae"])
def test_four_modalities(name: str) -> None:
    model = make_model(name, tuple(PAPER.values()), latent_dim=32)
    assert trainable(model) == 8_156_945
    expected = {
        "image": 594_496,
        "trajectory": 569_920,
        "sound": 627_264,
        "label": 564_288,
    }
    for modality, parameters in expected.items():
        assert trainable(model.fusion.experts[modality]) == parameters


def test_experts_and_decoders() -> None:
    two, single = make_model("mvae", TWO), make_model("mvae", TWO, levels=1)
    assert trainable(two.fusion.experts["image"]) == 578_080
    assert trainable(two.fusion.experts["label"]) == 547_872
    for modality in ("image", "label"):
        assert trainable(single.fusion.experts[modality]) == 543_776
        assert trainable(single.top_decoders[modality]) == 536_064


def test_a_joint_encoder_comes_on_top_of_the_experts() -> None:
    """Two maps, M times 512 inputs, and a top encoder's second layer and heads."""
    joint = 33_280 + 3_072 + 543_776 + 512 * 512
    assert trainable(make_model("jmvae", TWO)) == 3_238_361 + joint
    assert trainable(make_model("vae", TWO)) == trainable(make_model("nexus0", TWO))


# -- Bottoms -------------------------------------------------------------------


@pytest.mark.parametrize("name", TWO_LEVELS)
def test_all_models_of_a_seed_have_the_same_bottoms(name: str) -> None:
    """So bottoms that were trained once serve every model."""
    nexus, other = (
        make_model(each, FOUR, width=16, seed=3).train() for each in ("nexus", name)
    )
    expected = nexus.bottoms.state_dict()
    torch.testing.assert_close(other.bottoms.state_dict(), expected, rtol=0, atol=0)
    losses = [
        model.loss(batch_of(), stage="bottom", generator=seeded(5)).total
        for model in (nexus, other)
    ]
    assert torch.equal(*losses)


# -- Rows ----------------------------------------------------------------------


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("name", ["mmvae", "mmjsd", "avae"])
def test_a_mixtures_samples_come_from_one_expert_a_row(name: str, levels: int) -> None:
    """Means that are random in nothing but the expert: every row's is one of two."""
    model = shared(name, "zero", levels)
    one = batch_of((IMAGE, VECTOR), rows=1)
    many = {key: data.expand(400, *data.shape[1:]) for key, data in one.items()}
    if levels == 2:
        model = make(name=name, levels=2, upward="mean").eval()
    with torch.no_grad():
        found = model.posterior(many, sample=True, generator=seeded(0)).mean
        image, vector = (model.posterior({key: data}).mean for key, data in one.items())
        from_image = torch.isclose(found, image, atol=1e-5).all(1)
        from_vector = torch.isclose(found, vector, atol=1e-5).all(1)
        middle = model.posterior(one).mean
    assert (from_image ^ from_vector).all()
    assert from_image.float().mean().item() == pytest.approx(0.5, abs=0.1)
    torch.testing.assert_close(middle, (image + vector) / 2)


@pytest.mark.parametrize("name", TWO_LEVELS)
def test_many_samples_are_those_of_many_calls(name: str) -> None:
    """One encoding, S draws: same distribution of latents, seen by its moments."""
    model, batch = shared(name, "zero", 2), batch_of(rows=2)
    given = {key: batch[key] for key in ("image", "label")}
    many = model.generate(given, targets=["vector"], samples=3000)["vector"]
    assert many.shape == (3000, 2, 5)
    calls = {key: data.repeat_interleave(3000, 0) for key, data in given.items()}
    expected = model.generate(calls, targets=["vector"])["vector"]
    expected = expected.view(2, 3000, 5).transpose(0, 1)
    scale = expected.std(0) / 3000**0.5
    assert ((many.mean(0) - expected.mean(0)).abs() < 6 * scale + 1e-6).all()
    torch.testing.assert_close(many.std(0), expected.std(0), rtol=0.2, atol=1e-3)


@pytest.mark.parametrize("options", [{"samples": 0}, {"samples": 2, "sample": False}])
def test_samples_of_means_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UserError, match="samples must be at least 1, and needs"):
        shared("mmvae", "zero", 2).generate(batch_of(), **options)


def test_one_level_has_no_bottom_posteriors() -> None:
    with pytest.raises(UserError, match="two levels"):
        shared("mvae", "zero", 1).bottom_posteriors(batch_of())


def test_the_naive_vae_takes_a_missing_message_for_zeros() -> None:
    model = shared("vae", "zero", 1)
    q = model.posterior({"image": batch_of()["image"]})
    zeros = {name: torch.zeros(6, 16) for name in ("vector", "sound", "label")}
    codes = {"image": model.bottoms["image"].encode(batch_of()["image"])}
    messages = model.fusion.messages(codes) | zeros
    fused = model.fusion.combine(messages, torch.ones(6, 4, dtype=torch.bool))
    torch.testing.assert_close(q.mean, fused.mean)


# -- Training ------------------------------------------------------------------


@pytest.mark.parametrize(("name", "levels"), KINDS)
def test_every_model_learns_what_goes_together(name: str, levels: int) -> None:
    """A vector shows the class, and models say so that are trained to."""
    touch = Modality("touch", (6,), latent_dim=3, weight=20, top_weight=5, width=32)
    label = LABEL.replace(weight=5, top_weight=5, width=32)
    classes = torch.randint(3, (600,), generator=seeded(0))
    noise = torch.rand(600, 6, generator=seeded(1))
    data = {"touch": 0.1 * noise + 0.9 * torch.eye(3)[classes].repeat(1, 2)}
    data["label"] = classes
    model = make_model(name, (touch, label), levels=levels, width=32, latent_dim=4)
    config = TrainConfig(
        epochs=12, batch_size=32, learning_rate=4e-3, warmup_epochs=6, device="cpu"
    )
    records = train(model, data, config).records
    assert records[-1]["validation/loss"] < records[0]["validation/loss"]
    model.eval()
    if not model.generative:  # nothing to tell: the loss says it all
        return
    sources = [["touch", "label"]]
    # MVAE explains from a subset what is in it, and a naive VAE knows no subset.
    if name not in ("mvae", "vae"):
        sources.append(["touch"])
    for source in sources:
        given = {key: data[key] for key in source}
        told = model.generate(given, targets=["label"], sample=False)["label"]
        assert (told.argmax(1) == classes).float().mean().item() > 0.8, source
