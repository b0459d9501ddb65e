"""Cross-modality inference, measured: against counting, closed forms, and bad input."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean
from typing import Any

import pytest
import torch
from torch import Tensor
from worlds import (
    CENTRES,
    CLASS,
    POINT,
    Model,
    Truth,
    one_hot,
    quadrant,
    trained,
    world,
)

from nexus_rl import Modality, UserError
from nexus_rl.cmi import Report, evaluate_cmi, frechet_distance
from nexus_rl.cmi.report import Row
from nexus_rl.cmi.tally import matched_rows
from nexus_rl.data import Dataset
from nexus_rl.models import MultimodalVAE

WORLD = world()


@pytest.fixture(scope="module")
def nexus() -> MultimodalVAE:
    return trained(WORLD)


def function(dataset: Dataset = WORLD, **changes: Any) -> Model:
    """Says the quadrant of a point, and puts every class at its centre."""

    def point(batch: Any) -> Tensor:
        return batch["point"] if "point" in batch else CENTRES[batch["class"]]

    def label(batch: Any) -> Tensor:
        return one_hot(quadrant(batch["point"]) if "point" in batch else batch["class"])

    return Model(dataset, **({"point": point, "class": label} | changes))


def measured(
    model: Any, *arguments: Any, dataset: Dataset = WORLD, **more: Any
) -> Report:
    return evaluate_cmi(
        model, dataset, *arguments, **({"judges": Truth(dataset)} | more)
    )


def rows(report: Report) -> dict[str, Row]:
    return {row.direction: row for row in report.rows}


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
    zeros = {m.name: lambda batch, m=m: torch.zeros(_rows(batch), *m.shape)
             for m in three.modalities}  # fmt: skip
    report = measured(Model(three, **zeros), dataset=three, frechet=())
    kinds = {direction: row.kind for direction, row in rows(report).items()}
    assert len(kinds) == 7 * 3
    assert kinds["point -> point"] == "single"
    assert kinds["point, sound, class -> sound"] == "joint"
    assert kinds["point, class -> sound"] == kinds["sound -> class"] == "cross"
    assert kinds["point, class -> point"] == "partial"


def _rows(batch: Any) -> int:
    return len(next(iter(batch.values())))


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


# -- Bad input -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"subsets": [["pont"]]}, "unknown modality 'pont'. Did you mean 'point'"),
        ({"subsets": ["point"]}, r"list of modality names, e.g. \['point'\]"),
        ({"subsets": "some"}, 'subsets must be "all"'),
        ({"subsets": [[]]}, "at least one modality"),
        ({"subsets": []}, "at least one subset"),
        ({"targets": ["colour"]}, "unknown modality 'colour'"),
        ({"targets": []}, "at least one modality"),
        ({"frechet": ["clas"]}, "unknown kind of MFD 'clas'. Did you mean 'class'"),
        ({"frechet": "class"}, "list of kinds"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        measured(function(), **options)


def test_a_model_of_other_modalities_is_refused() -> None:
    model = function()
    for modality, message in (
        (
            POINT.replace(name="colour"),
            "unknown modality of dataset 'world'.* 'colour'",
        ),
        (Modality("point", (3,), low=-4, high=4), r"shape is \(3,\) in the model but"),
        (POINT.replace(low=0.0), "low is 0.0 in the model but -4 in dataset 'world'"),
    ):
        model.modalities = (modality, CLASS)
        with pytest.raises(UserError, match=message):
            measured(model)
    with pytest.raises(UserError, match="a str cannot be evaluated"):
        measured("runs/mine")


def test_data_that_cannot_be_measured_on_are_refused() -> None:
    empty = replace(WORLD, test={name: x[:0] for name, x in WORLD.test.items()})
    with pytest.raises(UserError, match="'world' has no test items"):
        measured(function(), dataset=empty)
    chosen = WORLD.test["class"] != 2
    lacking = replace(WORLD, test={name: x[chosen] for name, x in WORLD.test.items()})
    with pytest.raises(UserError, match="class 2 has 0 in test of dataset 'world'"):
        measured(function(), dataset=lacking)
    measured(function(), dataset=lacking, frechet=["pooled"])
    measured(function(), dataset=lacking, targets=["class"])


@pytest.mark.parametrize(
    ("point", "message"),
    [
        (
            lambda batch: torch.zeros(_rows(batch), 3),
            r"'point' of shape \(10, 200, 3\)",
        ),
        (lambda batch: torch.zeros(7, 2), r"expected .* \(10, 200, 2\)"),
        (lambda batch: torch.full((_rows(batch), 2), torch.nan), "not finite"),
    ],
)
def test_what_a_model_returns_is_checked(point: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        measured(function(point=point))


def test_a_model_that_leaves_out_a_target_is_told() -> None:
    class Silent:
        modalities = WORLD.modalities

        def generate(self, batch: Any, targets: Any, samples: int) -> dict[str, Tensor]:
            return {"point": torch.zeros(samples, _rows(batch), 2)}

    with pytest.raises(UserError, match="asked for 'class' but returned point"):
        measured(Silent())
