"""Models by name, and what is wrong when one cannot be made."""

from pathlib import Path

import pytest
import torch
from tiny import IMAGE, KINDS, LABEL

from nexus_rl import Modality, ModelConfig, Nexus, load_model, make_model
from nexus_rl.config import MODEL_OPTIONS
from nexus_rl.errors import UserError
from nexus_rl.models import MODELS, Nexus0
from nexus_rl.models.contrastive import GMC
from nexus_rl.networks import vector_networks

PAIR = (IMAGE, LABEL)


@pytest.mark.parametrize(("name", "levels"), KINDS)
def test_names_choose_the_class(name: str, levels: int) -> None:
    model = make_model(name, PAIR, width=8, levels=levels)
    assert type(model) is MODELS[name]
    assert (model.name, model.config.levels) == (name, levels)


@pytest.mark.parametrize("kind", [Nexus, Nexus0])
def test_a_models_config_names_its_class(kind: type[Nexus]) -> None:
    assert kind(PAIR, ModelConfig(width=8)).config.model == kind.name


def test_modalities_keep_their_order() -> None:
    assert make_model("nexus", [LABEL, IMAGE], width=8).modalities == (LABEL, IMAGE)


def test_defaults_are_the_papers() -> None:
    config = make_model("nexus", PAIR).config
    assert config == ModelConfig(
        "nexus", levels=2, latent_dim=16, rho=0.1, beta=1.0, width=512, align=0.0
    )
    assert Nexus(PAIR).config == config


@pytest.mark.parametrize(
    ("name", "modalities", "options", "message"),
    [
        ("nexsus", PAIR, {}, "unknown model 'nexsus'. Did you mean 'nexus'?"),
        ("nexus", (), {}, "at least one modality"),
        ("nexus", (IMAGE, IMAGE), {}, "names must differ, got image, image"),
        ("nexus", PAIR, {"level": 1}, "model option 'level'. Did you mean 'levels'"),
        ("nexus", PAIR, {"levels": 3}, "levels must be 1 or 2, got 3"),
        ("nexus", PAIR, {"rho": 1.1}, "rho is a probability from 0 to 1, got 1.1"),
        ("nexus", PAIR, {"rho": float("nan")}, "rho must be a finite number"),
        ("nexus", PAIR, {"latent_dim": 0}, "latent_dim and width must be at least 1"),
        ("nexus", PAIR, {"width": 0}, "latent_dim and width must be at least 1"),
        ("nexus", PAIR, {"beta": -1}, "beta must not be negative, got -1"),
        ("avae", PAIR, {"alpha": -1}, "alpha must not be negative, got -1"),
        ("avae", PAIR, {"alpha": float("inf")}, "alpha must be a finite number"),
        ("avae", PAIR, {"alpha": "x"}, "alpha must be a finite number, got 'x'"),
        ("nexus0", PAIR, {"fill": "nan"}, "unknown fill 'nan'"),
        (
            "nexus",
            PAIR,
            {"networks": {"sound": vector_networks}},
            "unknown modality 'sound'",
        ),
        (
            "nexus",
            (IMAGE.replace(shape=(1, 3, 8)),),
            {},
            r"modality 'image': an image's sides must be at least 4, got \(1, 3, 8\)",
        ),
    ],
)
def test_what_cannot_be_made_is_refused(
    name: str,
    modalities: tuple[Modality, ...],
    options: dict[str, object],
    message: str,
) -> None:
    with pytest.raises(UserError, match=message):
        make_model(name, modalities, **options)


# -- Options that a model would ignore -----------------------------------------

SET = {"rho": 0.3, "align": 0.2, "alpha": 0.4, "beta": 0.7, "fill": "mask"}


def test_every_model_says_which_options_it_uses() -> None:
    assert MODEL_OPTIONS.keys() == MODELS.keys()
    assert {option for used in MODEL_OPTIONS.values() for option in used} == set(SET)


@pytest.mark.parametrize("option", SET)
@pytest.mark.parametrize("name", MODELS)
def test_options_are_used_or_refused(name: str, option: str) -> None:
    if option in MODEL_OPTIONS[name]:
        model = make_model(name, PAIR, width=8, **{option: SET[option]})
        assert getattr(model.config, option) == SET[option]
    else:
        users = ", ".join(m for m, used in MODEL_OPTIONS.items() if option in used)
        levels = dict(KINDS)[name]
        message = f"{name} with levels={levels} does not use {option}, which is for "
        message += users
        with pytest.raises(UserError, match=message):
            make_model(name, PAIR, width=8, **{option: SET[option]})


def test_one_level_has_nothing_to_pass_upward() -> None:
    with pytest.raises(UserError, match="levels=1 does not use upward"):
        make_model("nexus", PAIR, levels=1, upward="mean")


def test_settings_made_for_one_model_may_serve_another() -> None:
    """Presets are made for Nexus; what it alone uses is forgotten."""
    config = ModelConfig(rho=0.5, align=3.0, beta=0.1, upward="mean")
    assert config.for_model("mvae") == ModelConfig("mvae", beta=0.1, upward="mean")
    assert config.for_model("nexus0") == ModelConfig(
        "nexus0", rho=0.5, align=3.0, beta=0.1, upward="mean"
    )


def test_a_model_of_one_level_has_it_unless_told_otherwise() -> None:
    assert make_model("gmc", PAIR, width=8).config == ModelConfig(
        "gmc", levels=1, width=8
    )
    assert GMC(PAIR).config.levels == 1
    assert ModelConfig(rho=0.5, align=3.0, beta=0.1, upward="mean").for_model(
        "gmc"
    ) == ModelConfig("gmc", levels=1)
    for make in (
        lambda: make_model("gmc", PAIR, levels=2),
        lambda: GMC(PAIR, ModelConfig(width=8)),
    ):
        with pytest.raises(UserError, match="gmc has one level only: set levels to 1"):
            make()


def test_a_model_of_ones_own_may_use_every_option() -> None:
    class Mine(Nexus):
        name = "mine"

    config = Mine(PAIR, ModelConfig(width=8, alpha=0.3, rho=0.3)).config
    assert (config.model, config.alpha) == ("mine", 0.3)


# -- Names ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["type", "keys", "float", "training"])
def test_names_that_pytorch_reserves_are_refused(name: str) -> None:
    """Weights are attributes of a module, which has some attributes already."""
    with pytest.raises(UserError, match=f"modality '{name}'"):
        make_model("nexus", (IMAGE.replace(name=name),), width=8)


@pytest.mark.parametrize("name", ["class", "été", "_", "x2", "2x", "a-b", "a b", "a.b"])
@pytest.mark.parametrize("kind", ["nexus", "mvae"])
def test_other_names_name_a_sensor(kind: str, name: str, tmp_path: Path) -> None:
    modalities = (IMAGE.replace(name=name), LABEL)
    model = make_model(kind, modalities, width=8).eval()
    assert list(model.bottoms) == [name, "label"]
    assert name in model.bottoms and "other" not in model.bottoms
    batch = {name: torch.rand(2, *IMAGE.shape)}
    model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path)
    assert torch.equal(loaded.encode(batch), model.encode(batch))
    assert model.loss({**batch, "label": torch.tensor([0, 1])}).total.isfinite()
