"""Runs of an experiment: stages, shared bottoms, and what a run says of itself."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from worlds import Truth, world

from nexus_rl import TrainConfig, UserError, load_model, make_model, train
from nexus_rl.cmi import evaluate_cmi
from nexus_rl.cmi.experiment import Run, _posterior, train_bottoms, train_model
from nexus_rl.config import ModelConfig
from nexus_rl.files import read_json
from nexus_rl.models import MultimodalVAE
from nexus_rl.presets import PRESETS, Preset

WORLD = world()
TRUTH = Truth(WORLD)
SIZES = {"latent_dim": 4, "width": 32}
SMALL = ModelConfig(**SIZES)


def a_run(seed: int = 0, **model: Any) -> Run:
    return Run("nexus_2", "world", seed, 2, Preset(replace(SMALL, **model)))


def accuracy(model: MultimodalVAE) -> float:
    """Mean over both cross directions."""
    report = evaluate_cmi(model, WORLD, samples=5, frechet=(), judges=TRUTH)
    return fmean(row.accuracy for row in report.rows if row.kind == "cross")


def test_stages_and_joint_training_agree_within_the_noise_of_seeds(
    tmp_path: Path,
) -> None:
    config = TrainConfig(batch_size=32, learning_rate=3e-3, warmup_epochs=2)
    found: dict[str, list[float]] = {"joint": [], "stages": []}
    for seed in range(4):
        run = Run("nexus_2", "world", seed, 10, Preset(SMALL, config))
        joint = make_model("nexus", WORLD.modalities, seed=seed, **SIZES)
        train(joint, WORLD.train, replace(run.train, device="cpu"))
        found["joint"].append(accuracy(joint))
        found["stages"].append(accuracy(train_model(run, WORLD, tmp_path)))
    gap = abs(fmean(found["joint"]) - fmean(found["stages"]))
    noise = max(stdev(found["joint"]), stdev(found["stages"]))
    assert gap < max(2 * noise, 0.03), found
    assert min(map(min, found.values())) > 0.5, "nothing was learned"


def test_a_top_level_follows_its_bottoms(tmp_path: Path) -> None:
    """In its epoch k it sees what they were after their epoch k."""
    run = replace(a_run(), epochs=3)
    model = train_model(run, WORLD, tmp_path)
    kept = sorted((tmp_path / "posteriors" / run.bottoms).iterdir())
    assert [path.stem for path in kept] == ["epoch_001", "epoch_002", "epoch_003"]
    first, *_, last = map(load_file, kept)
    assert not torch.equal(first["point.mean"], last["point.mean"])
    for name, posterior in model.bottom_posteriors(WORLD.train).items():
        assert torch.allclose(last[f"{name}.mean"], posterior.mean, atol=1e-5)
        assert torch.allclose(last[f"{name}.logvar"], posterior.logvar, atol=1e-5)
    # With other posteriors in the second epoch, only the first is the same.
    kept[1].write_bytes(kept[2].read_bytes())
    shutil.copytree(tmp_path / run.name, tmp_path / "before")
    shutil.rmtree(tmp_path / run.name)
    train_model(run, WORLD, tmp_path)
    before, after = (
        (tmp_path / name / "log.jsonl").read_text().splitlines()
        for name in ("before", run.name)
    )
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, False]


def test_posteriors_that_a_killed_run_did_not_keep_are_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of the last epoch without training; others by training again."""
    run = a_run()
    train_bottoms(run, WORLD, tmp_path, "cpu", False)
    paths = sorted((tmp_path / "posteriors" / run.bottoms).iterdir())
    contents = [path.read_bytes() for path in paths]
    state = tmp_path / "bottoms" / run.bottoms / "training.pt"
    before = state.stat().st_mtime_ns
    paths[-1].unlink()
    train_bottoms(run, WORLD, tmp_path, "cpu", False)
    assert [path.read_bytes() for path in paths] == contents
    assert state.stat().st_mtime_ns == before and not caplog.records
    paths[0].unlink()
    train_bottoms(run, WORLD, tmp_path, "cpu", False)
    assert [path.read_bytes() for path in paths] == contents
    assert state.stat().st_mtime_ns > before
    assert "training its bottoms again" in caplog.text


def test_models_of_a_seed_share_their_bottoms(tmp_path: Path) -> None:
    run = a_run()
    bottoms = train_bottoms(run, WORLD, tmp_path, "cpu", False).state_dict()
    for name in ("nexus", "nexus0"):
        other = replace(a_run(model=name), row=f"{name}_2")
        model = train_model(other, WORLD, tmp_path)
        assert model.name == name
        found = model.state_dict()
        for key in (key for key in bottoms if key.startswith("bottoms.")):
            assert torch.equal(found[key], bottoms[key]), key
    assert len(list((tmp_path / "bottoms").iterdir())) == 1


def test_a_bottom_that_is_trained_alone_comes_first_and_stays(tmp_path: Path) -> None:
    three = world(100, "point", "sound", "class")
    repeated = three.train["sound"][:50].repeat(6, 1)
    three = replace(three, train={**three.train, "sound": repeated})
    how = TrainConfig(epochs=3, batch_size=16, stage="bottom", warmup_epochs=0)
    run = replace(a_run(), alone={"sound": how}, seed=1)
    models = [
        train_model(each, three, tmp_path)
        for each in (run, replace(run, row="mvae_2", preset=a_run(model="mvae").preset))
    ]
    (own,) = (tmp_path / "alone").iterdir()
    trained = read_json(own / "run.json", "run")
    assert trained["trained"]["rows"] == 50  # each distinct row once
    assert (trained["train"]["epochs"], trained["train"]["seed"]) == (3, 1)
    bottom = load_model(own / "best")
    best = bottom.bottoms["sound"].state_dict()
    known = bottom.bottom_posteriors({"sound": repeated})["sound"]
    for mine, theirs in zip(
        _posterior(bottom, three, "sound"), (known.mean, known.logvar), strict=True
    ):
        assert torch.allclose(mine, theirs, atol=1e-5)
    for model in models:
        found = model.bottoms["sound"].state_dict()
        assert all(torch.equal(found[key], value) for key, value in best.items())
    kept = load_file(next((tmp_path / "posteriors" / run.bottoms).iterdir()))
    assert {name.split(".")[0] for name in kept} == {"point", "class"}
    assert run.describe()["alone"]["sound"]["epochs"] == 3
    other = replace(run, alone={"sound": replace(how, epochs=4)})
    assert other.bottoms == run.bottoms and other.name != run.name
    assert other.bottom("sound") != run.bottom("sound")
    with pytest.raises(UserError, match="modality of dataset 'world': 'smell'"):
        train_model(replace(run, alone={"smell": how}), three, tmp_path)


def test_runs_are_called_as_ever() -> None:
    """What was trained before must be found."""
    run = Run("nexus_2", "mnist", 0, 20, PRESETS["paper"])
    assert run.bottoms == "mnist_seed0_epochs20_599104d6"
    assert run.name == "mnist_nexus_2_seed0_epochs20"
    assert "alone" not in run.describe()


def test_a_run_that_is_there_is_loaded(tmp_path: Path) -> None:
    run = a_run(levels=1)
    first = train_model(run, WORLD, tmp_path)
    log = tmp_path / run.name / "log.jsonl"
    written = log.stat().st_mtime_ns
    again = train_model(run, WORLD, tmp_path)
    assert log.stat().st_mtime_ns == written
    assert not (tmp_path / "bottoms").exists()
    for name, weights in first.state_dict().items():
        assert torch.equal(weights, again.state_dict()[name]), name


def test_a_run_says_everything_that_decides_its_numbers() -> None:
    run = a_run(seed=3, rho=0.4)
    told = run.describe()
    assert told["model"]["rho"] == 0.4
    assert told["train"]["epochs"] == 2 and told["train"]["seed"] == 3
    assert run.name == "world_nexus_2_seed3_epochs2"


def test_other_settings_below_have_other_bottoms() -> None:
    """And other settings above the same."""
    run, own = a_run(), Preset(SMALL, TrainConfig(batch_size=32))
    others = [replace(run, seed=1), replace(run, epochs=3), replace(run, preset=own)]
    others.append(changed(run, beta=0.5))
    assert len({each.bottoms for each in (run, *others)}) == 5
    assert changed(run, top_weight=3).bottoms == run.bottoms
    assert a_run(rho=0.4, model="nexus0").bottoms == run.bottoms


def changed(run: Run, **fields: Any) -> Run:
    return replace(run, preset=replace(run.preset, sensors={"point": fields}))
