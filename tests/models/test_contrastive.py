"""GMC: its loss by hand, where its codes lie, and what it refuses to say."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import (
    FOUR,
    IMAGE,
    LABEL,
    VECTOR,
    batch_of,
    linear_networks,
    make,
    shared,
    trainable,
)
from torch import Tensor, nn

from nexus_rl import Modality, TrainConfig, UserError, load_model, make_model, train
from nexus_rl.draws import seeded
from nexus_rl.modality import PAPER
from nexus_rl.models.contrastive import info_nce
from nexus_rl.pictures import draw

masks = st.lists(
    st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=6
).map(torch.tensor)
NAMES = [modality.name for modality in FOUR]
LIKE = math.exp(1 / 0.3)  # of a point and itself
UNLIKE = math.exp(-1 / 0.3)  # of opposite points


# -- The loss --------------------------------------------------------------------


def test_two_opposite_points_by_hand() -> None:
    points = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    found = math.log(1 + UNLIKE / LIKE)
    assert info_nce(points, points).tolist() == pytest.approx([found] * 2, abs=1e-6)
    lost = math.log(1 + LIKE / UNLIKE)
    assert info_nce(points, points.flip(0)).tolist() == pytest.approx([lost] * 2)


def test_both_directions_count_the_same() -> None:
    """The first row is looked for among three, of which one is at right angles."""
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    second = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    there = math.log((2 * LIKE + UNLIKE) / LIKE)
    back = math.log((LIKE + 1 + UNLIKE) / LIKE)
    assert info_nce(first, second)[0].item() == pytest.approx((there + back) / 2)
    torch.testing.assert_close(info_nce(first, second), info_nce(second, first))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 20), st.integers(0, 2**32))
def test_who_cannot_tell_rows_apart_guesses(rows: int, seed: int) -> None:
    one = torch.randn(1, 5, generator=seeded(seed)).expand(rows, -1)
    other = torch.randn(rows, 5, generator=seeded(seed, 1))
    nothing = torch.zeros(rows, 5)
    assert info_nce(nothing, other).tolist() == pytest.approx([math.log(rows)] * rows)
    alike = nn.functional.normalize(one)
    expected = [math.log(rows)] * rows
    assert info_nce(alike, alike).tolist() == pytest.approx(expected, abs=1e-5)


# -- Codes -----------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(masks, st.integers(0, 2**32))
def test_codes_are_points_and_means_of_points(mask: Tensor, seed: int) -> None:
    """One sensor or all: on the unit sphere. Some: the mean. None: the middle."""
    model = shared("gmc", "zero", 1)
    batch = batch_of(rows=len(mask), seed=seed)
    with torch.no_grad():
        found = model.encode(batch, mask)
        everything = model.encode(batch)
        points = torch.stack([model.encode({name: batch[name]}) for name in NAMES], 1)
    torch.testing.assert_close(points.norm(dim=2), torch.ones(len(mask), 4))
    torch.testing.assert_close(everything.norm(dim=1), torch.ones(len(mask)))
    for i, row in enumerate(mask):
        expected = torch.zeros(4)
        if row.any():
            expected = everything[i] if row.all() else points[i, row].mean(0)
        torch.testing.assert_close(found[i], expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(points.mean(1), everything)


def test_points_of_what_belongs_together_find_each_other() -> None:
    """Also between sensors that were never compared with one another."""
    touch = Modality("touch", (6,), width=32)
    label = LABEL.replace(width=32)
    classes = torch.randint(3, (300,), generator=seeded(0))
    noise = torch.rand(300, 6, generator=seeded(1))
    data = {"touch": 0.1 * noise + 0.9 * torch.eye(3)[classes].repeat(1, 2)}
    data["label"] = classes
    model = make_model("gmc", (touch, label), width=32, latent_dim=4)
    config = TrainConfig(epochs=8, batch_size=32, learning_rate=4e-3, device="cpu")
    train(model, data, config)
    model.eval()
    with torch.no_grad():
        felt = model.encode({"touch": data["touch"]})
        told = model.encode({"label": torch.arange(3)})
        both = model.encode(data)
    assert ((felt @ told.T).argmax(1) == classes).float().mean().item() > 0.95
    assert ((both @ told.T).argmax(1) == classes).float().mean().item() > 0.95


def test_one_sensor_is_enough() -> None:
    model = make((VECTOR,), "gmc").train()
    model.loss(batch_of((VECTOR,))).total.backward()
    with torch.no_grad():
        code = model.eval().encode(batch_of((VECTOR,)))
    torch.testing.assert_close(code.norm(dim=1), torch.ones(6))


# -- Parts -----------------------------------------------------------------------


def test_number_of_parameters() -> None:
    """Two encoders of the one-level models a sensor, one layer to join, one head."""
    two = (PAPER["image"], PAPER["label"])
    model, mvae = (make_model(name, two, levels=1) for name in ("gmc", "mvae"))
    encoders = sum(trainable(mvae.bottoms[name].encoder) for name in ("image", "label"))
    join, hidden, last = 2 * 512 * 512 + 512, 512 * 512 + 512, 512 * 16 + 16
    assert trainable(model) == 2 * encoders + join + hidden + last
    assert not model.top_decoders


def test_networks_of_ones_own_need_no_decoder() -> None:
    odd = Modality("grid", (2, 3, 2, 2), kind="touch", latent_dim=3)
    model = make_model("gmc", (odd,), networks={"grid": linear_networks}, width=8)
    assert model.encode({"grid": torch.rand(4, 2, 3, 2, 2)}).shape == (4, 16)


def test_bottoms_of_other_models_are_not_its_own() -> None:
    gmc, nexus = make((VECTOR,), "gmc"), make((VECTOR,), levels=1)
    for model, source in ((gmc, nexus), (nexus, gmc)):
        with pytest.raises(UserError, match="modality 'vector': the bottoms of gmc"):
            model.freeze_bottom("vector", source)
    gmc.freeze_bottom("vector", make((VECTOR,), "gmc"))
    assert gmc.bottoms["vector"].frozen


# -- What it cannot do -----------------------------------------------------------


def test_it_only_encodes() -> None:
    model, batch = shared("gmc", "zero", 1), batch_of()
    z = torch.zeros(6, 4)
    for call in (
        lambda: model.posterior(batch),
        lambda: model.encode(batch, sample=True),
        lambda: model.decode(z, ["image"]),
        lambda: model.codes(z),
        lambda: model.decode_codes({"image": z}),
        lambda: model.generate(batch, targets=["image"]),
        lambda: model.prior(3),
        lambda: model.reconstruct(batch),
        lambda: draw(make(name="gmc"), batch),
    ):
        with pytest.raises(UserError, match="gmc only encodes"):
            call()


def test_a_run_draws_no_picture_and_goes_on_exactly(tmp_path: Path) -> None:
    data = batch_of((IMAGE, LABEL), rows=30)
    config = {"batch_size": 8, "device": "cpu"}
    for folder, stops in (("whole", [3]), ("parts", [1, 3])):
        for epochs in stops:
            model = make_model("gmc", (IMAGE, LABEL), width=16, latent_dim=4)
            settings = TrainConfig(epochs=epochs, **config)
            resume = epochs != stops[0]
            train(model, data, settings, out=tmp_path / folder, resume=resume)
    whole, parts = (tmp_path / folder for folder in ("whole", "parts"))
    assert not (whole / "pictures").exists()
    for name in ("log.jsonl", "model.safetensors", "best/model.safetensors"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()
    code = load_model(whole).encode(data)
    assert torch.equal(code, model.eval().encode(data))
