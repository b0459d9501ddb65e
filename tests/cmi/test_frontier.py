"""Accuracy against diversity: points, calibrated noise, and ceilings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from worlds import CENTRES, Model, Truth, one_hot, trained, world

from nexus_rl import UserError
from nexus_rl.cmi import evaluate_cmi, frechet_distance
from nexus_rl.cmi.frontier import (
    _ClassGaussians,
    _Noisy,
    _Others,
    code_noise,
    evaluate_frontier,
)
from nexus_rl.cmi.report import Point
from nexus_rl.draws import seeded
from nexus_rl.models import MultimodalVAE

WORLD = world()
JUDGES = Truth(WORLD)


@pytest.fixture(scope="module")
def nexus() -> MultimodalVAE:
    return trained(WORLD)


def by_name(points: tuple[Point, ...]) -> dict[str, Point]:
    return {point.what: point for point in points}


def test_a_two_level_model_has_noise_and_ceilings(nexus: MultimodalVAE) -> None:
    points = by_name(
        evaluate_frontier(nexus, WORLD, "point", noise=(0.5, 1), judges=JUDGES)
    )
    assert [(point.what, point.kind, point.noise) for point in points.values()] == [
        ("mean", "imagined", 0.0),
        ("noise 0.5", "imagined", 0.5),
        ("noise 1", "imagined", 1),
        ("bottom", "reconstruction", None),
        ("bottom, others", "reconstruction", None),
        ("class Gaussian", "baseline", None),
        ("real", "real", None),
    ]
    # The first point is the row of the table, the last what real data reach.
    (row,) = evaluate_cmi(
        nexus, WORLD, [["class"]], targets=["point"], judges=JUDGES
    ).rows
    mean, real = points["mean"], points["real"]
    assert (mean.given, mean.target, mean.model) == (("class",), "point", "nexus")
    assert (mean.accuracy, mean.mfd_class) == (row.accuracy, row.mfd_class)
    assert (real.accuracy, real.mfd_class) == (row.ceiling, row.floor_class)
    # Noise trades accuracy for diversity, and nothing beats the bottoms' diversity.
    assert mean.accuracy > points["noise 0.5"].accuracy > points["noise 1"].accuracy
    assert mean.mfd_class > points["noise 1"].mfd_class > points["bottom"].mfd_class
    others = points["bottom, others"]
    assert others.accuracy == pytest.approx(points["bottom"].accuracy, abs=0.05)
    assert real.mfd_class < others.mfd_class < mean.mfd_class


def test_other_models_have_their_single_point() -> None:
    flat = trained(WORLD, levels=1)
    mine: Any = Model(WORLD, point=lambda batch: CENTRES[batch["class"]])
    for model in (flat, mine):
        points = evaluate_frontier(model, WORLD, "point", judges=JUDGES, name="a")
        assert [(p.what, p.model) for p in points] == [("mean", "a"), ("real", "a")]


def test_calibrated_noise_is_the_top_decoders_error(nexus: MultimodalVAE) -> None:
    """With a decoder that knows nothing, it is the spread of the code itself."""
    model = trained(WORLD)
    for weight in model.top_decoders["point"].parameters():
        weight.data.zero_()
    std = code_noise(model, WORLD, ["class"], "point")
    with torch.no_grad():
        bottom = dict(model.bottom_items())["point"]
        x = bottom.modality.normalise(WORLD.train["point"])
        mean, logvar = bottom.encode(x)
        expected = (mean.var(0) + logvar.exp().mean(0)).sqrt()
    assert torch.allclose(std, expected, rtol=0.06)
    # A decoder that knows the class leaves less unexplained.
    known = code_noise(nexus, WORLD, ["class"], "point", batch_size=100)
    assert 0 < known.norm() < std.norm()


def test_without_its_noise_a_noisy_model_is_the_model(nexus: MultimodalVAE) -> None:
    batch = {"class": WORLD.test["class"]}
    with torch.no_grad():
        z = nexus.encode(batch, sample=True, generator=seeded(3))
        expected = nexus.decode(z, ["point"])["point"]
        quiet = _Noisy(nexus, "point", torch.zeros(4))
        found = quiet.generate(batch, ["point"], seeded(3))["point"]
        assert torch.equal(found, expected)
        loud = _Noisy(nexus, "point", torch.ones(4))
        found = loud.generate(batch, ["point"], seeded(3))["point"]
        assert (found - expected).std() > 0.1


def test_others_are_training_items_of_the_same_class(
    nexus: MultimodalVAE, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nexus, "reconstruct", lambda batch, generator: batch)
    others = _Others(nexus, "point", WORLD, "class")
    classes = WORLD.test["class"]
    for label in (classes, one_hot(classes)):
        found = others.generate({"class": label}, ["point"], seeded(0))["point"]
        train = WORLD.train["point"]
        rows = torch.cdist(found, train).argmin(1)
        assert torch.equal(train[rows], found)
        assert torch.equal(WORLD.train["class"][rows], classes)
        assert len(set(rows.tolist())) > 250  # of 400 drawn from 1200


def test_class_gaussians_have_the_moments_of_their_class(nexus: MultimodalVAE) -> None:
    fitted = _ClassGaussians(nexus, "point", WORLD, "class", 0, 100)
    classes = torch.arange(4).repeat_interleave(4000)
    noise = seeded(5)
    drawn = {}
    bottom = dict(nexus.bottom_items())["point"]
    with torch.inference_mode():
        made = fitted.generate({"class": classes}, ["point"], noise)["point"]
        codes = bottom.encode(bottom.modality.normalise(WORLD.train["point"]))
        sampled = codes.mean + (0.5 * codes.logvar).exp() * torch.randn(
            codes.mean.shape, generator=noise
        )
        real = bottom.decode(sampled)
        for k in range(4):
            drawn[k] = made[classes == k]
            expected = real[WORLD.train["class"] == k]
            gap = frechet_distance(drawn[k], expected)
            assert gap < 0.05 * float(expected.T.cov().trace()), k
    assert set(fitted.means.shape) == {4}


def test_bad_targets_are_refused(nexus: MultimodalVAE) -> None:
    for target, message in (
        ("class", "'class' is a label: it has no MFD"),
        ("colour", "unknown modality 'colour'"),
    ):
        with pytest.raises(UserError, match=message):
            evaluate_frontier(nexus, WORLD, target, judges=JUDGES)
    with pytest.raises(UserError, match="unknown modality 'sound'"):
        evaluate_frontier(nexus, WORLD, "point", given=["sound"], judges=JUDGES)
