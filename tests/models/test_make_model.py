"""Models by name, and what is wrong when one cannot be made."""

import pytest
from tiny import IMAGE, LABEL

from nexus_rl import Modality, ModelConfig, Nexus, make_model
from nexus_rl.errors import UserError
from nexus_rl.models import Nexus0
from nexus_rl.networks import vector_networks

PAIR = (IMAGE, LABEL)


def test_names_choose_the_class() -> None:
    assert type(make_model("nexus", PAIR, width=8)) is Nexus
    assert type(make_model("nexus0", PAIR, width=8)) is Nexus0


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
        ("nexus", PAIR, {"beta": -1}, "beta .*must not be negative, got -1"),
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


@pytest.mark.parametrize("name", ["type", "keys", "float", "training"])
def test_names_that_pytorch_reserves_are_refused(name: str) -> None:
    """Weights are attributes of a module, which has some attributes already."""
    with pytest.raises(UserError, match=f"modality '{name}'"):
        make_model("nexus", (IMAGE.replace(name=name),), width=8)


@pytest.mark.parametrize("name", ["class", "été", "_", "x2"])
def test_other_identifiers_name_a_sensor(name: str) -> None:
    model = make_model("nexus", (IMAGE.replace(name=name),), width=8)
    assert model.modalities[0].name == name
