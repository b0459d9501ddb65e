"""Fréchet distances and coherence: closed forms, and what they notice."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean
from typing import Any

import pytest
import torch
from torch import Tensor
from worlds import (
    CENTRES,
    WORLD,
    Truth,
    function,
    measured,
    one_hot,
    rows,
    trained,
)

from nexus_rl.cmi import frechet_distance
from nexus_rl.cmi.report import Row
from nexus_rl.cmi.tally import matched_rows
from nexus_rl.models import MultimodalVAE


@pytest.fixture(scope="module")
def nexus() -> MultimodalVAE:
    return trained(WORLD)


# -- MFD -------------------------------------------------------------------------


def test_mfd_is_that_of_the_first_samples_of_each_class(nexus: MultimodalVAE) -> None:
    seen: dict[str, list[Tensor]] = {"class": [], "point": []}

    class Watched:
        modalities, device = nexus.modalities, nexus.device

        def generate(self, batch: Any, targets: Any, **options: Any) -> Any:
            found = nexus.generate(batch, targets=targets, **options)
            seen["point"].append(found["point"].clone())
            return found

    def watched(samples: int) -> tuple[Row, Tensor]:
        seen["point"].clear()
        (row,) = measured(
            _sampling_only(Watched()), [["class"]], samples, targets=["point"]
        ).rows
        return row, torch.cat(seen["point"][::samples])

    test, judges = WORLD.test, Truth(WORLD)
    for samples in (1, 3):
        row, first = watched(samples)
        assert len(first) == row.n == 400
        expected = fmean(
            frechet_distance(
                judges.features("point", test["point"][chosen], test["class"][chosen]),
                judges.features("point", first[chosen], test["class"][chosen]),
            )
            for chosen in (test["class"] == k for k in range(4))
        )
        assert row.mfd_class == pytest.approx(expected, rel=1e-5)
        assert row.mfd_pooled == pytest.approx(
            frechet_distance(test["point"], first), rel=1e-5
        )


def _sampling_only(model: Any) -> Any:
    """The model with calls for one sample at a time, and none for means."""

    class One:
        modalities, device = model.modalities, model.device

        def generate(self, batch: Any, targets: Any, generator: Any) -> Any:
            return model.generate(batch, targets, generator=generator)

    return One()


def test_prototypes_have_perfect_accuracy_and_a_bad_mfd() -> None:
    """Why accuracy is never quoted alone; the MFD of a centre is the class's spread."""
    found = rows(measured(function()))
    prototype, perfect = found["class -> point"], found["point -> point"]
    assert prototype.accuracy == 1.0 > perfect.accuracy
    assert perfect.mfd_class == pytest.approx(0, abs=1e-6)
    test = WORLD.test
    spread = []
    for k in range(4):
        chosen = test["point"][test["class"] == k].double()
        shift = (chosen.mean(0) - CENTRES[k]).square().sum()
        spread.append(float(shift + chosen.T.cov().trace()))
    assert prototype.mfd_class == pytest.approx(fmean(spread), rel=1e-4)
    assert prototype.floor_class is not None and prototype.mfd_class is not None
    assert prototype.floor_class < 0.1 * prototype.mfd_class


def test_pooled_mfd_does_not_notice_wrong_classes_and_class_mfd_does() -> None:
    order = torch.randperm(400, generator=torch.Generator().manual_seed(0))

    def any_point(batch: Any) -> Tensor:
        return WORLD.test["point"][order]

    report = measured(
        function(point=any_point), [["class"]], samples=1, targets=["point"]
    )
    (row,) = report.rows
    assert row.mfd_pooled == pytest.approx(0, abs=1e-6)
    assert row.mfd_class is not None and row.mfd_class > 1
    assert row.accuracy < 0.4


def test_the_floor_has_as_many_items_of_each_class() -> None:
    report = measured(function(), [["class"]], targets=["point"])
    (row,) = report.rows
    chosen = matched_rows(WORLD.train["class"], WORLD.test["class"])
    assert len(set(chosen.tolist())) == len(chosen) == row.n_floor == row.n == 400
    counts = WORLD.test["class"].bincount()
    assert torch.equal(WORLD.train["class"][chosen].bincount(), counts)
    real = [WORLD.train["point"][chosen], WORLD.test["point"]]
    assert row.floor_pooled == pytest.approx(frechet_distance(*real), rel=1e-4)
    assert (row.d_class, row.d_pooled) == (2, 2)
    # Where training items are too few, all are taken.
    few = replace(WORLD, train={name: x[:100] for name, x in WORLD.train.items()})
    (row,) = measured(function(), [["class"]], targets=["point"], dataset=few).rows
    assert (row.n, row.n_floor) == (400, 100)


def test_labels_have_no_mfd_and_unwanted_ones_are_not_measured() -> None:
    for kinds in ((), ("class",), ("pooled",), ("class", "pooled")):
        found = rows(measured(function(), frechet=kinds))
        label, point = found["point -> class"], found["class -> point"]
        assert label.mfd_class is label.mfd_pooled is label.n is None
        assert (point.mfd_class is not None) == ("class" in kinds)
        assert (point.floor_pooled is not None) == ("pooled" in kinds)


# -- Coherence -------------------------------------------------------------------


def test_coherence_is_how_often_all_modalities_agree() -> None:
    model: Any = function()

    def prior(rows: int, *, targets: Any, generator: torch.Generator) -> Any:
        classes = torch.arange(rows) % 4
        wrong = (torch.arange(rows) % 5 == 0).long()
        return {"point": CENTRES[(classes + wrong) % 4], "class": one_hot(classes)}

    model.prior = prior
    (coherence,) = measured(model, batch_size=100).coherence
    assert coherence.agreement == 0.8
    assert coherence.modalities == ("point", "class")
    assert coherence.n == 400
    assert measured(model, targets=["point"]).coherence == ()
    assert measured(function()).coherence == ()
