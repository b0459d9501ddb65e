"""Models as folders: what is saved is what is loaded, and nothing is executed."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import CHOICES, IMAGE, LABEL, VECTOR, batch_of, linear_networks, make
from torch import nn

from nexus_rl import Modality, ModelConfig, Nexus, load_model, make_model
from nexus_rl.config import MODEL_OPTIONS
from nexus_rl.errors import UserError
from nexus_rl.files import read_json, write_json
from nexus_rl.models import MODELS, MultimodalVAE, Nexus0

PAIR = (IMAGE, LABEL)


def assert_same(a: MultimodalVAE, b: MultimodalVAE, batch: dict[str, Any]) -> None:
    assert torch.equal(a.eval().encode(batch), b.eval().encode(batch))
    assert a.generative == b.generative
    if not a.generative:
        return
    q, p = a.posterior(batch), b.posterior(batch)
    assert torch.equal(q.stddev, p.stddev)
    x, y = a.decode(q.mean), b.decode(p.mean)
    assert all(torch.equal(x[name], y[name]) for name in x)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make(PAIR).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(("name", "fill", "levels"), CHOICES)
def test_round_trip(tmp_path: Path, name: str, fill: str, levels: int) -> None:
    mods = (IMAGE, VECTOR.replace(name="robot.left arm-2"), LABEL)
    chosen = {"rho": 0.3, "align": 0.2, "alpha": 0.4, "beta": 0.7, "fill": fill}
    options = {option: chosen[option] for option in MODEL_OPTIONS[name]}
    model = make(mods, name, levels=levels, **options)
    model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path)
    assert type(loaded) is type(model) is MODELS[name]
    assert loaded.modalities == mods
    assert loaded.config == model.config
    assert not loaded.training
    assert_same(model, loaded, batch_of(mods))


def test_options_without_use_do_not_keep_a_model_from_loading(folder: Path) -> None:
    """They were kept, and ignored, before they were refused."""
    path = folder / "config.json"
    description = read_json(path, "model")
    description["model"]["fill"] = "mask"
    write_json(path, description)
    assert load_model(folder).config.fill == "zero"


def test_two_files_suffice_wherever_they_are(folder: Path, tmp_path: Path) -> None:
    assert {p.name for p in folder.iterdir()} == {"config.json", "model.safetensors"}
    elsewhere = shutil.copytree(folder, tmp_path / "else" / "where")
    shutil.rmtree(folder)
    assert load_model(str(elsewhere)).modalities == PAIR


def test_saving_again_replaces_the_model(folder: Path) -> None:
    model = make((VECTOR,), levels=1)
    model.save_pretrained(folder)
    assert_same(model, load_model(folder), batch_of((VECTOR,)))


def test_the_description_says_what_was_built(folder: Path) -> None:
    description = json.loads((folder / "config.json").read_text())
    assert description["format"] == 1
    assert description["library_version"]
    assert description["model"]["model"] == "nexus"
    assert [m["name"] for m in description["modalities"]] == ["image", "label"]
    assert description["frozen"] == description["own_networks"] == []


def test_a_loaded_model_can_be_trained_further(folder: Path) -> None:
    model = load_model(folder).train()
    model.loss(batch_of(PAIR)).total.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_from_pretrained(tmp_path: Path) -> None:
    model = make(PAIR)
    model.save_pretrained(tmp_path)
    loaded = Nexus.from_pretrained(tmp_path)
    assert type(loaded) is Nexus
    assert_same(model, loaded, batch_of(PAIR))
    with pytest.raises(UserError, match="holds a 'nexus' model, not 'nexus0'"):
        Nexus0.from_pretrained(tmp_path)


@pytest.mark.parametrize("kind", [Nexus, Nexus0])
def test_models_made_by_their_class_are_loaded_as_that_class(
    tmp_path: Path, kind: type[MultimodalVAE]
) -> None:
    model = kind(PAIR, ModelConfig(width=16, latent_dim=4))
    model.save_pretrained(tmp_path)
    assert_same(model, kind.from_pretrained(tmp_path), batch_of(PAIR))


@pytest.mark.parametrize("levels", [1, 2])
def test_networks_of_ones_own(tmp_path: Path, levels: int) -> None:
    own = {"image": linear_networks}
    model = make_model(
        "nexus", PAIR, networks=own, levels=levels, width=16, latent_dim=4
    )
    assert any(isinstance(m, nn.Linear) for m in model.bottoms["image"].modules())
    assert not any(isinstance(m, nn.Conv2d) for m in model.modules())
    assert model.loss(batch_of(PAIR)).total.isfinite()
    model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="networks of your own for image: give them"):
        load_model(tmp_path)
    assert_same(model, load_model(tmp_path, networks=own), batch_of(PAIR))
    loaded = Nexus.from_pretrained(tmp_path, networks=own)
    loaded.save_pretrained(tmp_path)  # and the second generation remembers
    with pytest.raises(UserError, match="for image"):
        load_model(tmp_path)


def test_networks_of_ones_own_allow_any_kind_and_shape() -> None:
    grid = Modality("grid", (2, 3, 2, 2), kind="touch", latent_dim=3)
    model = make_model("nexus", (grid,), networks={"grid": linear_networks}, width=16)
    batch = {"grid": torch.rand(4, 2, 3, 2, 2)}
    assert model.generate(batch)["grid"].shape == (4, 2, 3, 2, 2)
    with pytest.raises(UserError, match="unknown kind of modality 'grid' 'touch'"):
        make_model("nexus", (grid,))


# -- Folders that hold no model ------------------------------------------------


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no model description at .*gone.config\.json"):
        load_model(tmp_path / "gone")


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"config\.json but no model\.safetensors"):
        load_model(folder)


@pytest.mark.parametrize("keep", [0, 5, 200, -7])
def test_truncated_weights(folder: Path, keep: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"model\.safetensors does not fit"):
        load_model(folder)


def test_weights_of_another_model(folder: Path, tmp_path: Path) -> None:
    make(PAIR, width=17).save_pretrained(tmp_path / "wider")
    shutil.copy(tmp_path / "wider" / "model.safetensors", folder)
    with pytest.raises(UserError, match=r"model\.safetensors does not fit"):
        load_model(folder)


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(folder: Path, tmp_path: Path) -> None:
    harm = tmp_path / "harm"
    payload = pickle.dumps(Payload(harm))
    (folder / "model.safetensors").write_bytes(payload)
    with pytest.raises(UserError, match="does not fit"):
        load_model(folder)
    assert not harm.exists()
    pickle.loads(payload)
    assert harm.exists()  # the payload works, where it is let in


@pytest.mark.parametrize("text", ["", "{", "\x00", '{"format": 1'])
def test_an_unreadable_description(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(UserError, match="is not a readable model description"):
        load_model(folder)


@pytest.mark.parametrize(
    ("text", "found"),
    [("[]", "None"), ("{}", "None"), ('{"format": 99}', "99")],
)
def test_another_format(folder: Path, text: str, found: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(UserError, match=f"has format {found}, expected 1"):
        load_model(folder)


@pytest.mark.parametrize("missing", ["own_networks", "modalities", "model", "frozen"])
def test_a_description_with_a_part_missing(folder: Path, missing: str) -> None:
    description = json.loads((folder / "config.json").read_text())
    del description[missing]
    (folder / "config.json").write_text(json.dumps(description))
    with pytest.raises(UserError, match=missing):
        load_model(folder)


def test_bounds_of_entries_come_back(tmp_path):
    body = Modality("body", (2,), low=(0.0, -1.0), high=(2.5, 300.0))
    model = make_model("nexus", [body], latent_dim=2, width=8).eval()
    model.save_pretrained(tmp_path)
    again = load_model(tmp_path)
    assert again.modalities == (body,)
    data = {"body": torch.tensor([[1.0, 200.0]])}
    assert torch.equal(again.encode(data), model.encode(data))
