"""Cross-modality inference, measured: accuracy, against counting."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from worlds import (
    POINT,
    WORLD,
    Model,
    Truth,
    function,
    measured,
    one_hot,
    quadrant,
    rows,
    rows_of,
    trained,
    world,
)

from nexus_rl.cmi import Report
from nexus_rl.data import Dataset
from nexus_rl.models import MultimodalVAE


@pytest.fixture(scope="module")
def nexus() -> MultimodalVAE:
    return trained(WORLD)


# -- Accuracy --------------------------------------------------------------------


def test_accuracy_of_a_deterministic_model_is_a_count() -> None:
    found = rows(measured(function()))
    test = WORLD.test
    right = (quadrant(test["point"]) == test["class"]).float().mean().item()
    assert 0.9 < right < 1
    for direction, expected in (
        ("point -> class", right),
        ("class -> point", 1.0),
        ("class -> class", 1.0),
        ("point -> point", right),
        ("point, class -> class", right),
    ):
        row = found[direction]
        assert row.accuracy == row.accuracy_means == pytest.approx(expected)
    assert found["class -> point"].ceiling == pytest.approx(right)


def test_batched_accuracy_is_that_of_replicating_each_item(
    nexus: MultimodalVAE,
) -> None:
    few, samples = WORLD.head(400, 60), 40
    found = rows(measured(nexus, samples=samples, dataset=few))
    noise = torch.Generator().manual_seed(9)
    judges = Truth(few)
    for row in found.values():
        shares, means = [], []
        for k in range(60):
            item = {name: few.test[name][k : k + 1] for name in row.given}
            replicas = {
                name: x.repeat_interleave(samples, 0) for name, x in item.items()
            }
            target = [row.target]
            drawn = nexus.generate(replicas, targets=target, generator=noise)
            mean = nexus.generate(item, targets=target, sample=False)
            truth = few.test["class"][k]
            right = judges.classify(row.target, drawn[row.target]) == truth
            shares.append(right.float().mean())
            right = judges.classify(row.target, mean[row.target]) == truth
            means.append(right.float().mean())
        assert row.accuracy_means == pytest.approx(float(torch.stack(means).mean()))
        p = torch.stack(shares)
        error = float((p * (1 - p) / samples).mean().div(60).sqrt())
        assert abs(row.accuracy - float(p.mean())) <= 4 * (2**0.5) * error + 1e-6
    assert 0.3 < found["point -> class"].accuracy < 0.999, "an easy or hopeless set"


def test_every_direction_has_the_papers_name() -> None:
    three = world(400, "point", "sound", "class")
    zeros = {m.name: lambda batch, m=m: torch.zeros(rows_of(batch), *m.shape)
             for m in three.modalities}  # fmt: skip
    report = measured(Model(three, **zeros), dataset=three, frechet=())
    kinds = {direction: row.kind for direction, row in rows(report).items()}
    assert len(kinds) == 7 * 3
    assert kinds["point -> point"] == "single"
    assert kinds["point, sound, class -> sound"] == "joint"
    assert kinds["point, class -> sound"] == kinds["sound -> class"] == "cross"
    assert kinds["point, class -> point"] == "partial"


def test_cross_only_measures_the_same_without_given_targets(
    nexus: MultimodalVAE,
) -> None:
    found = measured(nexus, samples=2, cross_only=True)
    every = measured(nexus, samples=2)
    assert found.rows == tuple(row for row in every.rows if row.kind == "cross")
    assert found.coherence == every.coherence
    (row,) = measured(nexus, targets=["class"], cross_only=True).rows
    assert row.direction == "point -> class"


def test_a_model_without_samples_is_called_once_a_sample() -> None:
    class Coin:
        """Right in every second call; knows no options."""

        modalities = WORLD.modalities
        calls = 0

        def generate(self, batch: Any, targets: Any) -> dict[str, Tensor]:
            self.calls += 1
            return {"class": one_hot((batch["class"] + self.calls % 2) % 4)}

    coin = Coin()
    report = measured(coin, [["class"]], samples=4, targets=["class"], batch_size=1600)
    (row,) = report.rows
    assert (row.accuracy, row.accuracy_means, row.model) == (0.5, None, "Coin")
    assert coin.calls == 4


def test_one_hot_labels_and_a_model_of_fewer_modalities_are_fine() -> None:
    parts = [{**x, "class": one_hot(x["class"])} for x in (WORLD.train, WORLD.test)]
    hot = Dataset("hot", WORLD.modalities, *parts)
    blind = Model(world(400, "point", "class"), point=lambda batch: batch["point"])
    blind.modalities = (POINT,)
    (row,) = measured(blind, dataset=hot).rows
    assert (row.direction, row.kind) == ("point -> point", "single")
    expected = quadrant(WORLD.test["point"]) == WORLD.test["class"]
    assert row.accuracy == pytest.approx(float(expected.float().mean()))
    assert row.mfd_class == pytest.approx(0, abs=1e-6)


# -- Seeds, batches, modes -----------------------------------------------------------


def test_the_same_seed_gives_the_same_numbers(nexus: MultimodalVAE) -> None:
    nexus.train()  # it is put into eval mode
    first = measured(nexus, samples=2)
    assert measured(nexus, samples=2) == first
    assert measured(nexus, samples=2, seed=1).rows != first.rows
    # A subset's numbers do not depend on what else is asked for.
    alone = measured(nexus, [["point"]], samples=2, targets=["class"])
    assert alone.rows[0] == rows(first)["point -> class"]
    again = measured(nexus, [["class", "point"], ["point", "class"]], samples=2)
    assert [row.direction for row in again.rows] == [
        *["point, class -> point", "point, class -> class"],
    ]


@pytest.mark.parametrize(("batch_size", "most"), [(7, 10), (100, 100), (5000, 4000)])
def test_batches_bound_memory_and_change_nothing(batch_size: int, most: int) -> None:
    model = function()
    found = measured(model, batch_size=batch_size)
    assert model.most == most
    expected = rows(measured(function()))
    for row in found.rows:
        other = expected[row.direction]
        assert row.accuracy == other.accuracy
        if row.mfd_class is not None:
            assert row.mfd_class == pytest.approx(other.mfd_class, rel=1e-6, abs=1e-9)


def test_the_report_says_how_it_was_made() -> None:
    report = measured(function(), samples=3, seed=5, name="mine", frechet=("pooled",))
    assert report.settings == {
        **{"dataset": "world", "items": 400, "classes": 4, "samples": 3},
        **{"frechet": ["pooled"], "seed": 5, "batch_size": 2000},
    }
    assert report.judges == {"judges": "truth"}
    assert report.models == ("mine",)
    assert Report.from_json(report.to_json()) == report
