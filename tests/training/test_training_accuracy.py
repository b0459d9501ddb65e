"""Accuracy of imagined labels, against counting one by one."""

from __future__ import annotations

import pytest
import torch
from training_runs import IMAGE, LABEL, made_up, tiny_model, train_tiny

from nexus_rl import Modality, UserError
from nexus_rl.cmi import accuracy
from nexus_rl.cmi.accuracy import label_accuracy
from nexus_rl.draws import seeded
from nexus_rl.modality import subsets
from nexus_rl.models import MultimodalVAE


@pytest.fixture(scope="module")
def model() -> MultimodalVAE:
    model = tiny_model()
    train_tiny(model=model, data=made_up(200), epochs=5, warmup_epochs=0)
    return model


@pytest.mark.parametrize("given", [["image"], ["label"], ["image", "label"]])
def test_with_posterior_means_it_is_a_count_of_right_answers(
    model: MultimodalVAE, given: list[str]
) -> None:
    batch = made_up(30, seed=5)
    right = 0
    for row in range(30):
        source = {name: batch[name][row : row + 1] for name in given}
        imagined = model.generate(source, targets=["label"], sample=False)["label"]
        right += int(imagined[0].argmax()) == int(batch["label"][row])
    found = label_accuracy(model, batch, "label", given, samples=1)[1]
    assert found == right / 30
    assert 0 < right < 30 or given != ["image"], "an easier or harder set is needed"


def test_with_samples_it_is_the_mean_over_replicates(model: MultimodalVAE) -> None:
    batch = made_up(30, seed=5)
    noise, right = seeded(4), 0
    for _ in range(3):
        imagined = model.generate(
            {"image": batch["image"]}, targets=["label"], generator=noise
        )["label"]
        right += int((imagined.argmax(1) == batch["label"]).sum())
    found = label_accuracy(model, batch, "label", ["image"], samples=3, seed=4)[0]
    assert found == right / 90


def test_neither_mode_nor_chunks_nor_one_hot_labels_matter(
    model: MultimodalVAE, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = made_up(30, seed=5)
    expected = label_accuracy(model, batch, "label", ["image"], samples=1)[1]
    monkeypatch.setattr(accuracy, "CHUNK", 7)
    model.train()
    one_hot = torch.nn.functional.one_hot(batch["label"].long(), 3).float()
    found = label_accuracy(
        model, batch | {"label": one_hot}, "label", ["image"], samples=1
    )
    assert found[1] == expected


def test_subsets_are_all_non_empty_ones() -> None:
    assert list(subsets("abc")) == [
        *[("a",), ("b",), ("c",)],
        *[("a", "b"), ("a", "c"), ("b", "c")],
        ("a", "b", "c"),
    ]


def test_the_target_must_be_a_label(model: MultimodalVAE) -> None:
    batch = made_up(4)
    for target in ("image", "colour"):
        with pytest.raises(UserError, match=f"'{target}' is not a label.*: label"):
            label_accuracy(model, batch, target, ["image"])
    blind = tiny_model(modalities=(IMAGE, Modality("angle", (2,))))
    with pytest.raises(UserError, match="its labels: none"):
        label_accuracy(blind, batch, "label", ["image"])


def test_unknown_sources_and_too_few_samples_are_refused(model: MultimodalVAE) -> None:
    batch = made_up(4)
    assert LABEL.name in batch
    with pytest.raises(UserError, match="colour"):
        label_accuracy(model, batch, "label", ["colour"])
    with pytest.raises(UserError, match="samples"):
        label_accuracy(model, batch, "label", ["image"], samples=0)
