"""Networks that modalities share are saved once, and are one again when loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import batch_of, make
from torch import nn

from nexus_rl import Modality, UserError, load_model, make_model
from nexus_rl.files import read_json, write_json
from nexus_rl.models import MultimodalVAE
from nexus_rl.networks import Builder, Networks, image_networks

EYES = tuple(Modality(name, (1, 8, 8), latent_dim=4) for name in ("left", "right"))
TINY: dict[str, Any] = {"latent_dim": 3, "width": 8}

Builders = dict[str, Builder] | None
Made = tuple[MultimodalVAE, Builders]


def one_for_both() -> dict[str, Builder]:
    made: dict[int, Networks] = {}

    def tied(modality: Modality, code_dim: int) -> Networks:
        return made.setdefault(code_dim, image_networks(modality, code_dim))

    return {"left": tied, "right": tied}


def own(levels: int = 2) -> Made:
    model = make_model("nexus", EYES, networks=one_for_both(), levels=levels, **TINY)
    return model, one_for_both()


def built_in() -> Made:
    """Networks are shared after the model was made, one of them in part."""
    model = make(EYES, **TINY)
    left, right = model.bottoms["left"], model.bottoms["right"]
    right.encoder = left.encoder
    right.decoder[0].weight = left.decoder[0].weight
    return model, None


def normalised() -> Made:
    """Statistics of batches are shared as well."""
    pair = [Modality(name, (4,), width=6, latent_dim=4) for name in ("left", "right")]
    model = make(pair, **TINY)
    model.bottoms["right"].encoder = model.bottoms["left"].encoder
    return model, None


class Back(nn.Module):
    """The transpose of a linear layer."""

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight


def both_ways(modality: Modality, code_dim: int) -> Networks:
    """Encoder and decoder share a weight."""
    there = nn.Linear(modality.shape[0], code_dim)
    return Networks(there, Back(there.weight), code_dim, lambda _: nn.Identity())


def transposed() -> Made:
    networks = {"vector": both_ways}
    pair = (Modality("vector", (6,), latent_dim=4), EYES[0])
    return make_model("nexus", pair, networks=networks, **TINY), networks


def pieces(model: MultimodalVAE) -> list[tuple[str, ...]]:
    """The names of every tensor, those of one together."""
    names: dict[int, list[str]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        names.setdefault(id(tensor), []).append(name)
    return sorted(map(tuple, names.values()))


@pytest.mark.parametrize(
    "make_one", [own, lambda: own(1), built_in, normalised, transposed]
)
def test_what_was_one_is_one_again(
    tmp_path: Path, make_one: Callable[[], Made]
) -> None:
    model, networks = make_one()
    assert len(pieces(model)) < len(model.state_dict())
    model.save_pretrained(tmp_path)
    assert len(load_file(tmp_path / "model.safetensors")) == len(pieces(model))
    loaded = load_model(tmp_path, networks=networks)
    assert pieces(loaded) == pieces(model)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])
    loaded.save_pretrained(tmp_path / "again")
    for name in ("config.json", "model.safetensors"):
        again = (tmp_path / "again" / name).read_bytes()
        assert again == (tmp_path / name).read_bytes()


@pytest.mark.parametrize("name", ["left", "right"])
def test_a_shared_bottom_stays_frozen_by_either_name(tmp_path: Path, name: str) -> None:
    model, _ = normalised()
    model.freeze_bottom(name)
    model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path).train()
    for eye in ("left", "right"):
        encoder, ours = loaded.bottoms[eye].encoder, model.train().bottoms[eye].encoder
        assert encoder.training == ours.training is False
        assert not any(p.requires_grad for p in encoder.parameters())


def test_training_goes_on_as_it_would_have(tmp_path: Path) -> None:
    def step(model: MultimodalVAE) -> MultimodalVAE:
        noise = torch.Generator().manual_seed(0)
        model.train().loss(batch_of(EYES), generator=noise).total.backward()
        for weight in model.parameters():
            if weight.grad is not None:
                weight.data -= 0.1 * weight.grad
        return model

    model, _ = built_in()
    model.save_pretrained(tmp_path)
    ours, theirs = step(model).state_dict(), step(load_model(tmp_path)).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_networks_that_share_otherwise_are_refused(tmp_path: Path) -> None:
    own()[0].save_pretrained(tmp_path / "one")
    apart = dict.fromkeys(("left", "right"), image_networks)
    load_model(tmp_path / "one", networks=apart)  # they are made one again
    model = make_model("nexus", EYES, networks=apart, **TINY)
    model.save_pretrained(tmp_path / "two")
    with pytest.raises(UserError, match=r"other parts are shared.*right\.encoder"):
        load_model(tmp_path / "two", networks=one_for_both())


@pytest.mark.parametrize(
    "tied",
    [
        {"bottoms.right": "bottoms"},  # within itself
        {"bottoms.left": "bottoms.right"},  # which comes later
        {"bottoms.right": ""},
        {"bottoms.right.encoder.0.weight": "bottoms.left"},
        {"bottoms.right.encoder.0": "bottoms.left.encoder.9"},
        {"bottoms.right.train": "bottoms.left.train"},
    ],
)
def test_ties_that_cannot_be_are_refused(tmp_path: Path, tied: dict[str, str]) -> None:
    make(EYES, **TINY).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    write_json(path, {**read_json(path, "model"), "tied": tied})
    with pytest.raises(UserError, match=r"config\.json"):
        load_model(tmp_path)
