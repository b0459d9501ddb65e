"""What cannot be evaluated is refused in one clear message."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from worlds import (
    CLASS,
    POINT,
    WORLD,
    function,
    measured,
    quadrant,
    rows_of,
)

from nexus_rl import Modality, UserError, make_model
from nexus_rl.cmi import Judges, evaluate_cmi


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
        ({"samples": 2.5}, "samples must be a whole number, got 2.5"),
        ({"batch_size": "9"}, "batch_size must be a whole number, got '9'"),
        ({"subsets": [["class", 3]]}, "expected names of modalities, got 3"),
        ({"subsets": [None]}, "as a subset, got None"),
        ({"subsets": 5}, 'at least one subset, or "all", got 5'),
        ({"subsets": [3]}, "expected a list of modality names"),
        ({"targets": 3}, "expected a list of modality names"),
        ({"frechet": None}, "list of kinds of MFD, .* got None"),
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


def test_a_model_that_only_encodes_is_refused() -> None:
    with pytest.raises(UserError, match="a GMC cannot be evaluated: a model needs"):
        measured(make_model("gmc", (POINT, CLASS), width=8))


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
            lambda batch: torch.zeros(rows_of(batch), 3),
            r"'point' of shape \(10, 200, 3\)",
        ),
        (lambda batch: torch.zeros(7, 2), r"expected .* \(10, 200, 2\)"),
        (lambda batch: torch.full((rows_of(batch), 2), torch.nan), "not finite"),
    ],
)
def test_what_a_model_returns_is_checked(point: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        measured(function(point=point))


def test_a_model_that_leaves_out_a_target_is_told() -> None:
    class Silent:
        modalities = WORLD.modalities

        def generate(self, batch: Any, targets: Any, samples: int) -> dict[str, Tensor]:
            return {"point": torch.zeros(samples, rows_of(batch), 2)}

    class SilentOnce:
        modalities = WORLD.modalities

        def generate(self, batch: Any, targets: Any) -> dict[str, Tensor]:
            return {"point": torch.zeros(rows_of(batch), 2)}

    for model in (Silent(), SilentOnce()):
        with pytest.raises(UserError, match="asked for 'class' but returned point"):
            measured(model)


def test_arrays_are_taken_and_other_things_refused() -> None:
    class Made:
        modalities = WORLD.modalities

        def __init__(self, made: Any) -> None:
            self.made = made

        def generate(self, batch: Any, targets: Any) -> Any:
            return self.made

    arrays = Made({"point": np.zeros((400, 2)), "class": np.eye(4)[[0] * 400]})
    found = measured(arrays, samples=1, batch_size=400, frechet=())
    assert found.rows[0].accuracy < 0.5
    turned = {"point": np.zeros((400, 2))[::-1], "class": np.eye(4)[[0] * 400] > 0}
    more = {"said": "nothing that was asked for"}
    again = measured(Made(turned | more), samples=1, batch_size=400, frechet=())
    assert again.rows == found.rows
    for made, message in (
        ([torch.zeros(400, 2)], "must return data by name, got list"),
        ({"point": "nothing"}, "made 'point' a str, expected a tensor"),
        ({"point": torch.zeros(400, 2).cfloat()}, "made 'point' a Tensor, expected"),
    ):
        with pytest.raises(UserError, match=message):
            measured(Made(made))


def test_a_distribution_called_prior_draws_no_samples() -> None:
    model = function()
    model.prior = torch.distributions.Normal(0, 1)
    assert measured(model).coherence == ()


def test_a_prior_that_takes_something_else_is_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = function()
    model.prior = lambda batch: batch
    assert measured(model).coherence == ()
    assert "prior does not take (rows, targets=..., generator=...)" in caplog.text


def test_a_second_label_needs_a_classifier_of_its_own() -> None:
    colour = Modality("colour", (3,), "categorical")
    data = {
        part: {**rows, "colour": torch.arange(len(rows["class"])) % 3}
        for part, rows in (("train", WORLD.train), ("test", WORLD.test))
    }
    two = replace(WORLD, modalities=(*WORLD.modalities, colour), **data)
    judges = Judges.of(two, classifiers={"point": quadrant})
    options = {"frechet": (), "samples": 1, "judges": judges}
    model = make_model("nexus", two.modalities, levels=1)
    with pytest.raises(UserError, match="those of 'class', which 'colour' does not"):
        evaluate_cmi(model, two, [["point"]], **options)
    rest = evaluate_cmi(model, two, [["point"]], targets=["point", "class"], **options)
    assert {row.target for row in rest.rows} == {"point", "class"}


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        ({"point": torch.zeros(400, 2)}, "prior was asked for 'class'"),
        (
            {"point": torch.zeros(9, 2), "class": torch.zeros(400, 4)},
            r"prior made 'point' of shape \(9, 2\), expected \(rows, \*shape\)",
        ),
    ],
)
def test_joint_samples_are_checked(drawn: dict[str, Tensor], message: str) -> None:
    model = function()
    model.prior = lambda rows, targets, generator: drawn
    with pytest.raises(UserError, match=message):
        measured(model)
