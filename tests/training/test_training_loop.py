"""What is trained, on which rows, with which weights and random numbers."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from training_runs import (
    IMAGE,
    LABEL,
    log_lines,
    made_up,
    results,
    settings,
    tiny_model,
    train_tiny,
)

from nexus_rl import Modality, UserError, load_model, make_model, train
from nexus_rl.cmi import evaluate_cmi
from nexus_rl.data import Dataset
from nexus_rl.data.dataset import split_rows
from nexus_rl.training import DivergenceError

# What a unit of each term weighs in the tiny model's loss.
WEIGHTS = {
    "image/reconstruction": 1,
    "image/top": 1,
    "label/reconstruction": 5,
    "label/top": 7,
}
KL_TERMS = ("image/kl", "label/kl", "kl")


def total(record: dict[str, float], part: str, warmup: float) -> float:
    named = sum(weight * record[f"{part}/{term}"] for term, weight in WEIGHTS.items())
    return named + warmup * sum(record[f"{part}/{term}"] for term in KL_TERMS)


# -- Loss ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("warmup_epochs", "factors"),
    [(2, [0.5, 1, 1]), (0, [1, 1, 1]), (6, [1 / 6, 1 / 3])],
)
def test_warmup_scales_every_kl_in_training_and_none_in_validation(
    warmup_epochs: int, factors: list[float]
) -> None:
    epochs = len(factors)
    records = train_tiny(epochs=epochs, warmup_epochs=warmup_epochs).records
    assert [record["warmup"] for record in records] == pytest.approx(factors)
    for record, factor in zip(records, factors, strict=True):
        expected = total(record, "train", factor)
        assert record["train/loss"] == pytest.approx(expected, rel=1e-5)
        expected = total(record, "validation", 1.0)
        assert record["validation/loss"] == pytest.approx(expected, rel=1e-5)


def test_the_loss_falls() -> None:
    data = made_up(rows=200)
    records = train_tiny(data=data, epochs=12, warmup_epochs=0).records
    for term in ("label/reconstruction", "image/reconstruction"):
        first, last = (records[k][f"validation/{term}"] for k in (0, -1))
        assert last < 0.9 * first, term


def test_labels_are_imagined_from_real_images_after_one_short_epoch(
    fashion_mnist: Dataset,
) -> None:
    dataset = fashion_mnist.head(4000, 1000)
    model = make_model("nexus", dataset.modalities, width=128)
    train(model, dataset, settings(epochs=1, batch_size=16, warmup_epochs=20))
    report = evaluate_cmi(model, dataset, [["image"]], samples=1, targets=["label"])
    (from_image,) = report.rows
    assert from_image.accuracy > 0.2  # ten classes: chance is 0.1


# -- Rows ------------------------------------------------------------------------


def test_rows_for_validation_are_never_trained_on() -> None:
    data = made_up()
    _, validation = split_rows(40, seed=0, fraction=0.25)
    changed = {name: column.clone() for name, column in data.items()}
    changed["image"][validation] = 255
    changed["label"][validation] = 2
    records = {}
    for name, rows in (("original", data), ("changed", changed)):
        model = tiny_model()
        result = train_tiny(model=model, data=rows, validation_fraction=0.25)
        records[name] = (result.records, model.state_dict())
    for a, b in zip(records["original"][0], records["changed"][0], strict=True):
        trained = [key for key in a if key.startswith("train/")]
        assert [a[key] for key in trained] == [b[key] for key in trained]
        assert a["validation/loss"] != b["validation/loss"]
    weights = records["original"][1], records["changed"][1]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_without_validation_rows_the_training_loss_chooses_the_best(
    tmp_path: Path,
) -> None:
    result = train_tiny(tmp_path, validation_fraction=0.0, epochs=2, warmup_epochs=0)
    assert not [key for key in result.records[0] if key.startswith("validation")]
    load_model(tmp_path / "best")


@pytest.mark.parametrize(("rows", "steps"), [(16, 2), (17, 2), (18, 3), (7, 1)])
def test_a_last_batch_of_one_row_is_left_out(
    tmp_path: Path, rows: int, steps: int
) -> None:
    train_tiny(tmp_path, data=made_up(rows), validation_fraction=0.0, epochs=2)
    state = torch.load(tmp_path / "training.pt", weights_only=True)["adam"]["state"]
    assert {int(entry["step"]) for entry in state.values()} == {2 * steps}


def test_a_dataset_is_trained_on_its_training_part(finished: Path) -> None:
    train_part, test_part = made_up(), made_up(seed=9)
    dataset = Dataset("made up", (IMAGE, LABEL), train_part, test_part)
    by_name = train_tiny(data=train_part, epochs=1).records
    model = tiny_model()
    assert train(model, dataset, settings(epochs=1)).records == by_name


# -- Random numbers --------------------------------------------------------------


def test_the_global_random_states_are_left_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()
    train_tiny(tmp_path, epochs=2)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    after = np.random.get_state()
    assert repr(after) == repr(before[2])


def test_the_global_random_states_are_not_read() -> None:
    torch.manual_seed(1)
    first = train_tiny(epochs=2).records
    torch.manual_seed(2)
    np.random.seed(2)
    assert train_tiny(epochs=2).records == first


def test_the_seed_decides(tmp_path: Path, finished: Path) -> None:
    train_tiny(tmp_path / "same")
    assert results(tmp_path / "same") == results(finished)
    first = train_tiny(epochs=1).records
    assert train_tiny(epochs=1, seed=1).records != first
    assert train_tiny(epochs=1, model=tiny_model(seed=1)).records != first


# -- Divergence ------------------------------------------------------------------


def test_a_term_that_is_not_finite_is_named_and_the_checkpoint_stays(
    tmp_path: Path, finished: Path
) -> None:
    folder, model = tmp_path / "run", tiny_model()

    def spoil(record: dict[str, float]) -> None:
        if record["epoch"] == 2:
            torch.nn.init.constant_(model.bottoms["label"].decoder[-1].bias, torch.inf)

    with pytest.raises(DivergenceError) as caught:
        train_tiny(folder, model=model, on_epoch=spoil)
    message = str(caught.value)
    assert "epoch 3, step 1: label/reconstruction is NaN or inf; " in message
    assert f"{folder} keeps the model of epoch 2" in message
    assert log_lines(folder) == 2
    # No weight but the spoilt one has changed, and the run can go on.
    saved = dict(load_model(folder).named_parameters())
    for name, value in model.named_parameters():
        if name != "bottoms.label.decoder.1.bias":
            assert torch.equal(value, saved[name]), name
    train_tiny(folder, resume=True)
    assert results(folder) == results(finished)


@pytest.mark.parametrize("rate", [1e30, 1e39])  # large weights, infinite weights
@pytest.mark.parametrize("batch_size", [8, 64])  # five steps an epoch, one step
@pytest.mark.parametrize("fraction", [0.1, 0.0])
def test_an_absurd_learning_rate_never_spoils_the_checkpoint(
    tmp_path: Path, rate: float, batch_size: int, fraction: float
) -> None:
    with pytest.raises(DivergenceError, match="training diverged in epoch"):
        train_tiny(
            tmp_path,
            learning_rate=rate,
            batch_size=batch_size,
            validation_fraction=fraction,
        )
    for folder in (tmp_path, tmp_path / "best"):
        if folder == tmp_path or folder.exists():
            weights = load_model(folder).state_dict()
            assert all(value.isfinite().all() for value in weights.values())
    assert "NaN" not in (tmp_path / "log.jsonl").read_text()


def test_diverging_without_a_folder() -> None:
    with pytest.raises(DivergenceError, match="nothing is kept without a folder"):
        train_tiny(learning_rate=1e30)


# -- Data that do not fit --------------------------------------------------------


def refused(message: str, tmp_path: Path, **options: object) -> None:
    """Training is refused with this message, before it touches the disk."""
    with pytest.raises(UserError, match=message):
        train_tiny(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_values_out_of_range_are_refused_by_name(tmp_path: Path) -> None:
    data = made_up()
    bright = data | {"image": data["image"].float()}
    refused(
        r"'image': values (from )?0 to 2\d\d lie outside \[0, 1\]",
        tmp_path,
        data=bright,
    )
    broken = data | {"image": data["image"] / 255}
    broken["image"][3, 0, 2, 2] = torch.nan
    refused("'image': values (from )?nan to nan", tmp_path, data=broken)
    labels = data["label"].clone()
    labels[7] = 3
    refused("'label': values (from )?0 to 3", tmp_path, data=data | {"label": labels})


def test_modalities_and_rows_must_match(tmp_path: Path) -> None:
    data = made_up()
    refused(
        "image, label, but the data hold image", tmp_path, data={"image": data["image"]}
    )
    extra = data | {"sound": data["image"]}
    refused("but the data hold image, label, sound", tmp_path, data=extra)
    short = data | {"label": data["label"][:-1]}
    refused("same number of rows", tmp_path, data=short)
    flat = data | {"image": data["image"].flatten(1)}
    refused(r"'image': expected a tensor \(B, 1, 8, 8\)", tmp_path, data=flat)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_too_few_rows(tmp_path: Path, rows: int) -> None:
    refused(f"{rows} rows of data are too few", tmp_path, data=made_up(rows))


def test_two_rows_are_enough() -> None:
    records = train_tiny(data=made_up(2), validation_fraction=0.0, epochs=1).records
    assert len(records) == 1


@pytest.mark.parametrize("stage", ["bottom", "top"])
def test_stages_need_two_levels(tmp_path: Path, stage: str) -> None:
    refused(
        f"stage '{stage}' needs a model with two levels",
        tmp_path,
        model=tiny_model(levels=1),
        stage=stage,
    )


def test_devices_that_are_not_there(tmp_path: Path) -> None:
    count = torch.cuda.device_count()
    for device in ["cuda"] if count == 0 else [f"cuda:{count}"]:
        refused("is not there.*--device cpu", tmp_path, device=device)
    for device in ("gpu", "tpu:0", ""):
        refused(f"unknown device '{device}': expected auto", tmp_path, device=device)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch_size", 1),
        ("warmup_epochs", -1),
        ("picture_every", -1),
        ("seed", -1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("validation_fraction", 1.0),
        ("validation_fraction", -0.1),
    ],
)
def test_settings_out_of_range_are_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(UserError, match=field):
        settings(**{field: value})


def test_other_ranges_and_kinds_are_trained_on_too() -> None:
    """A vector in [-2, 2] beside an image of odd sides, with one level."""
    random = torch.Generator().manual_seed(0)
    modalities = (
        Modality("image", (1, 9, 7)),
        Modality("angle", (3,), low=-2, high=2),
    )
    data = {
        "image": torch.rand(20, 1, 9, 7, generator=random),
        "angle": torch.rand(20, 3, generator=random) * 4 - 2,
    }
    model = tiny_model(modalities=modalities, levels=1)
    (record,) = train_tiny(model=model, data=data, epochs=1).records
    assert {key for key in record if key.startswith("train/")} == {
        *("train/loss", "train/image/top", "train/angle/top", "train/kl")
    }
