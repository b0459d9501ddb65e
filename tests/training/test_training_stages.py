"""Training one level after the other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from training_runs import made_up, results, settings, tiny_model, train_tiny

from nexus_rl import TrainConfig, UserError, load_model, make_model, train
from nexus_rl.columns import Columns, bottom_posteriors, take
from nexus_rl.data import Dataset
from nexus_rl.draws import seeded
from nexus_rl.models import MultimodalVAE

BOTTOM_TERMS = {
    *("image/reconstruction", "image/kl"),
    *("label/reconstruction", "label/kl"),
}
TOP_TERMS = {"image/top", "label/top", "kl"}


def copy_of(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(before: dict[str, Tensor], module: torch.nn.Module) -> set[str]:
    """Names of weights and statistics that are no longer what they were."""
    after = module.state_dict()
    return {name for name in before if not torch.equal(before[name], after[name])}


def is_bottom(name: str) -> bool:
    return name.startswith("bottoms.")


@pytest.mark.parametrize("stage", ["bottom", "top"])
def test_a_stage_changes_its_own_level_alone(stage: str) -> None:
    model = tiny_model()
    before = copy_of(model)
    train_tiny(model=model, stage=stage)
    found = changed(before, model)
    own = {name for name in before if is_bottom(name) == (stage == "bottom")}
    assert found <= own
    weights = {name for name, _ in model.named_parameters()} & own
    assert weights <= found, "some weights of the level were not trained"
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_frozen_bottoms_stay_frozen() -> None:
    source, model = tiny_model(seed=1), tiny_model()
    for modality in model.modalities:
        model.freeze_bottom(modality.name, source)
    before = copy_of(model)
    train_tiny(model=model, stage="top")
    assert not [name for name in changed(before, model) if is_bottom(name)]
    assert not any(p.requires_grad for p in model.bottoms.parameters())


def test_one_frozen_bottom_stays_as_it_was_in_joint_training() -> None:
    model = tiny_model()
    model.freeze_bottom("label", tiny_model(seed=1))
    before = copy_of(model)
    (record, *_) = train_tiny(model=model).records
    found = changed(before, model)
    assert not [name for name in found if name.startswith("bottoms.label.")]
    assert [name for name in found if name.startswith("bottoms.image.")]
    assert "train/label/kl" not in record and "train/label/top" in record


def test_the_stages_together_have_the_terms_of_joint_training() -> None:
    def terms(stage: str) -> set[str]:
        (record,) = train_tiny(stage=stage, epochs=1).records
        parts = {key.partition("/")[2] for key in record if "/" in key}
        return parts - {"loss"}

    assert terms("bottom") == BOTTOM_TERMS
    assert terms("top") == TOP_TERMS
    assert terms("joint") == BOTTOM_TERMS | TOP_TERMS


def bottoms_trained() -> MultimodalVAE:
    model = tiny_model()
    train_tiny(model=model, stage="bottom")
    return model


def test_cached_posteriors_are_those_computed_on_the_fly() -> None:
    model, data = bottoms_trained(), made_up()
    cached = bottom_posteriors(model, data)
    model.eval()
    for modality in model.modalities:
        x = modality.normalise(data[modality.name])
        mean, logvar = model.bottoms[modality.name].encode(x)
        torch.testing.assert_close(cached[modality.name][0], mean)
        torch.testing.assert_close(cached[modality.name][1], logvar)


def test_cached_posteriors_are_the_same_in_chunks_and_leave_the_mode() -> None:
    model, data = tiny_model(), made_up(1001)
    model.train()
    before = copy_of(model)
    cached = bottom_posteriors(model, data)
    assert model.training
    assert changed(before, model) == set()
    one = bottom_posteriors(model, take(data, torch.tensor([1000])))
    for name, (mean, logvar) in cached.items():
        assert len(mean) == 1001
        torch.testing.assert_close(mean[1000:], one[name][0])
        torch.testing.assert_close(logvar[1000:], one[name][1])


def test_the_loss_is_the_same_from_cached_posteriors_and_from_data() -> None:
    model, data = bottoms_trained(), made_up()
    for modality in model.modalities:
        model.freeze_bottom(modality.name)
    model.train()
    cached = bottom_posteriors(model, data)
    losses = [
        model.loss(batch, stage="top", generator=seeded(3)) for batch in (data, cached)
    ]
    torch.testing.assert_close(losses[0].total, losses[1].total)
    assert set(losses[0].terms) == set(losses[1].terms) == TOP_TERMS
    for name, value in losses[0].terms.items():
        torch.testing.assert_close(value, losses[1].terms[name])


def test_the_top_is_trained_on_real_data(
    tmp_path: Path, fashion_mnist: Dataset
) -> None:
    dataset = fashion_mnist.head(256, 1)
    bottoms = make_model("nexus", dataset.modalities, width=16)
    train(bottoms, dataset, settings(stage="bottom", epochs=1), out=tmp_path)
    model = make_model("nexus", dataset.modalities, width=16, seed=1)
    source = load_model(tmp_path)
    for modality in dataset.modalities:
        model.freeze_bottom(modality.name, source)
    records = train(
        model, dataset, settings(stage="top", epochs=2, learning_rate=0.01)
    ).records
    assert records[1]["validation/loss"] < records[0]["validation/loss"]
    assert changed(copy_of(source.bottoms), model.bottoms) == set()


def test_a_staged_run_resumes_exactly(tmp_path: Path) -> None:
    """The posteriors are computed again from bottoms that have not changed."""
    for name, lengths in (("whole", [3]), ("parts", [1, 3])):
        for epochs in lengths:
            train_tiny(
                tmp_path / name, stage="top", epochs=epochs, resume=epochs != lengths[0]
            )
    assert results(tmp_path / "parts") == results(tmp_path / "whole")


def test_posteriors_of_other_bottoms_are_for_the_top_alone() -> None:
    data, model = made_up(), bottoms_trained()
    cached = bottom_posteriors(model, data)
    asked: list[int] = []

    def posteriors(epoch: int) -> Columns:
        asked.append(epoch)
        return cached

    options = {"epochs": 2, "batch_size": 8, "warmup_epochs": 0, "device": "cpu"}
    own, given = bottoms_trained(), bottoms_trained()
    plain = train(own, data, TrainConfig(stage="top", **options))
    other = train(
        given, data, TrainConfig(stage="top", **options), posteriors=posteriors
    )
    assert plain.records == other.records and sorted(set(asked)) == [1, 2]
    for stage in ("joint", "bottom"):
        with pytest.raises(UserError, match=f"for stage 'top', not '{stage}'"):
            config = TrainConfig(stage=stage, **options)
            train(model, data, config, posteriors=posteriors)
